"""Finds the options of a multiple-choice question in a row: one column with all of them, or a column for each."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from tasks.data.gold_options import normalised
from tasks.data.selection import is_no_value
from tasks.data.turns import UnusableRowError

MOST_OPTIONS = len(ascii_uppercase)
LEAST_OPTIONS = 2
SEPARATOR = "|"  # between the columns that a source maps to the options
_TOGETHER = ("options", "choices", "endings", "answer_choices")
_PREFIXES = ("", "option", "choice", "opt", "op", "answer", "ans", "ending")
_LABELS = (*ascii_lowercase, *map(str, range(MOST_OPTIONS + 1)))
_GAPS = re.compile(r"[\s_-]+")
_LABEL_KEYS, _TEXT_KEYS = ("label", "key", "letter", "id"), ("text", "value", "content", "option")
_OWN_LABEL = re.compile(r"\(?([A-Za-z])[).:](?:\s+|(?=\S))")
# Options that speak of others by place or letter, so that their order says something.
_OTHERS = re.compile(
    r"\b(?:all|none|both|neither|any|either|some|two)\b.{0,20}\b(?:above|below|preceding|previous)\b"
    r"|^\W*(?:(?:both|neither|either|only|options?)\s+)?\(?[A-Z]\)?(?:\s*(?:,|&|and|or|nor)\s*\(?[A-Z]\)?)+\W*$",
    re.IGNORECASE,
)


def spellings(name: str) -> set[str]:
    """The usual spellings of a column's name: case, and what stands between its words."""
    joined = {name.replace("_", gap) for gap in ("_", " ", "-", "")} | {name.title().replace("_", "")}
    return {
        spelling for text in joined for spelling in (text, text.upper(), text.title(), text.capitalize(), _camel(text))
    }


def _camel(text: str) -> str:
    return text[:1].lower() + text.title()[1:].replace("_", "")


def _option_columns() -> set[str]:
    names = set().union(*map(spellings, _TOGETHER))
    for prefix, label in itertools.product(_PREFIXES, _LABELS):
        if prefix or label.isalpha():
            ends = {label, label.upper()}
            starts = {prefix, prefix.capitalize(), prefix.upper()}
            gaps = ("", "_", " ", "-") if prefix else ("",)
            names |= {start + gap + end for start in starts for gap in gaps for end in ends}
    return names


USUAL_OPTION_COLUMNS = frozenset(_option_columns())


@dataclass(frozen=True)
class OptionColumns:
    """Where the options of a source stand.

    Attributes:
        names: The one column with all options, or the columns of single options in their order.
    """

    names: tuple[str, ...]

    @property
    def described(self) -> str:
        """The columns as one text."""
        return SEPARATOR.join(self.names)

    def read(self, record: Mapping[str, Any]) -> tuple[str, ...]:
        """The options of a row in the order of the source, without letters of their own.

        Raises:
            UnusableRowError: They are missing, too many, or not all different.
        """
        if len(self.names) == 1:
            cells = _together(record.get(self.names[0]))
        else:
            cells = [record.get(name) for name in self.names]
        texts = [_text(cell) for cell in cells]
        while texts and not texts[-1]:  # fewer options than others have
            texts.pop()
        if len(texts) < LEAST_OPTIONS:
            raise UnusableRowError(f"there are fewer than {LEAST_OPTIONS} options")
        if len(texts) > MOST_OPTIONS:
            raise UnusableRowError(f"there are more than {MOST_OPTIONS} options")
        texts = without_own_labels(texts)
        if not all(texts):
            raise UnusableRowError("an option is empty and a later one is not")
        if len(set(map(normalised, texts))) < len(texts):
            raise UnusableRowError("two options are the same")
        return tuple(texts)


def find_option_columns(present: Sequence[str]) -> OptionColumns | None:
    """The columns with the options among those of a source, or None if there are none with usual names."""
    usual = set().union(*map(spellings, _TOGETHER))
    if together := next((name for name in present if name in usual), None):
        return OptionColumns((together,))
    families: dict[str, dict[int, str]] = {}
    for name in present:
        plain = _GAPS.sub("", name).lower()
        for prefix in _PREFIXES:
            label = plain.removeprefix(prefix)
            if plain.startswith(prefix) and label in _LABELS and (prefix or label.isalpha()):
                place = int(label) if label.isdigit() else ascii_lowercase.index(label)
                families.setdefault(f"{prefix}{'1' if label.isdigit() else 'a'}", {})[place] = name
    complete = [family for family in families.values() if _is_complete(family)]
    best = max(complete, key=len, default=None)
    return None if best is None else OptionColumns(tuple(best[place] for place in sorted(best)))


def _is_complete(family: Iterable[int]) -> bool:
    """Whether places are those of two or more options without a gap, counted from 0 or 1."""
    places = sorted(family)
    return (
        len(places) >= LEAST_OPTIONS
        and places[0] in (0, 1)
        and places == list(range(places[0], places[0] + len(places)))
    )


def _together(cell: Any) -> list[Any]:
    """The options in one cell: a list of texts or of objects, an object by letter, or the JSON text of either."""
    if isinstance(cell, str) and cell.lstrip()[:1] in ("[", "{"):
        try:
            cell = json.loads(cell)
        except ValueError as error:
            raise UnusableRowError("the options are no list in JSON") from error
    if isinstance(cell, dict) and all(isinstance(part, list) for part in cell.values()):  # as `datasets` stores objects
        labels, texts = _first(cell, _LABEL_KEYS), _first(cell, _TEXT_KEYS)
        cell = texts if labels is None else dict(zip(labels, texts or (), strict=False))
    if isinstance(cell, list | tuple) and cell and all(isinstance(part, dict) for part in cell):
        cell = [_first(part, _TEXT_KEYS) for part in _in_order(cell)]
    if isinstance(cell, dict):
        return _by_label(cell)
    if cell is None or cell == "":
        return []
    if not isinstance(cell, list | tuple):
        raise UnusableRowError("the options are not a list, nor an object by letter")
    return list(cell)


def _first(values: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((values[key] for key in keys if key in values), None)


def _in_order(parts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Objects with a label and a text in the order of the labels; in their own order without labels."""
    labels = [_first(part, _LABEL_KEYS) for part in parts]
    if all(label is not None for label in labels) and len(set(map(str, labels))) == len(parts):
        return [part for _, part in sorted(zip(map(str, labels), parts, strict=True), key=lambda pair: pair[0])]
    return list(parts)


def _by_label(cell: Mapping[str, Any]) -> list[Any]:
    """The options of an object by letter or number, which Arrow fills up with empty ones."""
    labels = {str(label).strip().upper(): text for label, text in cell.items()}
    start = "A" if "A" in labels else "0" if "0" in labels else "1"
    order = [*ascii_uppercase] if start == "A" else [str(int(start) + place) for place in range(MOST_OPTIONS)]
    used = [label for label in labels if _text(labels[label])]
    if len(labels) != len(cell) or not set(used) <= set(order):
        raise UnusableRowError("the options are an object whose keys are not A, B, C and so on")
    last = max((order.index(label) for label in used), default=-1)
    return [labels.get(label) for label in order[: last + 1]]


def _text(cell: Any) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, list | dict):
        raise UnusableRowError("an option is not a text")
    text = str(cell).strip()
    return "" if is_no_value(text) else text


def without_own_labels(texts: Sequence[str]) -> list[str]:
    """Options without the letters that they bring, if all bring theirs: `A. Aspirin`, `B. Heparin`."""
    labels = [_OWN_LABEL.match(text) for text in texts]
    letters = "".join(label[1].upper() for label in labels if label)
    if letters != ascii_uppercase[: len(texts)]:
        return list(texts)
    return [text[label.end() :].strip() for text, label in zip(texts, labels, strict=True) if label]


def speak_of_others(options: Iterable[str]) -> bool:
    """Whether an option speaks of others by place or letter, such as `all of the above` or `A and C`."""
    return any(_OTHERS.search(option) for option in options)
