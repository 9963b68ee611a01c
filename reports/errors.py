"""The exceptions for what a user can mend; the command prints them and exits with code 2. And how they are worded."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from reports.secrets import redact

_MOST = 8000  # characters of a message, which may quote what somebody else wrote
_NEAR = 0.5  # of a name's letters that are the same, in order


class UserError(Exception):
    """A mistake or missing thing outside medbench, told so that the reader can mend it.

    It lives in `reports`, the package at the bottom, because every package raises it and none may import upwards.
    Access tokens in what it quotes are hidden.

    Attributes:
        what: What went wrong, in one sentence.
        where: File and line, row, key or command-line flag; None where there is no place to name.
        fix: What to do about it.
    """

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what = _told(what)
        self.where = _told(where) if where else None
        self.fix = _told(fix.strip()) if fix else None
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        super().__init__("\n".join(lines))


class MachineError(UserError):
    """The machine failed, and not what it was given: a full disk, a lost device, a killed process.

    What is done is kept; the same command goes on from there once the machine is mended.
    """


def first_line(error: BaseException) -> str:
    """The first line of what a library's error says; the name of its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def did_you_mean(name: str, known: Iterable[str], *, most: int = 1) -> str:
    """The question for the nearest known names; empty if none is near."""
    near = difflib.get_close_matches(name, known, n=most, cutoff=_NEAR)
    return f"did you mean {' or '.join(near)}?" if near else ""


def _told(text: str) -> str:
    text = redact(text)
    return text if len(text) <= _MOST else f"{text[:_MOST]} [...]"
