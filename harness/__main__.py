"""The `medbench` command: reads the command line, calls the Python API, turns errors into one message and an exit code.

Exit codes: 0 done, 1 a check failed (`readme --check`, `gate`) or runs differ (`diff`), 2 usage or bad input, 3 `gate`
could not decide, 4 a fault in medbench itself, 130 interrupted (SIGINT), 143 ended (SIGTERM).
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import shlex
import sys
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

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
        for title, commands in _COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, sentence) for name, (_, sentence) in commands.items()])


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


_COMMANDS = {  # by what they are for: (function or Typer app below harness.commands, first sentence of its help)
    "Train and score": {
        "run": (
            "run.run",
            "Train the adapter where needed, score all models on the same questions, compare them and write a report.",
        ),
        "plan": (
            "run.plan",
            "Show what a training will do before it starts: rows, lengths, an example, parameters, memory and time.",
        ),
        "train": ("run.train", "Train the recipe's adapter without scoring it."),
        "score": ("run.score", "Score and compare models without training."),
        "sweep": (
            "comparing.sweep",
            "Train and score every combination of some settings once, and compare all with the base in one report.",
        ),
        "ask": ("run.ask", "Put one question to several models and show their answers side by side."),
    },
    "Look at results": {
        "view": (
            "view.view",
            "Show all runs below a folder on a local page, with filters, a metric over time, and links to the reports.",
        ),
        "report": (
            "reports.report",
            "Write report.md and report.html of a run folder again, from its results and samples.",
        ),
        "compare": (
            "comparing.compare",
            "Compare the models of several runs on the items that they share, in one report.",
        ),
        "diff": ("reports.diff", "Show what differs between two runs: settings, versions, scores and answers."),
        "readme": ("reports.readme", "Write the result tables between the markers of a Markdown file from their runs."),
        "judge": (
            "judge.judge",
            "Have a model judge the generated answers of a run, blinded, and report its scores, biases and faults.",
        ),
        "rate": (
            "rate.rate",
            "Export a sheet on which people rate answers blindly, and import it when it is filled in.",
        ),
        "convert": (
            "comparing.convert",
            "Write a run's scores and samples for other tools: CSV, Parquet, or lm-eval's own layout.",
        ),
    },
    "Release": {
        "gate": ("gate.gate", "Judge by a policy whether a model may be released."),
        "baseline": ("gate.baseline_app", "Store the scores of released models, to gate candidates against."),
        "init": ("gate.init", "Write a starter recipe, gate policy and CI file."),
        "export": (
            "release.export",
            "Merge an adapter into its base as a model folder or GGUF file, and compare it with the unmerged adapter.",
        ),
        "verify": ("release.verify", "Certify that a deployed model is the evaluated one."),
        "push": ("release.push", "Upload an adapter or exported model, with its card, to the hub."),
    },
    "Models, data and this machine": {
        "list": ("listing.list_names", "List recipes, tasks, formats or suites."),
        "bundle": (
            "bundle.bundle",
            "Fetch the data sets and models of a run into a folder that --from-bundle reads without a network.",
        ),
        "cache": (
            "cache.cache_app",
            "Show or clear the stored answers that all runs share, so that no question is answered twice.",
        ),
        "doctor": ("doctor.doctor", "Check what medbench needs of this machine, and say what to do."),
    },
}
_PLACES = {name: place for commands in _COMMANDS.values() for name, (place, _) in commands.items()}


def make_app(wanted: str | None = None) -> typer.Typer:
    """The command line, with all commands or only the one that is wanted ("": none, which is enough for the help).

    To import all commands, and to read the annotations of their options, takes longer than to import Typer.
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
    names: Iterable[str] = _PLACES  # of a name that there is not, the error suggests one of all
    if wanted == "":
        names = ()
    elif wanted in _PLACES:
        names = (wanted,)
    for name in names:
        module, _, attribute = _PLACES[name].partition(".")
        command = getattr(importlib.import_module(f"harness.commands.{module}"), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command)
        else:
            app.command(name)(command)
    return app


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
