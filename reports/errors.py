"""The one exception for mistakes that a user can mend; the command prints it and exits with code 2."""

from __future__ import annotations


class UserError(Exception):
    """A mistake or missing thing outside medbench, told so that the reader can mend it.

    It lives in `reports`, the package at the bottom, because every package raises it and none may import upwards.

    Attributes:
        what: What went wrong, in one sentence.
        where: File and line, row, key or command-line flag; None where there is no place to name.
        fix: What to do about it.
    """

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what = what
        self.where = where
        self.fix = fix
        lines = [f"{where}: {what}" if where else what]
        if fix:
            lines.append(f"  fix: {fix}")
        super().__init__("\n".join(lines))


class MachineError(UserError):
    """The machine failed, and not what it was given: a full disk, a lost device, a killed process.

    What is done is kept; the same command goes on from there once the machine is mended.
    """
