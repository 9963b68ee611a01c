"""Fixed samples of general benchmarks: the same items for everyone, with lm-eval's own prompts and metrics."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset

ITEMS = 300
_SEED = "medbench retention 1"


def hellaswag(rows: Dataset) -> Dataset:
    """The sample of HellaSwag, prepared as by lm-eval's own task."""
    from lm_eval.tasks.hellaswag.utils import process_docs

    prepared: Dataset = process_docs(_sample(rows, lambda row: f"{row['ctx']}\n{row['endings']}"))
    return prepared


def arc_easy(rows: Dataset) -> Dataset:
    """The sample of ARC-Easy."""
    return _sample(rows, lambda row: str(row["question"]))


def mmlu(rows: Dataset) -> Dataset:
    """The sample of MMLU, from all its subjects; subjects are written as in lm-eval's descriptions."""
    sample = _sample(rows, lambda row: f"{row['subject']}\n{row['question']}\n{row['choices']}")
    return sample.map(lambda row: {"subject": row["subject"].replace("_", " ")})


def _sample(rows: Dataset, text: Callable[[Mapping[str, Any]], str]) -> Dataset:
    """The rows whose texts have the smallest seeded hashes, in their order; all rows if there are no more.

    The sample depends on the texts alone: neither the order of the rows nor a generator's version changes it.
    """
    ranks = ((hashlib.sha256(f"{_SEED}\n{text(row)}".encode()).digest(), place) for place, row in enumerate(rows))
    return rows.select(sorted(place for _, place in heapq.nsmallest(ITEMS, ranks)))
