"""Options that several commands share, and how lists in them are read."""

from __future__ import annotations

import re
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
RecipeOrData = Annotated[
    list[str] | None, typer.Argument(metavar="[recipe]", help="The same as --recipe, or more files of --data.")
]
Run = Annotated[Path, typer.Argument(help="A run folder.")]
Models = Annotated[
    str,
    typer.Option(
        "--models",
        help="base, adapter (the recipe's own), adapter@STEP or 'adapter@*' (its checkpoints), NAME=SOURCE: a folder or"
        " hub id of an adapter or a whole model, a .gguf file, http://HOST/v1#MODEL, or 'FOLDER/checkpoint-*'; with"
        " commas.",
    ),
]
Tasks = Annotated[
    str | None,
    typer.Option(
        "--tasks",
        help="lm-eval task names, suites (`medbench list suites`), your own task files (.yaml) or folders of them, with"
        " commas, instead of the recipe's.",
    ),
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
Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data", help="Your rows: files, a folder, a glob or a hub data set, split by seed into training and scoring."
    ),
]
Questions = Annotated[
    list[str] | None,
    typer.Option(
        "--questions",
        help="Your own multiple-choice questions, scored in addition: files, a folder, a glob or a hub data set.",
    ),
]
MoreData = Annotated[list[str] | None, typer.Argument(metavar="", hidden=True, help="More files of --data.")]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--columns",
        help="Columns of --data, such as question=Prompt,reasoning=Rationale,answer=Answer, or of --questions, such as"
        " 'question=Stem,options=A|B|C|D,answer=Key'.",
    ),
]
Base = Annotated[str | None, typer.Option("--base", help="The base model, a folder or a hub id, not the recipe's.")]
FromBundle = Annotated[
    Path | None,
    typer.Option(
        "--from-bundle",
        help="Read data sets and models from a folder of `medbench bundle`, without a network; also MEDBENCH_BUNDLE.",
    ),
]
Again = Annotated[
    bool, typer.Option("--again", help="Score everything again, also items whose answers the folder holds.")
]

Power = Annotated[
    bool, typer.Option("--power", help="Show how many items it takes to call a difference better, worse or equivalent.")
]
Detect = Annotated[
    float | None,
    typer.Option(
        "--detect", help="--power for this difference, such as 0.05, not each metric's smallest relevant one."
    ),
]
Discordance = Annotated[
    float | None,
    typer.Option(
        "--discordance",
        help="--power if this share of the items is right for one model only; else from earlier answers, or 0.2.",
    ),
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


def all_sources(
    command: str, data: list[str] | None, questions: list[str] | None, more: list[str] | None
) -> tuple[list[str], list[str]]:
    """The sources after `--data` and `--questions`, with those that a shell puts behind the first in place of a glob.

    Raises:
        UserError: There is no option that these could belong to, or there are two.
    """
    if more and bool(data) == bool(questions):
        what = "it could belong to --data or --questions" if data else "it belongs to no option"
        fix = "quote globs, and repeat the option for each file" if data else f"see {command} --help"
        raise UserError(what, where=f"{command} {more[0]}", fix=fix)
    rest = more or []
    return [*(data or ()), *(rest if data else ())], [*(questions or ()), *(rest if questions else ())]


def recipe_and_data(words: list[str] | None, data: list[str] | None) -> tuple[str | None, list[str]]:
    """The recipe, if it is among the words without an option, and the others, which belong to `--data`."""
    others = list(words or ())
    recipe = next((word for word in others if not data or _is_recipe(word)), None)
    if recipe is not None:
        others.remove(recipe)
    return recipe, others


def _is_recipe(word: str) -> bool:
    """Whether a word next to `--data` is a recipe: a YAML file, or a bare name that is no path."""
    suffix = Path(word).suffix
    return suffix in (".yaml", ".yml") or not (suffix or "/" in word or Path(word).exists())


def column_names(texts: list[str] | None) -> dict[str, str]:
    """Columns by the names that medbench uses; commas within a column's name separate nothing.

    Raises:
        UserError: It is no mapping, or a name is there twice.
    """
    columns: dict[str, str] = {}
    for text in texts or ():
        for pair in re.split(r",(?=\s*\w+\s*=)", text):
            name, equals, column = (part.strip() for part in pair.partition("="))
            if not equals or not name or not column or name in columns:
                problem = f"{name} is there twice" if name in columns else f"{pair.strip()!r} is not NAME=COLUMN"
                raise UserError(
                    problem,
                    where=f"--columns {text}",
                    fix="write --columns question=Prompt,reasoning=Why,answer=Answer",
                )
            columns[name] = column
    return columns


def split_names(names: str | None) -> list[str] | None:
    """Names separated by commas."""
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]
