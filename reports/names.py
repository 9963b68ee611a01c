"""Validation of names that become parts of paths and URLs, so that a name cannot escape its folder."""

from __future__ import annotations

import re
from pathlib import PureWindowsPath
from typing import Annotated

from pydantic import AfterValidator

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:<>"|?*\ud800-\udfff]')
_MOST = 200  # bytes; file systems allow 255, with the suffix


def is_hub_id(text: str) -> bool:
    """Whether a text is `OWNER/NAME` as the hub allows it: no `..`, no folders, no other characters."""
    return _HUB_ID.fullmatch(text) is not None and ".." not in text and "--" not in text and text[-1] not in "-."


def is_plain_name(text: str) -> bool:
    """Whether a text can be one part of a path on any system: no separators, no `..`, no reserved name."""
    return (
        bool(text.strip())
        and not _FORBIDDEN.search(text)
        and not text.startswith(".")
        and text[-1] not in ". "
        and len(text.encode()) <= _MOST
        and not PureWindowsPath(text).is_reserved()
    )


def by_number(text: str) -> list[str | int]:
    """Sort key by the numbers in a text, so that `checkpoint-20` is before `checkpoint-100`."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]


def _checked(text: str) -> str:
    if not is_plain_name(text):
        raise ValueError("is not a valid file name: it is empty, reserved, too long, or has characters such as '/'")
    return text


PlainName = Annotated[str, AfterValidator(_checked)]


def last_part(name: str) -> str:
    """Last part of a model's name, since people write folders and owners differently."""
    return name.rstrip("/").rpartition("/")[2].lower()
