"""Says what differs between two runs: settings and versions, figures, and the items whose answers changed."""

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
    """One item that one model answers otherwise in the second run, or that only one of the runs asked.

    Attributes:
        what: `item`, where the question itself changed; `answer`; `metrics`, where the answer is the same; `only in
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
    """All that differs between two runs.

    Attributes:
        facts: What could change a number, by its place in the results: the two values.
        figures: (model, task, metric) of figures that differ: the two values.
        items: Items that changed.
        compared: How many answers of the same model to the same task and item there are in both.
    """

    facts: dict[str, tuple[str, str]]
    figures: dict[tuple[str, str, str], tuple[float | None, float | None]]
    items: list[ItemChange]
    compared: int

    @property
    def changes_numbers(self) -> bool:
        """Whether any figure or answer differs."""
        return bool(self.figures or self.items)


def diff(first: Path, second: Path) -> Difference:
    """Compare two run folders.

    Raises:
        UserError: One of them holds no results, or broken ones.
    """
    results = read_results(first), read_results(second)
    before, after = (dict(_facts(each)) for each in results)
    facts = {
        place: (before.get(place, MISSING), after.get(place, MISSING))
        for place in dict.fromkeys([*before, *after])
        if before.get(place) != after.get(place)
    }
    old, new = ({key: score.value for key, score in each.scores_by_key().items()} for each in results)
    figures = {key: (old.get(key), new.get(key)) for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)}
    items: list[ItemChange] = []
    compared = 0
    for model, task in _pairs(*results):
        sides = [_samples(run, model, task) for run in (first, second)]
        compared += len(set(sides[0]) & set(sides[1]))
        items += _changes(model, task, *sides)
    return Difference(facts, figures, items, compared)


def _pairs(*results: Results) -> list[tuple[str, str]]:
    """Models and tasks that either run scored."""
    return list(dict.fromkeys((score.model, score.task) for each in results for score in each.scores))


def _samples(run: Path, model: str, task: str) -> dict[str, Sample]:
    folder = run if run.is_dir() else run.parent
    samples = samples_of(folder, model, task)
    return {f"{each.id} (answer {each.repeat + 1})" if each.repeat else each.id: each for each in samples}


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
    """(place, value) of everything that could change a number, without times."""
    value = results.model_dump(mode="json")
    for section in _FACTS:
        if value.get(section) is not None:
            yield from _flat(section, value[section])


def _flat(place: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key not in _TIMES:
                yield from _flat(f"{place}.{key}", each)
    elif isinstance(value, list) and all(isinstance(each, dict) for each in value):
        for number, each in enumerate(value):
            name = next((str(each[key]) for key in _BY_NAME if key in each), str(number))
            yield from _flat(f"{place}.{name}", each)
    else:
        yield place, str(value)
