"""A copy of a run folder without the texts of its questions and answers, for folders that others can read.

The scores, the comparisons and everything that the gate needs stay: ids and hashes of items, values of metrics, counts
of tokens, labels of classes. What stays is listed in docs/reports.md, since ids and labels come from the user's data.
"""

from __future__ import annotations

import contextlib
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from reports.comparison.slices import MIN_ITEMS
from reports.comparison.slicing import CLASS
from reports.document.checksums import verified_facts, write_samples
from reports.document.reading import read_samples, read_scored, samples_path, write_results
from reports.document.schema import Results, Sample
from reports.document.slices import TaskSlices
from reports.errors import UserError

NOTE = "The texts of questions and answers were removed from this copy of the run."
_REFERENCES = 1  # letters of a label that stands for an option, such as B


@contextlib.contextmanager
def emptied_on_failure(out: Path) -> Iterator[Path]:
    """A new or empty folder for a copy; a copy that fails leaves nothing in it, so that it can be repeated.

    Raises:
        UserError: The folder has something in it.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError("it is not an empty folder", where=str(out), fix="give a new folder after --redact")
    try:
        yield out
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise


def redact(run: Path, out: Path) -> Path:
    """Write results and samples of a run folder without texts into a new folder; returns it.

    Args:
        run: A scored run folder.
        out: Where the copy goes, a new or empty folder.

    Raises:
        UserError: The run has no results, or a samples file was changed.
    """
    results = read_scored(run)
    columns: dict[str, set[str]] = defaultdict(set)
    labels: dict[str, set[str]] = defaultdict(set)
    for one in results.slices:
        columns[one.task].add(one.column)
    for count in results.classes:
        labels[count.task].add(count.label)
    for model in results.models:
        for task in results.tasks:
            path = samples_path(run, model.name, task.name)
            if not path.is_file():
                continue
            samples = (redacted(sample, columns[task.name], labels[task.name]) for sample in read_samples(path))
            write_samples(samples_path(out, model.name, task.name), samples, verified_facts(path))
    write_results(out, _without_examples(results))
    return out


def redacted(sample: Sample, columns: set[str], labels: set[str]) -> Sample:
    """A sample without its texts.

    Args:
        sample: The sample.
        columns: Columns of the data that results list slices of; their values stay, those of others go.
        labels: Labels of classes that results list; they and single letters stay, other options become `option 2`.
    """
    options = {
        choice: choice if choice in labels or len(choice) <= _REFERENCES else f"option {number}"
        for number, choice in enumerate(sample.choices or {}, start=1)
    }

    def label(text: str) -> str:
        return options.get(text, text if text in labels else "")

    return sample.model_copy(
        update={
            "prompt": "",
            "question": None,
            "output": label(sample.output),
            "gold": label(sample.gold),
            "choices": {options[choice]: nats for choice, nats in sample.choices.items()} if sample.choices else None,
            "fields": {column: value for column, value in sample.fields.items() if column in columns},
        }
    )


def _without_examples(results: Results) -> Results:
    recipe = {**results.recipe, "report": {**results.recipe.get("report", {}), "samples": 0}}
    slices = [_without_texts(one) if one.column == CLASS else one for one in results.slices]
    return results.model_copy(update={"recipe": recipe, "slices": slices, "notes": [*results.notes, NOTE]})


def _without_texts(by_label: TaskSlices) -> TaskSlices:
    """Slices by gold answer; an answer to few items is the text of an option, not the label of a class."""
    slices = [
        one
        if one.value is None or len(one.value) <= _REFERENCES or one.n >= MIN_ITEMS
        else one.model_copy(update={"value": f"answer {number}"})
        for number, one in enumerate(by_label.slices, start=1)
    ]
    return by_label.model_copy(update={"slices": slices})
