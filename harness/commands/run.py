"""The main job and its stages: `medbench run`, `plan`, `train` and `score`, and a single question: `medbench ask`."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.commands.options import (
    Again,
    Base,
    Columns,
    Data,
    Detect,
    Discordance,
    FromBundle,
    Limit,
    Models,
    MoreData,
    Out,
    Power,
    Questions,
    Recipe,
    RecipeOrData,
    Seed,
    Seeds,
    Settings,
    Tasks,
    all_sources,
    column_names,
    numbers,
    recipe_and_data,
    split_names,
)
from harness.console import Terminal
from training.models.model import DEFAULT_MODELS


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
    data: Data = None,
    more_data: MoreData = None,
    columns: Columns = None,
    base: Base = None,
    questions: Questions = None,
    from_bundle: FromBundle = None,
) -> None:
    """Train the adapter where needed, score all models on the same questions, compare them and write a report."""
    import harness

    rows, own_questions = all_sources("medbench run", data, questions, more_data)
    harness.run(
        recipe,
        data=rows,
        questions=own_questions,
        columns=column_names(columns),
        base=base,
        models=models,
        tasks=split_names(tasks),
        limit=limit,
        settings=settings or (),
        out=out,
        seed=seed,
        seeds=numbers(seeds),
        again=again,
        from_bundle=from_bundle,
    )


def plan(  # noqa: PLR0913, PLR0917 - one for each flag
    words: RecipeOrData = None,
    recipe: Recipe = None,
    settings: Settings = None,
    seed: Seed = None,
    data: Data = None,
    columns: Columns = None,
    base: Base = None,
    questions: Questions = None,
    from_bundle: FromBundle = None,
    power: Power = False,  # noqa: FBT002
    detect: Detect = None,
    discordance: Discordance = None,
) -> None:
    """Show what a training will do before it starts: rows, lengths, an example, parameters, memory and time."""
    import harness

    named, more_data = (None, words) if recipe else recipe_and_data(words, data or questions)
    rows, own_questions = all_sources("medbench plan", data, questions, more_data)
    harness.plan(
        recipe or named,
        settings=settings or (),
        seed=seed,
        data=rows,
        questions=own_questions,
        columns=column_names(columns),
        base=base,
        from_bundle=from_bundle,
        power=power,
        detect=detect,
        discordance=discordance,
    )


def train(  # noqa: PLR0913, PLR0917 - one for each flag
    recipe: Recipe = None,
    settings: Settings = None,
    out: Out = None,
    seed: Seed = None,
    data: Data = None,
    more_data: MoreData = None,
    columns: Columns = None,
    base: Base = None,
    from_bundle: FromBundle = None,
) -> None:
    """Train the recipe's adapter without scoring it."""
    import harness

    harness.train(
        recipe,
        settings=settings or (),
        out=out,
        seed=seed,
        data=all_sources("medbench train", data, None, more_data)[0],
        columns=column_names(columns),
        base=base,
        from_bundle=from_bundle,
    )


def score(  # noqa: PLR0913, PLR0917 - one for each flag
    recipe: Recipe = None,
    models: Models = DEFAULT_MODELS,
    tasks: Tasks = None,
    limit: Limit = None,
    settings: Settings = None,
    out: Out = None,
    seed: Seed = None,
    again: Again = False,  # noqa: FBT002
    questions: Questions = None,
    more_questions: MoreData = None,
    columns: Columns = None,
    from_bundle: FromBundle = None,
) -> None:
    """Score and compare models without training. With --out and no --recipe, the folder's own recipe is used."""
    import harness

    harness.score(
        recipe,
        questions=all_sources("medbench score", None, questions, more_questions)[1],
        columns=column_names(columns),
        models=models,
        tasks=split_names(tasks),
        limit=limit,
        settings=settings or (),
        out=out,
        seed=seed,
        again=again,
        from_bundle=from_bundle,
    )


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
    answers = harness.ask(
        question, recipe, models=models, settings=settings or (), out=out, max_new_tokens=max_new_tokens
    )
    Terminal().columns(answers)
    Terminal().say(NOT_MEDICAL_ADVICE, style="bold")
