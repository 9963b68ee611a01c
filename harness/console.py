"""What medbench says while it works: lines, tables and progress for people, or a JSON object a line for machines.

All that is printed goes through here, since it may quote what a model, a data set or a file's name says.
"""

from __future__ import annotations

import io
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, Self

from reports.errors import UserError
from reports.numbers import duration
from reports.secrets import redact
from reports.text import TURNS, map_texts, replace_surrogates

# Control characters but tab and line feed, and those that turn the direction of what follows.
_CONTROL = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{TURNS}]")
_JSON_SECONDS = 1.0  # between two objects of progress
_PLAIN_SECONDS = 15.0  # between two lines of progress where there is no terminal
_COLUMN_WIDTH = 36
_PLAIN_WIDTH = 120  # of answers side by side in a file or a CI log; tables there are as wide as they need
_GAP = 3  # between columns
_LONGEST_WORD = 24  # longer words of a text, such as paths, may be continued on the next line
_BAR = 60  # columns of a line of progress that are not its bar

Advance = Callable[[int, str], None]


class Styled(str):
    """A table's cell in a style of rich, such as `green`; the text says the same without it."""

    __slots__ = ("style",)
    style: str

    def __new__(cls, text: str, style: str) -> Self:
        """Create it; the style is not part of the text."""
        cell = super().__new__(cls, text)
        cell.style = style
        return cell


def printable(text: str) -> str:
    """Text without control characters and secrets, so that nothing it quotes can steer a terminal or give them away.

    On GitHub's runners, which obey `##[command]` anywhere in a line and `::command` at its start, neither is left.
    """
    shown = redact(replace_surrogates(_CONTROL.sub("", text)))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        shown = shown.replace("##[", "##\N{ZERO WIDTH SPACE}[").replace("::", ":\N{ZERO WIDTH SPACE}:")
    return shown


def prepare_streams() -> None:
    """Let standard output and error show text in any encoding; characters it lacks are written as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _close_output(stream: Any) -> None:
    """Drop all further output of a stream; the reader of its pipe has gone, and the exit code still counts."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def print_error(error: UserError) -> None:
    """Print a user error to standard error."""
    if Terminal.as_json:
        _write_json(sys.stderr, "error", level="error", message=error.what, where=error.where, fix=error.fix)
    else:
        sys.stderr.write(printable(f"error: {error}\n"))


def _write_json(stream: Any, event: str, **values: Any) -> None:
    from datetime import UTC, datetime

    from reports.json_text import dumps

    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    try:
        stream.write(dumps({"time": now, "event": event, **map_texts(values, printable)}) + "\n")
        stream.flush()
    except BrokenPipeError:
        _close_output(stream)


class Terminal:
    """Prints for people, or for machines; quiet when used as a library.

    Attributes:
        as_json: Whether everything is printed as a JSON object a line; the command's `--log-json`.
    """

    as_json: ClassVar[bool] = False

    def __init__(self, *, quiet: bool = False) -> None:
        from rich.console import Console

        class PipeConsole(Console):
            """Goes on without output if the reader of a pipe has gone, as `head` does."""

            def on_broken_pipe(self) -> None:
                self.quiet = True
                _close_output(self.file)

        self._console = PipeConsole(quiet=quiet, highlight=False, soft_wrap=True)
        if not self._console.is_terminal:
            self._console.width = max(_PLAIN_WIDTH, self._console.width)
        self._quiet = quiet

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None if there is no limit, as in a file or pipe."""
        return self._console.width if self._console.is_terminal else None

    def say(self, text: str = "", style: str = "") -> None:
        """Print a line; yellow ones are warnings."""
        if not self.as_json:
            self._console.print(printable(text), style=style or None, markup=False, emoji=False)
        elif text.strip():
            self._emit("message", level="warning" if style == "yellow" else "info", message=text.strip())

    def note(self, text: str) -> None:
        """Print a warning on a line of its own, below a heading."""
        self.say(f"  note: {text}", style="yellow")

    def command(self, line: str) -> None:
        """Print a command for GitHub's runner, made of escaped parts, as it is."""
        if not self.as_json:
            self._console.print(redact(line), markup=False, emoji=False)

    def _emit(self, event: str, **values: Any) -> None:
        if not self._quiet:
            _write_json(sys.stdout, event, **values)

    def heading(self, text: str) -> None:
        """Print the start of a stage."""
        if self.as_json:
            self._emit("stage", stage=text)
        else:
            self.say(f"\n{text}", style="bold")

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: bool | Sequence[int] = False
    ) -> None:
        """Print a table in which nothing is cut: texts wrap between words, numbers never.

        Where a terminal is too narrow for that, each row is shown as lines of `heading: cell`; a file or pipe has no
        width.

        Args:
            columns: Headings.
            rows: Cells; `Styled` ones have their style.
            left: Positions of the columns of text beside the first, or whether all are; others are right-aligned.
        """
        if self.as_json:
            self._emit("table", columns=columns, rows=rows)
            return
        from rich.table import Table
        from rich.text import Text

        cells = [[_printable_cell(cell) for cell in row] for row in (columns, *rows)]
        texts = {0, *(range(len(columns)) if left is True else left or ())}
        wraps = [number in texts for number in range(len(columns))]
        room = None if self.width is None else self.width - _GAP * (len(columns) - 1)
        widths = _column_widths(cells, wraps, room)
        if widths is None:
            self._rows_as_lines(cells)
            return
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), width=sum(widths) + _GAP * (len(widths) - 1))
        for number, (column, width) in enumerate(zip(cells[0], widths, strict=True)):
            justify: Literal["left", "right"] = "left" if number in texts else "right"
            table.add_column(Text(column), justify=justify, width=width, overflow="fold")
        for row in cells[1:]:
            table.add_row(*(Text(cell, style=getattr(cell, "style", "")) for cell in row))
        self._console.print(table, soft_wrap=False, crop=False)

    def _rows_as_lines(self, cells: Sequence[Sequence[str]]) -> None:
        """Print each row of a table, whose first has the headings, as its first cell and a line for each other one."""
        headings, *rows = cells
        for first, *others in rows:
            self.say(first, style="bold")
            for heading, cell in zip(headings[1:], others, strict=True):
                if cell.strip():
                    self.say(f"  {heading}: {cell}" if heading else f"  {cell}", style=getattr(cell, "style", ""))

    def columns(self, texts: Mapping[str, str]) -> None:
        """Print texts side by side under their names, or below each other where the terminal is narrow."""
        if self.as_json:
            self._emit("answers", answers=texts)
            return
        if self._console.width < _COLUMN_WIDTH * len(texts):
            for name, text in texts.items():
                self.say(f"--- {name} ---", style="bold")
                self.say(text + "\n")
            return
        from rich.table import Table
        from rich.text import Text

        table = Table(pad_edge=False, show_lines=False)
        for name in texts:
            table.add_column(Text(printable(name)), ratio=1)
        table.add_row(*(Text(printable(text)) for text in texts.values()))
        self._console.print(table, soft_wrap=False)

    @contextmanager
    def progress(self, what: str, total: int, *, log: bool = False) -> Iterator[Advance]:
        """Show progress of `total` units; call what is given with (units done since, a note).

        Args:
            what: What is done.
            total: Number of units.
            log: Whether every note is worth a line of its own that stays.
        """
        if self._console.is_terminal and not self._quiet and not self.as_json:
            with self._bar(what, total, log=log) as advance:
                yield advance
        else:
            yield self._lines(what, total, pause=0.0 if log else _JSON_SECONDS if self.as_json else _PLAIN_SECONDS)

    @contextmanager
    def _bar(self, what: str, total: int, *, log: bool) -> Iterator[Advance]:
        from rich import progress

        columns = [
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=min(40, max(4, self._console.width - _BAR - len(what)))),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[note]}", markup=False),
            progress.TimeElapsedColumn(),
        ]
        say = self._lines(what, total, pause=0.0) if log else None
        if say is None:
            columns.append(progress.TimeRemainingColumn())  # which knows nothing before two units are done
        with progress.Progress(*columns, console=self._console) as bars:
            task = bars.add_task(printable(what), total=total, note="")

            def advance(done: int, note: str) -> None:
                bars.update(task, advance=done)
                if say is not None:
                    say(done, note)
                elif note:
                    bars.update(task, note=printable(note))

            yield advance

    def _lines(self, what: str, total: int, *, pause: float) -> Advance:
        started = last = time.monotonic()
        count = 0

        def advance(done: int, note: str) -> None:
            nonlocal started, last, count
            count += done
            now = time.monotonic()
            if not count:  # the work starts now; what came before was loading
                started = last = now
            if not done and note and not pause:
                self.say(f"  {note}")
            if not done or (now - last < pause and count < total):
                return
            last = now
            if self.as_json:
                self._emit("progress", progress=what, done=count, total=total, seconds=now - started, note=note)
                return
            left = (now - started) / count * (total - count)
            rest = f", about {duration(left)} left" if count < total else f", {duration(now - started)}"
            self.say(f"  {what}: {count}/{total}{rest}{f', {note}' if note else ''}")

        return advance


def _printable_cell(cell: str) -> str:
    return Styled(printable(cell), cell.style) if isinstance(cell, Styled) else printable(cell)


def _column_widths(cells: Sequence[Sequence[str]], wraps: Sequence[bool], room: int | None) -> list[int] | None:
    """Width of every column of a table.

    Args:
        cells: Rows of cells, the headings first.
        wraps: By column, whether its cells may wrap; headings always may.
        room: Columns of the terminal for all of them; None if there is no limit.

    Returns:
        Widths with which nothing is cut and no number wraps, or None if there are none for so little room.
    """
    from rich.cells import cell_len

    def longest(texts: Sequence[str], *, by_word: bool) -> int:
        parts = (part for text in texts for part in (text.split() if by_word else text.split("\n")))
        return max((cell_len(part) for part in parts), default=0)

    columns = [[row[number] for row in cells] for number in range(len(cells[0]))]
    full = [longest(column, by_word=False) for column in columns]
    if room is None or sum(full) <= room:
        return full
    least = [
        min(width, max(longest(column[:1], by_word=True), min(_LONGEST_WORD, longest(column, by_word=True))))
        if can_wrap
        else max(longest(column[1:], by_word=False), longest(column[:1], by_word=True))
        for column, width, can_wrap in zip(columns, full, wraps, strict=True)
    ]
    for most in range(max(full), -1, -1):
        widths = [max(low, min(width, most)) for low, width in zip(least, full, strict=True)]
        if sum(widths) <= room:
            return widths
    return None
