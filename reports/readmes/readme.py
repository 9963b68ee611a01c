"""Writes result tables between markers of a Markdown file, and tells whether they are stale.

A block is the lines between `<!-- medbench:NAME RUN ... -->` and `<!-- medbench:end -->`. NAME is one of
`reports.readmes.blocks.BLOCKS`; each RUN is a run folder or a `results.json`, relative to the Markdown file. `NAME` may
also be `template`, with `file=PATH` naming a Jinja template. Markers inside fenced code are text.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from reports.errors import UserError
from reports.files import check_regular, write_text
from reports.readmes.blocks import BLOCKS, TEMPLATE, block_text

_MARKER = re.compile(r"^[ \t]*<!--\s*medbench:(?P<name>[a-z]+)(?P<words>(?:\s+\S+)*?)\s*-->[ \t]*$")
_BROKEN = re.compile(r"^[ \t]*<!--\s*medbench\b")
_END = "end"
_OPTION = "file="
_FENCE = re.compile(r"^ {0,3}(?P<mark>`{3,}|~{3,})(?P<rest>.*)$")


@dataclass(frozen=True)
class _Block:
    """A block's name, runs, template, and the numbers of its two marker lines (from 0)."""

    name: str
    runs: list[str]
    template: str | None
    start: int
    end: int = field(default=-1)


def update(path: Path, *, check: bool = False) -> str:
    """Rewrite all blocks of a file; with `check`, only say what would change.

    Returns:
        The difference as a unified diff; empty where every block is up to date.

    Raises:
        UserError: The file cannot be read, a marker is broken, or a block's run is missing.
    """
    check_regular(path)
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read the file ({error})", where=str(path), fix="check the path; save it as UTF-8"
        ) from error
    lines = _lines(text)
    blocks = _blocks(lines, path)
    if not blocks:
        raise UserError(
            "there is no block to write",
            where=str(path),
            fix="put <!-- medbench:results RUN --> and <!-- medbench:end --> where the table should be",
        )
    made = list(lines)
    for block in reversed(blocks):
        ending = "\r\n" if lines[block.start].endswith("\r\n") else "\n"
        made[block.start + 1 : block.end] = [line + ending for line in _body(block, path).split("\n")]
    new = "".join(made)
    if new == text:
        return ""
    if not check:
        write_text(path.resolve(), new)  # through a link
    difference = difflib.unified_diff(lines, _lines(new), "now", "from the runs")
    return "".join(line.rstrip("\r\n") + "\n" for line in difference)


def _lines(text: str) -> list[str]:
    """Lines with their ends; `splitlines` would also break at form feeds and the like."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _blocks(lines: list[str], path: Path) -> list[_Block]:
    """All blocks of a file in order."""
    blocks: list[_Block] = []
    opened: _Block | None = None
    fence = ""
    for number, line in enumerate(lines):
        fence = _fence_after(fence, line)
        if fence:
            continue
        where = f"{path}, line {number + 1}"
        found = _MARKER.match(line.rstrip("\r\n"))
        if found is None:
            if _BROKEN.match(line):
                raise UserError(
                    "the marker is broken", where=where, fix="write <!-- medbench:results RUN --> on a line of its own"
                )
            continue
        if found["name"] == _END:
            if opened is None:
                raise UserError(
                    "an end marker without a start", where=where, fix="remove it, or add the start marker above"
                )
            blocks.append(replace(opened, end=number))
            opened = None
            continue
        if opened is not None:
            raise UserError(
                f"a block starts inside the one of line {opened.start + 1}",
                where=where,
                fix="add <!-- medbench:end --> before it",
            )
        opened = _started(found["name"], found["words"].split(), number, where)
    if opened is not None:
        raise UserError(
            "the block has no end marker", where=f"{path}, line {opened.start + 1}", fix="add <!-- medbench:end -->"
        )
    return blocks


def _fence_after(fence: str, line: str) -> str:
    """The fence that code stands in after this line: only a bare fence of the same kind, as long or longer, ends it."""
    found = _FENCE.match(line.rstrip("\r\n"))
    if found is None:
        return fence
    mark, rest = found["mark"], found["rest"]
    if not fence:
        return "" if mark[0] == "`" and "`" in rest else mark
    return "" if mark[0] == fence[0] and len(mark) >= len(fence) and not rest.strip() else fence


def _started(name: str, words: list[str], number: int, where: str) -> _Block:
    """The block that a start marker opens."""
    runs = [word for word in words if not word.startswith(_OPTION)]
    files = [word.removeprefix(_OPTION) for word in words if word.startswith(_OPTION)]
    if name not in (*BLOCKS, TEMPLATE):
        known = ", ".join((*BLOCKS, TEMPLATE))
        raise UserError(f"there is no block {name!r}", where=where, fix=f"known blocks: {known}")
    if not runs:
        raise UserError("the block names no run", where=where, fix=f"write <!-- medbench:{name} RUN -->")
    if (name == TEMPLATE) != (len(files) == 1):
        raise UserError(
            f"{_OPTION} goes with {TEMPLATE}, and once",
            where=where,
            fix=f"write <!-- medbench:{TEMPLATE} RUN file=PATH -->",
        )
    return _Block(name, runs, files[0] if files else None, number)


def _body(block: _Block, path: Path) -> str:
    """The text of a block; never with a marker in it, which would break the next update."""
    here, where = path.resolve().parent, f"{path}, line {block.start + 1}"
    for run in block.runs:
        if not (here / run).exists():
            raise UserError(f"the block's run is missing: {run}", where=where, fix="run it, or name another")
    template = None if block.template is None else here / block.template
    if template is not None and not template.is_file():
        raise UserError(f"the block's template is missing: {block.template}", where=where, fix="check its path")
    body = block_text(block.name, [here / run for run in block.runs], template, where).strip("\n").replace("\r\n", "\n")
    fence = ""
    for line in body.split("\n"):
        fence = _fence_after(fence, line)
        if not fence and _BROKEN.match(line):
            raise UserError("the block's text holds a medbench marker", where=where, fix="remove it from the template")
    if fence:
        raise UserError("the block's text leaves a code fence open", where=where, fix="close it in the template")
    return body
