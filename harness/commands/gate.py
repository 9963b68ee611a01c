"""The commands around the gate: `medbench gate`, `medbench baseline set`, `medbench baseline list`, `medbench init`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

CI = Literal["github", "gitlab"]  # as in harness.starter, which `--help` must not wait for
Run = Annotated[Path, typer.Argument(help="A run folder.")]
Store = Annotated[Path, typer.Option("--store", help="The folder of the baselines.")]
_STORE = Path("baselines")

baseline_app = typer.Typer(
    name="baseline",
    help="Store the scores of released models, to gate candidates against.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def gate(
    run: Run,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="A YAML file of rules; a default policy if not given.")
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            "--baseline",
            metavar="RUN[:MODEL]",
            help="A run folder or a stored baseline; RUN's own if not given. May be given several times.",
        ),
    ] = None,
    candidate: Annotated[
        str | None,
        typer.Option("--candidate", metavar="MODEL", help="The model of RUN to judge; its adapter if not given."),
    ] = None,
    store: Store = _STORE,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to write gate.json, .xml and .md; RUN if not given.")
    ] = None,
) -> None:
    """Judge by a policy whether a model may be released. Exit code 0 passed, 1 blocked, 2 bad input, 3 inconclusive."""
    import harness

    report = harness.gate(run, policy=policy, baseline=baseline or None, candidate=candidate, store=store, out=out)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


@baseline_app.command("set")
def baseline_set(
    run: Annotated[str, typer.Argument(metavar="RUN[:MODEL]", help="A run folder and one of its models.")],
    model: Annotated[str | None, typer.Option("--model", help="The model of RUN; its adapter if not given.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Its name in the store; the run's if not given.")] = None,
    store: Store = _STORE,
    force: Annotated[  # noqa: FBT002
        bool, typer.Option("--force", help="Replace a baseline that has tasks or items which this one lacks.")
    ] = False,
) -> None:
    """Store the scores of a model of a finished run and of its items, without texts."""
    from harness.console import Terminal
    from harness.releases.baselines import set_baseline
    from harness.releases.gating import UnfinishedError, read_run, run_and_model
    from reports.errors import UserError

    folder, named = run_and_model(run)
    if model and named and model != named:
        raise UserError(f"it names {named} and {model}", where=f"{run} --model {model}", fix="name one model")
    try:
        source = read_run(folder, model or named)
    except UnfinishedError as reason:
        raise UserError(str(reason), where=str(run), fix="repeat its `medbench run` first") from reason
    kept = set_baseline(source, store, name, force=force)
    Terminal().say(f"baseline {kept.name}: {source.model} of {source.run}\n{kept}")


@baseline_app.command("list")
def baseline_list(store: Store = _STORE) -> None:
    """List the stored baselines, and whether a file was changed."""
    from harness.console import Terminal
    from harness.releases.baselines import list_baselines

    rows = list(list_baselines(store))
    Terminal().table(("name", "model", "run", "scored", "state"), rows, left=True)
    if not rows:
        Terminal().say(f"there is no baseline in {store}; store one with `medbench baseline set RUN`")


def init(
    folder: Annotated[Path, typer.Argument(help="The repository to write into.")] = Path(),
    base: Annotated[str | None, typer.Option("--base", help="The base model: a folder or a hub id.")] = None,
    train: Annotated[str | None, typer.Option("--train", help="Rows to train on.")] = None,
    test: Annotated[str | None, typer.Option("--test", help="Held-out rows to score on.")] = None,
    ci: Annotated[
        CI | None,
        typer.Option("--ci", help="Whose CI file to write; if not given, GitHub's in repositories on GitHub."),
    ] = None,
    action: Annotated[
        str | None, typer.Option("--action", metavar="OWNER/REPO@REF", help="Where GitHub finds medbench's action.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,  # noqa: FBT002
) -> None:
    """Write a starter recipe, gate policy and CI file. For GitHub, a terminal prompts for missing flags."""
    from harness.console import Terminal
    from harness.starter import Answers, known_action, uses_github, write_starter

    system = ci or ("github" if action or uses_github(folder) else "gitlab")
    asks = system == "github" and sys.stdin.isatty()

    def answer(given: str | None, question: str, usual: str | None) -> str:
        return given or (str(typer.prompt(question, default=usual)) if asks else usual or "")

    answers = Answers(
        base=answer(base, "Base model (folder or hub id)", "smollm2-135m-instruct"),
        train=answer(train, "Rows to train on", "samples:reasoning_train"),
        test=answer(test, "Held-out rows to score on", "samples:reasoning_heldout"),
        ci=system,
        action=answer(action, "medbench's action on GitHub (OWNER/REPO@REF)", known_action()),
    )
    write_starter(folder, answers, force=force)
    terminal = Terminal()
    for path in answers.files:
        terminal.say(str(folder / path))
    enter = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))}, "
    terminal.say(f"next: {enter}medbench run --recipe recipe.yaml, then medbench gate runs/starter --policy gate.yaml")
    if system == "gitlab":
        terminal.say(
            "on GitLab: set the CI variable MEDBENCH to what pip installs; for GitHub: medbench init --ci github"
        )
