"""A cause of a difference between a model that was evaluated and one that is shipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

CauseKey = Literal[
    "template",
    "tokenizer",
    "missing_bos",
    "double_bos",
    "end_token",
    "missing_adapter",
    "wrong_adapter",
    "merged_twice",
    "adapter_scale",
    "weights",
    "precision",
    "unidentified",
]


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
