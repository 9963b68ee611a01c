"""Reports text that is not UTF-8: its most likely encoding, a sample to check it by, and how to convert it."""

from __future__ import annotations

import codecs

from reports.errors import UserError

_MARKS = {  # byte order marks; those of UTF-32 begin like those of UTF-16
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_AROUND = 20  # bytes shown before and after the first one that is not UTF-8
_MOST_NON_ASCII = 0.3  # share of such bytes in a line of a Western European language


def check_encoding(head: bytes, where: str) -> None:
    """Check the first bytes of a text file.

    Raises:
        UserError: They are UTF-16 or UTF-32.
    """
    encoding = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None) or _without_mark(head)
    if encoding is not None:
        raise UserError(f"the text is {encoding}, not UTF-8", where=where, fix=_how_to_convert(encoding))


def not_utf8(error: UnicodeDecodeError, where: str) -> UserError:
    """The error for text that is not UTF-8."""
    line = error.object
    if 0 in line:
        return UserError("the file is binary, not text", where=where, fix="check what kind of file it is")
    what = f"not UTF-8 text ({error.reason}: byte 0x{line[error.start]:02x})"
    if sum(byte > 0x7F for byte in line) > _MOST_NON_ASCII * len(line):  # noqa: PLR2004 - the last byte of ASCII
        return UserError(what, where=where, fix=_how_to_convert("ENCODING", ", with its encoding such as GB18030"))
    try:
        text = line[max(0, error.start - _AROUND) : error.start + _AROUND].decode("cp1252").strip()
    except UnicodeDecodeError:
        return UserError(what, where=where, fix=_how_to_convert("ENCODING", ", with its encoding such as latin1"))
    return UserError(f"{what}; as cp1252 (Windows) it reads {text!r}", where=where, fix=_how_to_convert("cp1252"))


def _without_mark(head: bytes) -> str | None:
    """UTF-16 if every second byte is NUL, as in ASCII text of that encoding without a byte order mark."""
    pairs = head[: len(head) // 2 * 2]
    halves = (pairs[::2], pairs[1::2])
    nulls = [half.count(0) for half in halves]
    return "UTF-16" if pairs and 0 in nulls and max(nulls) > len(pairs) // 4 else None


def _how_to_convert(encoding: str, remark: str = "") -> str:
    return f"save the file as UTF-8 (Excel: `CSV UTF-8`), or convert it: iconv -f {encoding} -t UTF-8 OLD > NEW{remark}"
