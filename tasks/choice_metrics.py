"""Metrics of one question from the log-likelihoods of its choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def choice_metrics(logprobs: Sequence[float], gold: int) -> dict[str, Any]:
    """Metrics of the argmax choice and of the normalised probabilities of all choices.

    The Brier score is the sum over the choices of the squared difference between probability and truth (Brier 1950),
    the log score the negative log of the gold choice's probability in nats (Good 1952). `accuracy_calibrated` holds the
    gold choice and all log-likelihoods: batch calibration needs those of all items (Zhou et al. 2023).

    Args:
        logprobs: Log-likelihood of each choice, in nats.
        gold: Index of the gold choice.
    """
    values = np.asarray(logprobs)
    probabilities = np.exp(values - values.max())
    probabilities /= probabilities.sum()
    predicted = int(values.argmax())
    correct = float(predicted == gold)
    truth = np.eye(len(values))[gold]
    return {
        "accuracy": correct,
        "macro_f1": (gold, predicted),
        "brier": float(((probabilities - truth) ** 2).sum()),
        "log_score": float(np.logaddexp.reduce(values) - values[gold]),
        "ece": (float(probabilities[predicted]), correct),
        "accuracy_calibrated": (float(gold), *map(float, values)),
    }
