"""Reads medical questions from files, the hub or the built-in samples, and splits them at random."""

from tasks.data.rows import LoadedRows, PubMedQAItem, count_violations, load_pubmedqa, load_reasoning, load_rows
from tasks.data.shapes import ReasoningRow
from tasks.data.source import DataSource
from tasks.data.splits import sample_indices, split_off

__all__ = [
    "DataSource",
    "LoadedRows",
    "PubMedQAItem",
    "ReasoningRow",
    "count_violations",
    "load_pubmedqa",
    "load_reasoning",
    "load_rows",
    "sample_indices",
    "split_off",
]
