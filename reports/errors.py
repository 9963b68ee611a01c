"""Exceptions for what the user can fix, which the command prints before it exits with code 2."""

from __future__ import annotations

from collections.abc import Iterable

from reports.secrets import redact

_MOST = 8000  # characters of a message, which may quote foreign text
_NEAR = 0.5  # minimum similarity of a suggested name


class UserError(Exception):
    """A mistake or something missing outside medbench, with a message that says how to fix it.

    Defined in `reports`, the lowest package, because every package raises it. Access tokens in messages are redacted.

    Attributes:
        what: What went wrong, in one sentence.
        where: File and line, row, key or command-line flag, or None.
        fix: What to do about it.
    """

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what = _redacted(what)
        self.where = _redacted(where) if where else None
        self.fix = _redacted(fix.strip()) if fix else None
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        super().__init__("\n".join(lines))


class MachineError(UserError):
    """A failure of the machine rather than of the input: a full disk, a lost device, a killed process.

    Finished work is saved; the same command resumes there once the machine works again.
    """


class UnreachableError(UserError):
    """Something cannot be fetched from where this machine is: it is offline, or has no access.

    What is there can be used meanwhile: training does without the items that its adapter will be scored on.
    """


def is_failure(error: BaseException) -> bool:
    """Whether it is a failure and no request to stop; a panic in a Rust library is not an `Exception`."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def first_line(error: BaseException) -> str:
    """First line of a library's error message, or the name of its class if the message is empty."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def did_you_mean(name: str, names: Iterable[str], *, most: int = 1) -> str:
    """Suggest the closest names; empty if none is close."""
    import difflib  # most commands need none of it

    near = difflib.get_close_matches(name, names, n=most, cutoff=_NEAR)
    return f"did you mean {' or '.join(near)}?" if near else ""


def _redacted(text: str) -> str:
    text = redact(text)
    return text if len(text) <= _MOST else f"{text[:_MOST]} [...]"
