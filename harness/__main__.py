"""The `medbench` command: reads the command line, calls `harness.api`, turns errors into one message and an exit code.

Exit codes: 0 done, 1 a check failed (`readme --check`, `gate`) or runs differ (`diff`), 2 usage or bad input, 3 `gate`
could not decide, 4 a fault in medbench itself, 130 interrupted (SIGINT), 143 ended (SIGTERM).
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from harness.commands import cache as cache_commands
from harness.commands import comparing as comparing_commands
from harness.commands import doctor as doctor_command
from harness.commands import gate as gate_commands
from harness.commands.rate import rate
from harness.console import Terminal, print_error, printable
from harness.logs import log_fault, quiet_libraries
from harness.planning.model_names import DEFAULT_MODELS
from reports.errors import UserError
from reports.secrets import redact
from training.machine_failures import machine_error
from training.stopping import Stopped, stopping_on_signals

_FAULT = 4

app = typer.Typer(
    name="medbench",
    help="QLoRA-fine-tune a medical language model, score base and adapters on the same questions, and say with"
    " statistics whether the adapter is better. Start with: medbench run",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.add_typer(rate)

Recipe = Annotated[
    str | None, typer.Option("--recipe", help="A recipe's name or YAML file; the quickstart if not given.")
]
Models = Annotated[
    str, typer.Option("--models", help="base, adapter (the recipe's own), NAME=folder-or-hub-id; separated by commas.")
]
Tasks = Annotated[
    str | None, typer.Option("--tasks", help="lm-eval task names, separated by commas, instead of the recipe's.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Items for each task, drawn by seed.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe, such as lora.r=8.")
]
Out = Annotated[Path | None, typer.Option("--out", help="The run folder; runs/RECIPE if not given.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Instead of the recipe's seed.")]
Seeds = Annotated[
    str | None, typer.Option("--seeds", help="Train with each of these, such as 1,2,3, and report their mean too.")
]
Again = Annotated[bool, typer.Option("--again", help="Ask everything anew, also what the folder holds answers to.")]
BaseWeights = Literal["as_trained", "full"]
MergedDType = Literal["bfloat16", "float16", "float32"]
Run = Annotated[Path, typer.Argument(help="A run folder.")]


@app.callback()
def settings_of_all(
    log_json: Annotated[  # noqa: FBT002
        bool, typer.Option("--log-json", help="Say everything, also in run.log, as a JSON object a line.")
    ] = False,
) -> None:
    """Take the options that stand before the command."""
    Terminal.as_json = log_json


@app.command()
def run(  # noqa: PLR0913, PLR0917 - one for each flag
    recipe: Recipe = None,
    models: Models = DEFAULT_MODELS,
    tasks: Tasks = None,
    limit: Limit = None,
    settings: Settings = None,
    out: Out = None,
    seed: Seed = None,
    seeds: Seeds = None,
    again: Again = False,  # noqa: FBT002
) -> None:
    """The main job: plan, train the adapter where needed, score all models on the same questions, compare, report."""
    import harness

    harness.run(
        recipe,
        models=models,
        tasks=_split(tasks),
        limit=limit,
        settings=settings or (),
        out=out,
        seed=seed,
        seeds=_numbers(seeds),
        again=again,
    )


@app.command()
def plan(
    recipe: Annotated[
        str | None, typer.Argument(help="A recipe's name or YAML file; the quickstart if not given.")
    ] = None,
    settings: Settings = None,
) -> None:
    """Say what a training will do, before it does: rows, lengths, an example, parameters, memory, time."""
    import harness

    harness.plan(recipe, settings=settings or ())


@app.command()
def train(recipe: Recipe = None, settings: Settings = None, out: Out = None, seed: Seed = None) -> None:
    """Only train the recipe's adapter."""
    import harness

    harness.train(recipe, settings=settings or (), out=out, seed=seed)


@app.command()
def score(
    recipe: Recipe = None,
    models: Models = DEFAULT_MODELS,
    tasks: Tasks = None,
    limit: Limit = None,
    settings: Settings = None,
    out: Out = None,
    seed: Seed = None,
    again: Again = False,  # noqa: FBT002
) -> None:
    """Only score and compare; nothing is trained. With --out and no --recipe, the folder's own recipe is used."""
    import harness

    harness.score(
        recipe,
        models=models,
        tasks=_split(tasks),
        limit=limit,
        settings=settings or (),
        out=out,
        seed=seed,
        again=again,
    )


@app.command()
def report(
    run: Run,
    templates: Annotated[
        Path | None, typer.Option("--templates", help="A folder of templates that stand in for ours.")
    ] = None,
) -> None:
    """Only write report.md and report.html of a run folder from its results and samples."""
    import harness

    harness.report(run, templates=templates)


@app.command()
def readme(
    file: Annotated[Path, typer.Argument(help="A Markdown file with medbench markers.")] = Path("README.md"),
    check: Annotated[bool, typer.Option("--check", help="Change nothing; print a diff and exit 1 if stale.")] = False,  # noqa: FBT002
) -> None:
    """Write the result tables between the markers of a Markdown file from their runs."""
    from reports.readmes.readme import update

    difference = update(file, check=check)
    terminal = Terminal()
    if check and difference:
        terminal.say(difference)
        terminal.say(f"{file} is stale: run `medbench readme {file}`")
        raise typer.Exit(1)
    terminal.say(f"{file}: {'written' if difference else 'up to date'}")


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(help="A run folder.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
) -> None:
    """Say what differs between two runs: settings and versions, figures, items. Exits 1 if a figure or answer does."""
    from harness.commands.difference import print_difference
    from reports.comparison.diff import diff as difference

    found = difference(first, second)
    print_difference(found, Terminal())
    if found.changes_numbers:
        raise typer.Exit(1)


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="A medical question.")],
    recipe: Recipe = None,
    models: Models = DEFAULT_MODELS,
    settings: Settings = None,
    out: Out = None,
    max_new_tokens: Annotated[
        int | None, typer.Option("--max-new-tokens", min=1, help="Instead of the recipe's.")
    ] = None,
) -> None:
    """Put one question to several models and show their answers side by side."""
    import harness
    from reports.tables import NOT_MEDICAL_ADVICE

    Terminal().say(f"asking {models}")
    found = harness.ask(
        question, recipe, models=models, settings=settings or (), out=out, max_new_tokens=max_new_tokens
    )
    Terminal().columns(found)
    Terminal().say(NOT_MEDICAL_ADVICE, style="bold")


@app.command()
def export(
    source: Annotated[str, typer.Argument(help="A run folder, or an adapter's folder or hub id.")],
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Instead of the recipe in the adapter's folder.")
    ] = None,
    settings: Settings = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder to write; RUN/merged or ADAPTER-merged if not given.")
    ] = None,
    base: Annotated[
        BaseWeights, typer.Option("--base", help="Merge into the base as training saw it, or into its own weights.")
    ] = "as_trained",
    dtype: Annotated[MergedDType, typer.Option("--dtype", help="Of the merged weights.")] = "bfloat16",
    max_shard_size: Annotated[str, typer.Option("--max-shard-size", help="Of one file of weights.")] = "5GB",
) -> None:
    """Merge an adapter into its base: a plain model folder, checked against the unmerged adapter."""
    import harness

    harness.export(
        source, out, recipe=recipe, settings=settings or (), base=base, dtype=dtype, max_shard_size=max_shard_size
    )


@app.command()
def push(
    source: Annotated[Path, typer.Argument(help="A run folder, an adapter's folder, or one that export wrote.")],
    repo: Annotated[str, typer.Argument(help="Its repository on the hub: OWNER/NAME.")],
    execute: Annotated[bool, typer.Option("--execute", help="Send it; without, only say what would be sent.")] = False,  # noqa: FBT002
    public: Annotated[bool, typer.Option("--public", help="For everybody to see; private if not given.")] = False,  # noqa: FBT002
    samples: Annotated[bool, typer.Option("--samples", help="Send the texts of questions and answers too.")] = False,  # noqa: FBT002
    licence: Annotated[str | None, typer.Option("--license", help="For the card, such as apache-2.0.")] = None,
) -> None:
    """Upload an adapter or an exported model, with card and results, to the hub; a dry run unless --execute."""
    import harness

    harness.push(source, repo, execute=execute, public=public, samples=samples, licence=licence)


@app.command("list")
def list_names(what: Annotated[str, typer.Argument(help="recipes, tasks or formats")]) -> None:
    """List what can be named: recipes, tasks or formats."""
    from harness.commands.listing import LISTS, listing

    if what not in LISTS:
        raise UserError(f"there is no list of {what!r}", where="medbench list", fix=f"write one of {', '.join(LISTS)}")

    Terminal().table(("name", "what it is"), listing(what), left=True)


cache_commands.register(app)
comparing_commands.register(app)
gate_commands.register(app)
doctor_command.register(app)


def main() -> None:
    """Run the command; one message and exit code 2 for whatever the user can mend."""
    quiet_libraries()
    try:
        _check_words(sys.argv[1:])
        with stopping_on_signals():
            app()
    except UserError as error:
        print_error(error)
        sys.exit(2)
    except OSError as error:
        what = f"{error.filename or 'the system'}: {error.strerror or error}"
        print_error(UserError(what, fix="check the free disk space and the rights; what is finished is kept"))
        sys.exit(2)
    except Stopped as stop:
        words = redact(shlex.join(["medbench", *sys.argv[1:]]))
        sys.stderr.write(f"stopped by {stop}; what is done is kept, go on with: {words}\n")
        sys.exit(stop.exit_code)
    except Exception as error:  # noqa: BLE001 - a traceback may hold a token or a patient's words: it goes to the log
        told = machine_error(error) if isinstance(error, RuntimeError) else None
        print_error(log_fault(error) if told is None else told)
        sys.exit(_FAULT if told is None else 2)


def _check_words(words: list[str]) -> None:
    """See that the command line could be shown as it is.

    Raises:
        UserError: It has control characters.
    """
    for word in words:
        if any(each not in "\n\t" and not each.isprintable() and ord(each) < 0xA0 for each in word):  # noqa: PLR2004
            raise UserError(
                "it has control characters", where=f"the word {printable(word)[:60]!r}", fix="leave them out"
            )


def _numbers(text: str | None) -> list[int] | None:
    try:
        return None if text is None else [int(number) for number in text.split(",")]
    except ValueError:
        raise UserError("not a list of whole numbers", where=f"--seeds {text}", fix="write --seeds 1,2,3") from None


def _split(names: str | None) -> list[str] | None:
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]


if __name__ == "__main__":
    main()
