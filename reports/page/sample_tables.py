"""Tables of all samples: confusion of labels, calibration, and lengths of the reasoning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reports.comparison.sums import ECE_BINS
from reports.page.digest import Digest, labels_of
from reports.tables import Table

_QUANTILES = (0, 25, 50, 75, 100)
CALIBRATION = (
    "The probability of the given label comes from the log-likelihoods of all labels. A calibrated model is right in"
    " 60 % of the answers that it gives with 60 %; the expected calibration error is the mean deviation from that over"
    f" {ECE_BINS} equal ranges, weighted by answers, minus the part due to chance."
)


def confusion_table(digests: Sequence[Digest]) -> Table | None:
    """Answers by gold and given label, or None if no question had choices."""
    labelled = [digest for digest in digests if digest.has_labels]
    labels = labels_of(labelled)
    rows: list[tuple[str, ...]] = [
        (digest.name, str(gold), *map(str, counts))
        for digest in labelled
        for gold, counts in digest.confusion(labels).iterrows()
    ]
    columns = ("Model", "Gold", *(f"Given: {label}" for label in labels))
    return Table(columns, tuple(rows)) if rows else None


def calibration_table(digests: Sequence[Digest]) -> Table | None:
    """Mean probability of the given label against the share that was right, or None if no question had choices."""
    rows = []
    for digest in digests:
        if digest.choices:
            shares = (*digest.confidences().mean(), digest.calibration_error)
            rows.append((digest.name, *(f"{100 * share:.1f} %" for share in shares), str(len(digest.choices))))
    columns = ("Model", "Mean probability of the given label", "Right", "Expected calibration error", "n")
    return Table(columns, tuple(rows)) if rows else None


def lengths_table(digests: Sequence[Digest]) -> Table | None:
    """Quantiles of the reasoning's length in tokens, or None if no answer had reasoning."""
    rows = []
    for digest in digests:
        if digest.lengths:
            values = np.percentile(digest.lengths, _QUANTILES)
            none = sum(not length for length in digest.lengths)
            rows.append((digest.name, *(f"{value:.0f}" for value in values), str(none), str(len(digest.lengths))))
    columns = ("Model", "Shortest", "Quarter", "Median", "Three quarters", "Longest", "Without reasoning", "n")
    return Table(columns, tuple(rows)) if rows else None
