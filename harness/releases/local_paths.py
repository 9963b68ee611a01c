"""Finds paths of a machine in texts that are to be published, and shortens them to the name of what they point to."""

from __future__ import annotations

import json
import re
from pathlib import Path, PureWindowsPath
from typing import Any

from reports.errors import UserError
from reports.text import walk_texts
from training.recipes.strict_yaml import parse_yaml

_PATH = re.compile(r"""(?<![\w.~<:/\\-])(?:~?/|[A-Za-z]:\\{1,2})[^\s"'`,;:()<>|=*?]+""")
_HOMES = ("home", "Users", "mnt", "media", "content", "kaggle", "workspace")  # also of the machine that trained
_WINDOWS = re.compile(r"[A-Za-z]:\\")


def shorten_paths(text: str, suffix: str) -> tuple[str, list[str]]:
    """A text without folders of a machine: (the text, the paths that were shortened to their last part).

    What counts is what looks like a path and starts in a folder of this machine, or where homes usually are; in JSON
    and YAML also strings with spaces that are a path as a whole.

    Args:
        text: Of a file.
        suffix: The file's, such as `.json`.
    """
    shortened: list[str] = []
    strings = {string for _, string in walk_texts(_parsed(text, suffix))}
    spaced = {string for string in strings if _is_local(string) and not _PATH.fullmatch(string)}
    for path in sorted(spaced, key=len, reverse=True):
        for written in (path, json.dumps(path)[1:-1], json.dumps(path, ensure_ascii=False)[1:-1]):
            if written in text:
                shortened.append(path)
                text = text.replace(written, _last(path))

    def shorten(match: re.Match[str]) -> str:
        if not _is_local(match[0]):
            return match[0]
        shortened.append(match[0])
        return _last(match[0])

    return _PATH.sub(shorten, text), list(dict.fromkeys(shortened))


def _is_local(text: str) -> bool:
    """Whether a text is an absolute path below a folder of a machine."""
    if "\n" in text or "://" in text:
        return False
    if text.startswith("~/") or _WINDOWS.match(text):
        return True
    parts = text.split("/")
    return len(parts) > 2 and not parts[0] and bool(parts[1]) and (parts[1] in _HOMES or Path("/", parts[1]).is_dir())  # noqa: PLR2004


def _last(path: str) -> str:
    return PureWindowsPath(path.replace("\\\\", "\\")).name  # understands both kinds of slashes


def _parsed(text: str, suffix: str) -> Any:
    try:
        return json.loads(text) if suffix == ".json" else parse_yaml(text, suffix)[0] if suffix == ".yaml" else None
    except (ValueError, RecursionError, UserError):
        return None
