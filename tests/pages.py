"""Reads the pages in Markdown: the commands they show, and of a walkthrough the files it creates and changes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(path for folder in (ROOT, ROOT / "docs") for path in folder.glob("*.md") if path.name != "CHANGELOG.md")
WALKTHROUGHS = sorted((ROOT / "docs").glob("add-a*.md"))
_FENCE = re.compile(r"^(`{3,})(\w*)$")
_COMMAND = re.compile(
    r"(?:medbench|python3?|lm_eval|torchrun|accelerate|pip|pytest|ruff|mypy|deptry|git|hatchling|cp|cd|\.) \S"
    r"|(?:pytest|mypy)$|(?:benchmarks/|\./)?\S*\.sh\b|\.ci/\w+$|\.venv\S*/bin/"
)
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


def name_of(page: Path) -> str:
    """A page's name in the repository."""
    return str(page.relative_to(ROOT))


def text_of(page: Path) -> str:
    """A page's text."""
    return page.read_text(encoding="utf-8")


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


def write(block: Block, root: Path) -> None:
    """Create or change the file of a walkthrough's block in a checkout."""
    path = root / block.file
    if block.verb == "Create":
        assert not path.exists(), f"{block.file} is there already"
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
    else:
        assert (block.verb, block.language) == ("Change", "diff"), f"line {block.line}: what is this block?"
        path.write_text(changed(path.read_text(encoding="utf-8"), block), encoding="utf-8")


def changed(text: str, block: Block) -> str:
    """A text after a change, whose old lines stand in it exactly once."""
    lines = block.text.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    assert old
    assert text.count(old) == 1, f"line {block.line}: in {block.file} {text.count(old)} times:\n{old}"
    return text.replace(old, new)


def commands(text: str) -> list[str]:
    """The commands of a block: continued lines put together, two on a line taken apart, comments taken off."""
    lines = [re.split(r"(?:^|\s)#", line)[0] for line in text.replace("\\\n", " ").splitlines()]
    return [each.strip() for line in lines for each in re.split(r"\s{3,}(?=medbench )", line) if each.strip()]


def shown_commands(markdown: str) -> list[str]:
    """Every command that a page shows, in blocks and within its text, once each."""
    fenced = [each for block in blocks(markdown) if block.language in ("", "sh") for each in commands(block.text)]
    prose = re.sub(r"^(`{3,}).*?^\1$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    inline = [" ".join(each.split()) for each in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose)]
    return list(dict.fromkeys(each for each in [*fenced, *inline] if _COMMAND.match(each)))
