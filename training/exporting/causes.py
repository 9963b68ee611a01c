"""A cause of a difference between a model that was evaluated and one that is shipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from reports.document.verification import CauseKey


@dataclass(frozen=True)
class Cause:
    """One cause of a difference.

    Attributes:
        key: Stable name for programs.
        sentence: The cause in one sentence, with its numbers.
        evidence: The numbers and names it was concluded from.
    """

    key: CauseKey
    sentence: str
    evidence: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class WeightFindings:
    """What a target's weights show.

    Attributes:
        causes: Causes of a difference, most important first; empty if the weights are the reference's within rounding.
        notes: What the weights cannot show, such as an adapter that is smaller than the rounding.
        evidence: Numbers about all weights: factor of the adapter, its standard error, norms, type of the values.
    """

    causes: list[Cause]
    notes: list[str]
    evidence: Mapping[str, float | str]


def name_some(names: Sequence[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(name[:100] for name in names[:most])}{more}"


def first_difference(first: Sequence[object], second: Sequence[object]) -> int:
    """The first place at which two sequences differ, or one of them ends."""
    pairs = enumerate(zip_longest(first, second))
    return next((place for place, (one, other) in pairs if one != other), len(first))
