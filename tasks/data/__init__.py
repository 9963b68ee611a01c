"""Reads medical questions from files, the hub or the built-in samples, and splits them at random."""

from tasks.data.rows import PubMedQAItem, ReasoningRow, load_pubmedqa, load_reasoning
from tasks.data.source import DataSource
from tasks.data.splits import sample_indices, split_off

__all__ = [
    "DataSource",
    "PubMedQAItem",
    "ReasoningRow",
    "load_pubmedqa",
    "load_reasoning",
    "sample_indices",
    "split_off",
]
