"""Differences between two runs: settings and versions, scores, and the items whose answers changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.document.reading import read_results, samples_of
from reports.document.schema import Results, Sample
from reports.numbers import MISSING

_TIMES = ("created", "command", "stages", "seconds", "costs", "peak_memory_bytes")
_FACTS = ("medbench_version", "seed", "recipe", "environment", "models", "data", "tasks", "reproduction")
_BY_NAME = ("name", "role", "key", "title")


@dataclass(frozen=True)
class ItemChange:
    """One item that a model answers differently in the second run, or that only one of the runs has.

    Attributes:
        what: `item` if the question itself changed; `answer`; `metrics` if the answer is the same; `only in
            the first` or `only in the second`.
    """

    model: str
    task: str
    item: str
    what: str
    before: str
    after: str


@dataclass(frozen=True)
class Difference:
    """All differences between two runs.

    Attributes:
        facts: Differing facts that affect numbers, by path in the results: both values.
        scores: Differing scores by (model, task, metric): both values.
        items: Changed items.
        compared: Number of answers that are in both runs.
    """

    facts: dict[str, tuple[str, str]]
    scores: dict[tuple[str, str, str], tuple[float | None, float | None]]
    items: list[ItemChange]
    compared: int

    @property
    def changes_numbers(self) -> bool:
        """Whether any score or answer differs."""
        return bool(self.scores or self.items)


def diff(first: Path, second: Path) -> Difference:
    """Compare two run folders.

    Raises:
        UserError: One of them has no results, or broken ones.
    """
    results = read_results(first), read_results(second)
    before, after = (dict(_facts(document)) for document in results)
    facts = {
        place: (before.get(place, MISSING), after.get(place, MISSING))
        for place in dict.fromkeys([*before, *after])
        if before.get(place) != after.get(place)
    }
    old, new = ({key: score.value for key, score in document.scores_by_key().items()} for document in results)
    scores = {key: (old.get(key), new.get(key)) for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)}
    items: list[ItemChange] = []
    compared = 0
    for model, task in _pairs(*results):
        sides = [_samples(run, model, task) for run in (first, second)]
        compared += len(set(sides[0]) & set(sides[1]))
        items += _changes(model, task, *sides)
    return Difference(facts, scores, items, compared)


def _pairs(*results: Results) -> list[tuple[str, str]]:
    """Models and tasks that either run scored."""
    return list(dict.fromkeys((score.model, score.task) for document in results for score in document.scores))


def _samples(run: Path, model: str, task: str) -> dict[str, Sample]:
    folder = run if run.is_dir() else run.parent
    samples = samples_of(folder, model, task)
    return {f"{sample.id} (answer {sample.repeat + 1})" if sample.repeat else sample.id: sample for sample in samples}


def _changes(model: str, task: str, before: dict[str, Sample], after: dict[str, Sample]) -> Iterator[ItemChange]:
    for item in dict.fromkeys([*before, *after]):
        old, new = before.get(item), after.get(item)
        if old is None or new is None:
            if before and after:
                which = "only in the first" if new is None else "only in the second"
                yield ItemChange(model, task, item, which, old.output if old else "", new.output if new else "")
        elif (old.doc_hash, old.prompt, old.gold) != (new.doc_hash, new.prompt, new.gold):
            yield ItemChange(model, task, item, "item", old.prompt, new.prompt)
        elif old.output != new.output:
            yield ItemChange(model, task, item, "answer", old.output, new.output)
        elif old.metrics != new.metrics:
            yield ItemChange(model, task, item, "metrics", str(old.metrics), str(new.metrics))


def _facts(results: Results) -> Iterator[tuple[str, str]]:
    """Yield (path, value) of everything that affects numbers, without times."""
    value = results.model_dump(mode="json")
    for section in _FACTS:
        if value.get(section) is not None:
            yield from _flat(section, value[section])


def _flat(place: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in _TIMES:
                yield from _flat(f"{place}.{key}", inner)
    elif isinstance(value, list) and all(isinstance(inner, dict) for inner in value):
        for number, inner in enumerate(value):
            name = next((str(inner[key]) for key in _BY_NAME if key in inner), str(number))
            yield from _flat(f"{place}.{name}", inner)
    else:
        yield place, str(value)
