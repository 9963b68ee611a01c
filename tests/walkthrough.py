"""Reads a walkthrough in docs/: the files it creates, the changes it makes, and the commands it gives, in order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^(`{3,})(\w*)$")
_FILE = re.compile(r"^(Create|Change) `([^`]+)`:$")


@dataclass(frozen=True)
class Block:
    """A fenced block of Markdown.

    Attributes:
        line: Of its first line.
        language: What stands behind the opening fence.
        text: What is in it, with a line end.
        verb: `Create` or `Change` where the nearest line above it that begins so names a file.
        file: That file.
    """

    line: int
    language: str
    text: str
    verb: str = ""
    file: str = ""


def blocks(markdown: str) -> Iterator[Block]:
    """All fenced blocks of a page, in order."""
    fence = verb = file = language = ""
    first = 0
    inside: list[str] = []
    for number, line in enumerate(markdown.splitlines(), 1):
        found = _FENCE.match(line)
        if fence and line == fence:
            yield Block(first, language, "".join(f"{each}\n" for each in inside), verb, file)
            fence = ""
        elif fence:
            inside.append(line)
        elif found:
            fence, language, first, inside = found[1], found[2], number + 1, []
        elif said := _FILE.match(line):
            verb, file = said.groups()
        elif line.startswith("#"):
            verb = file = ""


def follow(block: Block, root: Path) -> list[str]:
    """Do what a block says in a checkout; returns the commands that it gives, if any."""
    if block.language == "sh":
        return commands(block.text)
    if block.language == "text":
        return []
    path = root / block.file
    if block.verb == "Create":
        assert not path.exists(), f"{block.file} is there already"
        path.write_text(block.text, encoding="utf-8")
    else:
        assert (block.verb, block.language) == ("Change", "diff"), f"line {block.line}: what is this block?"
        path.write_text(changed(path.read_text(encoding="utf-8"), block), encoding="utf-8")
    return []


def changed(text: str, block: Block) -> str:
    """A text after a change, whose old lines stand in it exactly once."""
    lines = block.text.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    assert old
    assert text.count(old) == 1, f"line {block.line}: in {block.file} {text.count(old)} times:\n{old}"
    return text.replace(old, new)


def commands(text: str) -> list[str]:
    """The commands of a block: continued lines put together, comments at their end taken off."""
    lines = text.replace("\\\n", " ").splitlines()
    return [re.split(r"(?:^|\s)#", line)[0].strip() for line in lines if re.split(r"(?:^|\s)#", line)[0].strip()]
