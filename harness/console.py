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
from datetime import UTC, datetime
from typing import Any, ClassVar

from reports.errors import UserError
from reports.files import dumps
from reports.numbers import duration
from reports.secrets import redact
from reports.text import map_texts, replace_surrogates

# Control characters but tab and line feed, and those that turn the direction of what follows.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_JSON_SECONDS = 1.0  # between two objects of progress
_PLAIN_SECONDS = 15.0  # between two lines of progress where there is no terminal
_COLUMN_WIDTH = 36
_PLAIN_WIDTH = 120  # of tables in a file or a CI log

Advance = Callable[[int, str], None]


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

    def say(self, text: str = "", style: str = "") -> None:
        """Print a line; yellow ones are warnings."""
        if not self.as_json:
            self._console.print(printable(text), style=style or None, markup=False, emoji=False)
        elif text.strip():
            self._emit("message", level="warning" if style == "yellow" else "info", message=text.strip())

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

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: bool = False) -> None:
        """Print a table; the first column is left-aligned, the others right unless `left`."""
        if self.as_json:
            self._emit("table", columns=columns, rows=rows)
            return
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for number, column in enumerate(columns):
            table.add_column(
                Text(printable(column)),
                justify="left" if left or number == 0 else "right",
                no_wrap=not left and number < len(columns) - 1,
            )
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        self._console.print(table, soft_wrap=False)

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
    def progress(self, what: str, total: int) -> Iterator[Advance]:
        """Show progress of `total` units; call what is given with (units done since, a note)."""
        if self._console.is_terminal and not self._quiet and not self.as_json:
            with self._bar(what, total) as advance:
                yield advance
        else:
            yield self._lines(what, total)

    @contextmanager
    def _bar(self, what: str, total: int) -> Iterator[Advance]:
        from rich import progress

        columns = (
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[note]}", markup=False),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
        )
        with progress.Progress(*columns, console=self._console) as bars:
            task = bars.add_task(printable(what), total=total, note="")

            def advance(done: int, note: str) -> None:
                bars.update(task, advance=done)
                if note:
                    bars.update(task, note=printable(note))

            yield advance

    def _lines(self, what: str, total: int) -> Advance:
        started = last = time.monotonic()
        count = 0

        def advance(done: int, note: str) -> None:
            nonlocal started, last, count
            count += done
            now = time.monotonic()
            if not count:  # the work starts now; what came before was loading
                started = last = now
            pause = _JSON_SECONDS if self.as_json else _PLAIN_SECONDS
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
