"""Which tasks are scored again to measure numerical noise: what a tenth of the scoring time pays for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from reports.document.evidence import NOISE_ITEMS
from reports.numbers import duration

SHARE = 0.1  # of the scoring time


@dataclass(frozen=True)
class TaskTime:
    """What scoring one task took, and what scoring it again is expected to take.

    Attributes:
        name: The task.
        items: Number of its items.
        seconds: Engine time of all models in the run, answers from earlier runs included.
        slowdown: Time of an item in the other arithmetic, relative to the run's.
    """

    name: str
    items: int
    seconds: float
    slowdown: float

    def estimate(self, items: int) -> float:
        """Expected seconds of scoring so many items again with all models."""
        return self.seconds / self.items * items * self.slowdown


@dataclass(frozen=True)
class NoiseBudget:
    """What is to be scored again.

    Attributes:
        items: Number of items by task.
        unmeasured: Why a task is not measured, by task, in words.
        scoring_seconds: Scoring time of the run.
        limit_seconds: Time limit, loading included; None for an explicit number of items.
    """

    items: dict[str, int] = field(default_factory=dict)
    unmeasured: dict[str, str] = field(default_factory=dict)
    scoring_seconds: float = 0.0
    limit_seconds: float | None = None


def noise_budget(
    wanted: int | Literal["auto"], times: Sequence[TaskTime], load_seconds: float, obstacle: str = ""
) -> NoiseBudget:
    """Decide what is scored again.

    With `auto`, the cheapest tasks come first, each with 100 items, as long as a tenth of the scoring time pays for
    them after the model was loaded. An explicit number is scored whatever it takes.

    Args:
        wanted: `scoring.noise_items`.
        times: All tasks of the run.
        load_seconds: Expected time of loading the model in the other arithmetic.
        obstacle: Why `auto` measures nothing in this run; empty where it may.
    """
    total = sum(time.seconds for time in times)
    if wanted != "auto":
        items = {time.name: min(wanted, time.items) for time in times if wanted}
        unmeasured = {} if wanted else {time.name: "not measured, since scoring.noise_items is 0" for time in times}
        return NoiseBudget(items, unmeasured, total, None)
    limit = SHARE * total
    items, unmeasured, left = {}, {}, limit - load_seconds
    for time in sorted(times, key=lambda time: time.estimate(NOISE_ITEMS)):
        needed = time.estimate(NOISE_ITEMS)
        if obstacle:
            unmeasured[time.name] = f"not measured, since {obstacle}"
        elif time.items < NOISE_ITEMS:
            unmeasured[time.name] = (
                f"not measured, since it has {time.items} items and a measurement takes {NOISE_ITEMS}"
            )
        elif needed > left:
            unmeasured[time.name] = (
                f"not measured, since scoring {NOISE_ITEMS} items again would take about {duration(needed)} and loading"
                f" {duration(load_seconds)}, where a tenth of the scoring time is {duration(limit)}"
            )
        else:
            items[time.name] = NOISE_ITEMS
            left -= needed
    return NoiseBudget(items, unmeasured, total, limit)


def rounds(items: Mapping[str, Sequence[int]], count: int) -> list[dict[str, list[int]]]:
    """Divide the items of tasks into rounds, so that stopping early leaves items from all parts of every task.

    Args:
        items: Indices of items by task.
        count: Number of rounds at most.

    Returns:
        Indices by task, for each round; tasks without items in a round are left out.
    """
    parts = [{name: list(indices[start::count]) for name, indices in items.items()} for start in range(count)]
    return [nonempty for part in parts if (nonempty := {name: indices for name, indices in part.items() if indices})]
