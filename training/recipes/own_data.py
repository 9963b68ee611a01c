"""Turns a recipe into one for the user's own data: `medbench run --data FILE`."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from reports.errors import UserError
from reports.names import is_plain_name
from tasks.catalog import GENERATION, PERPLEXITY, PUBMEDQA_LABELS
from tasks.data import DataSource, LoadedRows, ReasoningRow, load_rows
from tasks.formats import get_format
from training.recipes.own_questions import FLAG, question_changes, source_change
from training.recipes.recipe import Recipe
from training.recipes.recipe_file import REMOVED, Change, load_recipe

_HELD_OUT = 5  # one of so many rows is scored on
MOST_HELD_OUT = 200
_SPLIT = "--set data.train.split=NAME; to score on another: --set data.reasoning='{source: FILE, split: NAME}'"
_FLAGS: dict[str, Callable[[str], str]] = {  # by what the readers' messages tell to set; the first that matches
    r"columns: \{(.*?)\}": lambda mapping: f"--columns {mapping.replace(': ', '=').replace(', ', ',')}",
    r"(with|set) split": lambda _: _SPLIT,
    r"set config": lambda _: "--set data.train.config=NAME",
    r"set kind: (\w+)": lambda kind: f"--set data.train.kind={kind}",
}
_SUFFIXES = re.compile(r"(\.(jsonl?|ndjson|csv|tsv|parquet|arrow))?(\.(gz|bz2|xz|zst))?$", re.IGNORECASE)
_MOST_CHARACTERS = 80  # of a recipe's name


def own_data_recipe(
    recipe: str,
    data: Sequence[str],
    columns: Mapping[str, str],
    base: str | None,
    overrides: Sequence[str],
    say: Callable[[str], None],
    questions: Sequence[str] = (),
) -> Recipe:
    """A recipe whose rows are replaced: a part of the user's rows, drawn by seed, is scored on, the rest trained on.

    Tasks on the synthetic PubMedQA items are left out. Overrides come last.

    Args:
        recipe: Name or file of the recipe with all other settings.
        data: Files, folders, globs or a hub data set.
        columns: Names of the columns in the data by the names that medbench uses.
        base: The base model, or None for the recipe's.
        overrides: `key.path=value`.
        say: Receives a sentence on each thing that was decided.
        questions: The user's own multiple-choice questions, which are scored too.

    Raises:
        UserError: The data or the recipe cannot be used.
    """
    train = {"source": data[0] if len(data) == 1 else [*data], "columns": dict(columns)}
    changes: dict[tuple[str, str], Change] = {
        ("description", "--data"): f"own data with the settings of {Path(recipe).stem}",
        ("data.train", "--data"): train,
        **{(f"data.{key}", "--data"): REMOVED for key in ("validation", "reasoning", "reasoning_rows")},
    }
    if base is not None:
        changes["model.base", "--base"] = base
    original = load_recipe(recipe)
    changes |= source_change(questions, {})
    if original.data.validation is not None:
        changes["data.validation_rows", "--data"] = 1
    first = load_recipe(recipe, overrides, changes)
    loaded = _load(first)
    rows = len(loaded.rows)
    name = run_name(first.data.train)
    changes |= {("name", "--data"): name, ("report.title", "--data"): f"medbench: {name}"}
    held_out = min(MOST_HELD_OUT, rows // _HELD_OUT or 1)
    if original.data.validation is not None:
        changes["data.validation_rows", "--data"] = held_out
    is_split = first.data.reasoning is None and first.data.reasoning_rows is None
    if is_split:
        changes["data.reasoning_rows", "--data"] = held_out
    left_out = [task for task in first.scoring.tasks if first.data.pubmedqa.is_sample and task in PUBMEDQA_LABELS]
    unanswerable = [GENERATION] if is_split and loaded.account.kind == "text" else []
    kept = [task for task in first.scoring.tasks if task not in (*left_out, *unanswerable)]
    kept = kept or [PERPLEXITY, *([] if unanswerable else [GENERATION])]
    changes["scoring.tasks", "--data"] = kept
    changes |= question_changes(questions, {}, kept)
    kept = changes.get(("scoring.tasks", FLAG), kept)
    resolved = load_recipe(recipe, overrides, changes)
    source = resolved.data.train
    say(f"data: {source.public_name}, {rows:,} different rows{_mapping(source)}")
    held_out = resolved.data.reasoning_rows or 0
    if is_split and held_out:
        trained_on = min(rows - held_out, source.rows or rows)
        noun = "rows" if held_out > 1 else "row"
        say(f"split by seed {resolved.seed}: {held_out:,} {noun} to score on, {trained_on:,} to train on")
    if left_out and resolved.scoring.tasks == kept:
        say(f"left out: {', '.join(left_out)}, whose items are synthetic; set data.pubmedqa.source to score on others")
    if unanswerable and resolved.scoring.tasks == kept:
        say(f"left out: {GENERATION}, since plain texts hold no questions to answer")
    say(f"all other settings are those of {Path(recipe).stem}; name of the run: {name}")
    return resolved


def _load(recipe: Recipe) -> LoadedRows[ReasoningRow]:
    """All different rows of the training source.

    Raises:
        UserError: It cannot be read, or has a single row.
    """
    source = recipe.data.train
    try:
        loaded = load_rows(
            source.model_copy(update={"rows": None}), seed=recipe.seed, answer_format=get_format(recipe.format.name)
        )
    except UserError as error:
        matches = ((flag, re.search(pattern, error.fix or "")) for pattern, flag in _FLAGS.items())
        flag = next((flag(match[match.lastindex or 0]) for flag, match in matches if match), None)
        if flag is None:
            raise
        raise UserError(error.what, where=error.where, fix=f"{error.fix}; on the command line: {flag}") from error
    if len(loaded.rows) == 1:
        raise UserError("one row cannot be split", where=source.label, fix="give more rows")
    return loaded


def _mapping(source: DataSource) -> str:
    return "".join(f", {name} from {column}" for name, column in source.columns.items())


def run_name(source: DataSource) -> str:
    """Name of a run after its data: the file without suffix, or the folder of several files."""
    files = source.files()
    folder = source.dataset_folder()
    if not files or source.is_sample:
        stem = re.split(r"[/:]", source.label)[-1]
    elif len(files) == 1:
        stem = _SUFFIXES.sub("", files[0].name)
    else:
        stem = (folder or Path(os.path.commonpath([file.absolute().parent for file in files]))).resolve().name
    ascii_only = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9._-]+", "-", ascii_only).strip("-._")[:_MOST_CHARACTERS]
    return name if is_plain_name(name) else f"data-{name}".strip("-")
