"""Options that several commands share, and how lists in them are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reports.errors import UserError

Recipe = Annotated[
    str | None, typer.Option("--recipe", help="A recipe's name or YAML file; the quickstart if not given.")
]
RecipeArgument = Annotated[
    str | None, typer.Argument(help="A recipe's name or YAML file; the quickstart if not given.")
]
Run = Annotated[Path, typer.Argument(help="A run folder.")]
Models = Annotated[
    str,
    typer.Option(
        "--models",
        help="base, adapter (the recipe's own), NAME=folder-or-hub-id, NAME='FOLDER/checkpoint-*', with commas.",
    ),
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
Again = Annotated[
    bool, typer.Option("--again", help="Score everything again, also items whose answers the folder holds.")
]


def numbers(text: str | None) -> list[int] | None:
    """Whole numbers separated by commas.

    Raises:
        UserError: It is something else.
    """
    try:
        return None if text is None else [int(number) for number in text.split(",")]
    except ValueError:
        raise UserError("not a list of whole numbers", where=f"--seeds {text}", fix="write --seeds 1,2,3") from None


def split_names(names: str | None) -> list[str] | None:
    """Names separated by commas."""
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]
