"""Groups the items of a task by a column of the data: by value, or by quarter for columns of numbers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reports.document.schema import Sample
from reports.document.slices import SliceKind

CLASS = "class"  # what recipes and policies call the gold label
LENGTH = "length"  # characters of the question, if no column has this name
_MOST_NUMBERS = 8  # different numbers that are slices of their own; more are divided into quarters
_QUARTERS = (0.25, 0.5, 0.75)
_LONGEST = 200  # of a value, in characters; longer gold answers are no labels


@dataclass(frozen=True)
class Grouping:
    """The slices of a column.

    Attributes:
        kind: Whether slices are single values or quarters.
        items: Ids of the items by slice, in the order of tables; None for the items without a value.
    """

    kind: SliceKind
    items: dict[str | None, list[str]]


def column_value(sample: Sample, column: str) -> str | None:
    """A column of an item, or its gold label if the column is `class`; None if it has no value."""
    return sample.gold if column == CLASS else sample.fields.get(column)


def question_length(sample: Sample) -> int:
    """Characters of the question, or of the prompt if the task has no question by itself."""
    return len(sample.prompt if sample.question is None else sample.question)


def group_items(column: str, values: Mapping[str, str | None], lengths: Mapping[str, int]) -> Grouping | None:
    """Group items by a column; None if no item has a value of it.

    Numbers are divided into quarters of the items, equal numbers always into the same one; up to eight different
    numbers are slices of their own, like texts.

    Args:
        column: Name of the column.
        values: The column's value by item.
        lengths: Length of the question by item, for the column `length` if no item has a value of that name.
    """
    texts = {item: text for item, value in values.items() if value is not None and (text := value.strip())}
    texts = {item: text for item, text in texts.items() if len(text) <= _LONGEST}
    if not texts and column == LENGTH:
        texts = {item: str(length) for item, length in lengths.items()}
    numbers = _numbers(texts)
    if numbers is not None:
        texts = {item: texts[item] for item in numbers}
    if not texts:
        return None
    is_divided = numbers is not None and len(set(numbers.values())) > _MOST_NUMBERS
    kind: SliceKind = "quantile" if is_divided else "value"
    groups = _by_quarter(texts, numbers) if numbers is not None and is_divided else _by_value(texts)
    with_value = {item for items in groups.values() for item in items}
    if without := [item for item in values if item not in with_value]:
        groups[None] = without
    return Grouping(kind, groups)


def _numbers(texts: Mapping[str, str]) -> dict[str, float] | None:
    """The numbers by item, without NaN, which is no value; None if any value is no number."""
    numbers = {}
    for item, text in texts.items():
        try:
            number = float(text)
        except ValueError:
            return None
        if math.isinf(number):
            return None
        if not math.isnan(number):
            numbers[item] = number
    return numbers


def _by_value(texts: Mapping[str, str]) -> dict[str | None, list[str]]:
    """The items by value, the most frequent first."""
    groups: dict[str | None, list[str]] = defaultdict(list)
    for item, text in texts.items():
        groups[text].append(item)
    return dict(sorted(groups.items(), key=lambda group: (-len(group[1]), str(group[0]))))


def _by_quarter(texts: Mapping[str, str], numbers: Mapping[str, float]) -> dict[str | None, list[str]]:
    """The items by quarter, named after its smallest and largest number as the data writes them."""
    edges = np.unique(np.quantile(list(numbers.values()), _QUARTERS, method="lower"))  # values, which nothing rounds
    quarters: dict[int, list[str]] = defaultdict(list)
    for item in sorted(numbers, key=numbers.__getitem__):
        quarters[int(np.searchsorted(edges, numbers[item]))].append(item)
    groups: dict[str | None, list[str]] = {}
    for items in quarters.values():
        first, last = items[0], items[-1]
        name = texts[first] if numbers[first] == numbers[last] else f"{texts[first]} to {texts[last]}"
        groups[name] = items
    return groups
