"""Tables made from all samples: confusion of labels, calibration, and the lengths of the reasoning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reports.comparison.sums import ECE_BINS
from reports.page.digest import Digest, labels_of
from reports.tables import Table

_QUANTILES = (0, 25, 50, 75, 100)
CALIBRATION = (
    "The probability of the given label is that of its log-likelihood among the labels'. A calibrated model is right in"
    " 60 % of the answers that it gives with 60 %; the expected calibration error is the mean distance from that over"
    f" {ECE_BINS} equal ranges, weighted by answers."
)


def confusion_table(digests: Sequence[Digest]) -> Table | None:
    """Answers by gold and given label; None where no question had choices."""
    found = [each for each in digests if each.has_labels]
    labels = labels_of(found)
    rows = [
        (each.name, gold, *(str(each.confusion[gold, given]) for given in labels)) for each in found for gold in labels
    ]
    columns = ("Model", "Gold", *(f"Given: {label}" for label in labels))
    return Table(columns, tuple(rows)) if rows else None


def calibration_table(digests: Sequence[Digest]) -> Table | None:
    """Mean probability of the given label against the share that was right; None where no question had choices."""
    rows = []
    for each in digests:
        confidence, right, total = (sum(counts[place] for counts in each.bins) for place in range(3))
        if total and each.calibration_error is not None:
            shares = (confidence / total, right / total, each.calibration_error)
            rows.append((each.name, *(f"{100 * share:.1f} %" for share in shares), f"{total:.0f}"))
    columns = ("Model", "Mean probability of the given label", "Right", "Expected calibration error", "n")
    return Table(columns, tuple(rows)) if rows else None


def lengths_table(digests: Sequence[Digest]) -> Table | None:
    """Quantiles of the reasoning's length in tokens; None where no answer had reasoning to measure."""
    rows = []
    for each in digests:
        if each.lengths:
            values = np.percentile(each.lengths, _QUANTILES)
            none = sum(not length for length in each.lengths)
            rows.append((each.name, *(f"{value:.0f}" for value in values), str(none), str(len(each.lengths))))
    columns = ("Model", "Shortest", "Quarter", "Median", "Three quarters", "Longest", "Without reasoning", "n")
    return Table(columns, tuple(rows)) if rows else None
