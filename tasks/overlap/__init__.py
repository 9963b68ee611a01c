"""Finds test items that share text with training rows, in any language."""

from tasks.overlap.index import METHOD, TrainingIndex
from tasks.overlap.passages import Overlap, Passage, excerpt, is_split

__all__ = ["METHOD", "Overlap", "Passage", "TrainingIndex", "excerpt", "is_split"]
