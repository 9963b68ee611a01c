"""Write result tables between markers of a Markdown file, and check whether they are stale.

A block is the lines between `<!-- medbench:NAME RUN ... -->` and `<!-- medbench:end -->`. NAME is one of
`reports.readmes.blocks.BLOCKS`; each RUN is a run folder or a `results.json`, relative to the Markdown file. `NAME` may
also be `template`, with `file=PATH` naming a Jinja template. `models=NAME,NAME` and `metrics=KEY,TASK/KEY` select what
a block of results shows. Paths with spaces are quoted as in a shell. Markers inside fenced code are text.

A Markdown file may come from a stranger, so no path in it leads out of the file's repository, or of its folder where
there is none.
"""

from __future__ import annotations

import difflib
import re
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path

from reports.errors import UserError
from reports.files import check_regular, remove_parts_of, write_text
from reports.readmes.blocks import BESIDE, BLOCKS, OPTIONS, TEMPLATE, block_text

_MARKER = re.compile(r"^[ \t]*<!--\s*medbench:(?P<name>[a-z]+)(?P<words>(?:\s+\S+)*?)\s*-->[ \t]*$")
_BROKEN = re.compile(r"^[ \t]*<!--\s*medbench\b")
_END = "end"
_OPTION = re.compile("(?P<name>file|metrics|models)=(?P<value>.*)", re.DOTALL)
_NOT_COMMITTED = "commit the run's results.json, since a clone has only what was committed, or check the path"
_MOST_BYTES = 1_000_000  # of a template
_FENCE = re.compile(r"^ {0,3}(?P<mark>`{3,}|~{3,})(?P<rest>.*)$")


@dataclass(frozen=True)
class _Block:
    """A block's name, runs and options, and the indices of its two marker lines."""

    name: str
    runs: list[str]
    options: dict[str, str]
    start: int
    end: int = field(default=-1)

    @property
    def template(self) -> str | None:
        """Path of its template, relative to the Markdown file."""
        return self.options.get("file")

    def names(self, option: str) -> list[str]:
        """The names that an option lists."""
        return [name for part in self.options.get(option, "").split(",") if (name := part.strip())]


def refresh_command(path: Path) -> str:
    """The command that brings the blocks of a file up to date."""
    return f"medbench readme {shlex.quote(str(path))}"


def sources(path: Path) -> list[Path]:
    """The files that the blocks of a file are made from, so what a clone needs for `--check` to pass.

    Raises:
        UserError: As `update`.
    """
    needed: list[Path] = []
    here = path.resolve().parent if path.is_symlink() else path.parent
    for block in _read(path)[1]:
        for run in (here / name for name in block.runs):
            folder = run.parent if run.suffix == ".json" and not run.is_dir() else run
            needed.append(folder / "results.json" if run == folder else run)
            needed += [folder / BESIDE[block.name]] if block.name in BESIDE else []
        needed += [here / block.template] if block.template else []
    return list(dict.fromkeys(needed))


def update(path: Path, *, check: bool = False) -> str:
    """Rewrite all blocks of a file; with `check`, only report what would change.

    Returns:
        The difference as a unified diff; empty where every block is up to date.

    Raises:
        UserError: The file cannot be read, a marker is broken, or a block's run is missing.
    """
    lines, blocks = _read(path)
    root = _repository(path)
    updated = list(lines)
    for block in reversed(blocks):
        ending = "\r\n" if lines[block.start].endswith("\r\n") else "\n"
        updated[block.start + 1 : block.end] = [line + ending for line in _body(block, path, root).split("\n")]
    new = "".join(updated)
    if not check:
        remove_parts_of([path.resolve()])
    if new == "".join(lines):
        return ""
    if not check:
        write_text(path.resolve(), new)  # through a link
    difference = difflib.unified_diff(lines, _lines(new), str(path), f"{path} (after: {refresh_command(path)})")
    return "".join(line.rstrip("\r\n") + "\n" for line in difference)


def _read(path: Path) -> tuple[list[str], list[_Block]]:
    """The lines of a file, with their ends, and its blocks, of which there is at least one."""
    check_regular(path)
    root = _repository(path)
    _check_inside(root, path, "the file", str(path))
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
    return lines, blocks


def _lines(text: str) -> list[str]:
    """Split into lines, keeping line ends; `splitlines` would also split at form feeds."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _blocks(lines: list[str], path: Path) -> list[_Block]:
    """Find all blocks of a file, in order."""
    blocks: list[_Block] = []
    opened: _Block | None = None
    fence = ""
    for number, line in enumerate(lines):
        fence = _fence_after(fence, line)
        if fence:
            continue
        where = f"{path}, line {number + 1}"
        marker = _MARKER.match(line.rstrip("\r\n"))
        if marker is None:
            if _BROKEN.match(line):
                raise UserError(
                    "the marker is broken", where=where, fix="write <!-- medbench:results RUN --> on a line of its own"
                )
            continue
        if marker["name"] == _END:
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
        try:
            words = shlex.split(marker["words"])
        except ValueError as error:
            raise UserError(
                "a quote is not closed", where=where, fix='write paths with spaces as "runs/a b"'
            ) from error
        opened = _started(marker["name"], words, number, where)
    if opened is not None:
        raise UserError(
            "the block has no end marker", where=f"{path}, line {opened.start + 1}", fix="add <!-- medbench:end -->"
        )
    return blocks


def _fence_after(fence: str, line: str) -> str:
    """The code fence that is open after this line: only a bare fence of the same kind, at least as long, closes it."""
    match = _FENCE.match(line.rstrip("\r\n"))
    if match is None:
        return fence
    mark, rest = match["mark"], match["rest"]
    if not fence:
        return "" if mark[0] == "`" and "`" in rest else mark
    return "" if mark[0] == fence[0] and len(mark) >= len(fence) and not rest.strip() else fence


def _started(name: str, words: list[str], number: int, where: str) -> _Block:
    """The block that a start marker opens."""
    matches = [_OPTION.fullmatch(word) for word in words]
    given = [(match["name"], match["value"]) for match in matches if match]
    options, runs = dict(given), [word for word, match in zip(words, matches, strict=True) if match is None]
    if name not in (*BLOCKS, TEMPLATE):
        names = ", ".join((*BLOCKS, TEMPLATE))
        raise UserError(f"there is no block {name!r}", where=where, fix=f"known blocks: {names}")
    if not runs:
        raise UserError("the block names no run", where=where, fix=f"write <!-- medbench:{name} RUN -->")
    if (name == TEMPLATE) != ("file" in options) or len(given) > len(options):
        what = "an option is there twice" if len(given) > len(options) else f"file= goes with {TEMPLATE}"
        raise UserError(what, where=where, fix=f"write <!-- medbench:{TEMPLATE} RUN file=PATH -->")
    for option in options:
        if option not in OPTIONS.get(name, ()):
            takes = ", ".join(f"{other}: {'= and '.join(usable)}=" for other, usable in OPTIONS.items())
            raise UserError(f"the block {name} takes no {option}=", where=where, fix=f"options by block: {takes}")
    block = _Block(name, runs, options, number)
    for option in options:
        if not block.names(option):
            raise UserError(f"{option}= names nothing", where=where, fix=f"write {option}=NAME,NAME, or leave it out")
    return block


def _repository(path: Path) -> Path:
    """The repository that a file lies in, or its folder if there is none."""
    folder = path.absolute().parent.resolve()
    return next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), folder)


def _check_inside(root: Path, path: Path, what: str, where: str, *, missing: str = "check the path") -> None:
    """Check that a path exists, and lies below `root` also when all links in it are followed.

    Raises:
        UserError: It does not.
    """
    try:
        target = path.resolve()
    except (OSError, RuntimeError, ValueError):  # a link to itself; a NUL
        target = root / path.name
    if not target.is_relative_to(root):
        fix = "copy it into the repository of the Markdown file, or into its folder if there is no repository"
        raise UserError(f"{what} lies outside of {root}: {path.name}", where=where, fix=fix)
    if not target.exists():
        fix = f'{missing}, which is relative to this file; quote one with spaces, as "runs/a b"'
        raise UserError(f"{what} is missing: {path.name}", where=where, fix=fix)


def _body(block: _Block, path: Path, root: Path) -> str:
    """Render a block; reject text that contains a marker, which would break the next update."""
    here, where = path.resolve().parent, f"{path}, line {block.start + 1}"
    runs = [here / run for run in block.runs]
    for run in runs:
        _check_inside(root, run, "the block's run", where, missing=_NOT_COMMITTED)
        folder = run if run.is_dir() else run.parent
        for part in (folder / "results.json", folder / "samples", *(folder / "samples").rglob("*")):
            if part.is_symlink():
                _check_inside(root, part, f"a file of the block's run {run.name}", where)
    template = None if block.template is None else here / block.template
    if template is not None:
        _check_inside(root, template, "the block's template", where)
        if any(part.startswith(".") for part in template.resolve().relative_to(root).parts):
            what = "the block's template is hidden, or in a hidden folder, which may hold secrets"
            raise UserError(what, where=where, fix="move it elsewhere in the repository")
        if not template.is_file() or template.stat().st_size > _MOST_BYTES:
            raise UserError("the block's template is not a file of at most 1 MB", where=where, fix="name another")
    chosen = {option: block.names(option) for option in ("models", "metrics")}
    body = block_text(block.name, runs, template, where, **chosen).strip("\n").replace("\r\n", "\n")
    fence = ""
    for line in body.split("\n"):
        fence = _fence_after(fence, line)
        if not fence and _BROKEN.match(line):
            raise UserError("the block contains a medbench marker", where=where, fix="remove it from the template")
    if fence:
        raise UserError("the block's text leaves a code fence open", where=where, fix="close it in the template")
    return body
