"""The `medbench` command: reads the command line, calls the Python API, turns errors into one message and an exit code.

Exit codes: 0 done, 1 a check failed (`readme --check`, `gate`) or runs differ (`diff`), 2 usage or bad input, 3 `gate`
could not decide, 4 a fault in medbench itself, 130 interrupted (SIGINT), 143 ended (SIGTERM).
"""

from __future__ import annotations

import contextlib
import functools
import re
import shlex
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from harness.commands import bundle, cache, comparing, doctor, gate, judge, listing, rate, release, reports, run, view
from harness.console import Terminal, prepare_streams, print_error, printable
from harness.logs import drop_unhandled, log_fault, quiet_libraries
from reports.errors import UserError, is_failure
from reports.secrets import redact
from reports.version import __version__
from training.stopping import Stopped, stopping_on_signals

_USAGE, _FAULT = 2, 4
_NO_FOLDERS = ("--policy", "--baseline", "--candidate", "--store")  # options of `gate` whose values hold no verdict


class _GroupedCommands(TyperGroup):
    """Lists the commands of `--help` by what they are for, each with its first sentence in full."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the signature is Typer's
        """Write a list of commands for each group."""
        for title, names in _GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, _first_sentence(self.commands[name].help or "")) for name in names])


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.)\s+(?=[A-Z])", " ".join(text.split()))[0]


def _print_version(is_wanted: bool) -> None:  # noqa: FBT001 - the value of a flag
    if is_wanted:
        Terminal().say(f"medbench {__version__}")
        raise typer.Exit


def global_options(
    log_json: Annotated[  # noqa: FBT002
        bool, typer.Option("--log-json", help="Say everything, also in run.log, as a JSON object a line.")
    ] = False,
    version: Annotated[  # noqa: ARG001, FBT002 - its callback prints it
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that stand before the command."""
    Terminal.as_json = log_json


_COMMANDS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "plan": run.plan,
    "train": run.train,
    "score": run.score,
    "ask": run.ask,
    "report": reports.report,
    "readme": reports.readme,
    "diff": reports.diff,
    "view": view.view,
    "export": release.export,
    "push": release.push,
    "verify": release.verify,
    "bundle": bundle.bundle,
    "list": listing.list_names,
    "compare": comparing.compare,
    "sweep": comparing.sweep,
    "convert": comparing.convert,
    "judge": judge.judge,
    "gate": gate.gate,
    "init": gate.init,
    "doctor": doctor.doctor,
}
_GROUPS = {
    "Train and score": ("run", "plan", "train", "score", "sweep", "ask"),
    "Look at results": ("view", "report", "compare", "diff", "readme", "judge", "rate", "convert"),
    "Release": ("gate", "baseline", "init", "export", "verify", "push"),
    "Models, data and this machine": ("list", "bundle", "cache", "doctor"),
}
_FURTHER = {"rate": rate.rate, "cache": cache.cache_app, "baseline": gate.baseline_app}  # with commands of their own


def make_app(wanted: str | None = None) -> typer.Typer:
    """The command line; if only one command is wanted, the others are there with their help, but without options.

    Typer reads the annotations of all options when it starts, which takes as long as its import.
    """
    app = typer.Typer(
        name="medbench",
        cls=_GroupedCommands,
        help="QLoRA-fine-tune a medical language model, score base and adapters on the same questions, and say with"
        " statistics whether the adapter is better. Start with: medbench run",
        epilog="`medbench COMMAND --help` describes the options of a command.",
        context_settings={"help_option_names": ["-h", "--help"]},
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(global_options)
    for name, command in _COMMANDS.items():
        app.command(name, help=command.__doc__)(command if wanted in (None, name) else _nothing)
    for name, group in _FURTHER.items():
        if wanted in (None, name):
            app.add_typer(group)
        else:
            app.command(name, help=group.info.help)(_nothing)
    return app


def _nothing() -> None:
    """Stand for a command that this command line does not call."""


def main() -> None:
    """Run the command; one message and exit code 2 for user errors."""
    try:
        _main()
    except SystemExit as end:
        if end.code == _USAGE:
            _remove_verdicts(sys.argv[1:])
        raise


def _command_name(words: list[str]) -> str:
    """The command that words name; empty if none."""
    return next((word for word in words if not word.startswith("-")), "")


def _remove_verdicts(words: list[str]) -> None:
    """Remove an earlier verdict from the folders of a `gate` whose command line could not be used."""
    if _command_name(words) != "gate":
        return
    from harness.releases.gate_reports import remove_reports

    for before, word in pairwise(words):
        is_folder = bool(word) and not word.startswith("-") and before not in _NO_FOLDERS
        if is_folder or word.startswith("--out="):
            with contextlib.suppress(OSError, ValueError):
                remove_reports(Path(word.removeprefix("--out=")))


@functools.cache
def _click_command(wanted: str) -> Callable[[], None]:
    """The commands as Click has them, for calling one of them."""
    return typer.main.get_command(make_app(wanted))


def _check_platform() -> None:
    if sys.platform == "win32":
        what = "medbench does not run on Windows itself: it handles files and memory as POSIX has them"
        raise UserError(what, fix="run it in the Windows Subsystem for Linux (wsl --install), which also sees the GPU")


def _main() -> None:
    prepare_streams()
    drop_unhandled()
    quiet_libraries()
    try:
        _check_platform()
        _check_words(sys.argv[1:])
        with stopping_on_signals():
            _click_command(_command_name(sys.argv[1:]))()
    except UserError as error:
        print_error(error)
        sys.exit(_USAGE)
    except OSError as error:
        what = f"{error.filename or 'the system'}: {error.strerror or error}"
        print_error(UserError(what, fix="check the free disk space and the rights; what is finished is kept"))
        sys.exit(_USAGE)
    except Stopped as stop:
        words = redact(shlex.join(["medbench", *sys.argv[1:]]))
        sys.stderr.write(f"stopped by {stop}; what is done is kept, go on with: {words}\n")
        sys.exit(stop.exit_code)
    except BaseException as error:
        if not is_failure(error):
            raise
        from training.machine_failures import machine_error

        # a traceback may hold a token or a patient's words: it goes to the log
        machine = machine_error(error) if isinstance(error, RuntimeError) else None
        print_error(log_fault(error) if machine is None else machine)
        sys.exit(_FAULT if machine is None else _USAGE)


def _check_words(words: list[str]) -> None:
    """See that the command line could be shown as it is.

    Raises:
        UserError: It has control characters.
    """
    for word in words:
        if any(char not in "\n\t" and not char.isprintable() and ord(char) < 0xA0 for char in word):  # noqa: PLR2004
            raise UserError(
                "it has control characters", where=f"the word {printable(word)[:60]!r}", fix="leave them out"
            )


if __name__ == "__main__":
    main()
