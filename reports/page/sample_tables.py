"""Tables of all samples: confusion of labels, calibration, and lengths of the reasoning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reports.comparison.sums import ECE_BINS
from reports.numbers import percent_text
from reports.page.digest import Digest, labels_of
from reports.tables import Table, table_of

_PERCENTILES = {"Shortest": 0, "Quarter": 25, "Median": 50, "Three quarters": 75, "Longest": 100}
CALIBRATION = (
    "The probability of the given label comes from the log-likelihoods of all labels. A calibrated model is right in"
    " 60 % of the answers that it gives with 60 %; the expected calibration error is the mean deviation from that over"
    f" {ECE_BINS} equal ranges, weighted by answers, minus the part due to chance."
)


def confusion_table(digests: Sequence[Digest]) -> Table | None:
    """Answers by gold and given label, or None if no question had choices."""
    labelled = [digest for digest in digests if digest.has_labels]
    labels = labels_of(labelled)
    return table_of(
        {"Model": digest.name, "Gold": str(gold)} | {f"Given: {label}": str(counts[label]) for label in labels}
        for digest in labelled
        for gold, counts in digest.confusion(labels).iterrows()
    )


def calibration_table(digests: Sequence[Digest]) -> Table | None:
    """Mean probability of the given label against the share that was right, or None if no question had choices."""
    headings = ("Mean probability of the given label", "Right", "Expected calibration error")
    return table_of(
        {
            "Model": digest.name,
            **dict(zip(headings, map(percent_text, (*digest.confidences().mean(), error)), strict=True)),
            "n": str(len(digest.choices)),
        }
        for digest in digests
        if (error := digest.calibration_error) is not None
    )


def lengths_table(digests: Sequence[Digest]) -> Table | None:
    """Quantiles of the reasoning's length in tokens, or None if no answer had reasoning."""
    return table_of(
        {
            "Model": digest.name,
            **{name: f"{np.percentile(digest.lengths, percent):.0f}" for name, percent in _PERCENTILES.items()},
            "Without reasoning": str(digest.lengths.count(0)),
            "n": str(len(digest.lengths)),
        }
        for digest in digests
        if digest.lengths
    )
