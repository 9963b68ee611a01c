"""Metrics of one question with choices, from their log-likelihoods or from a generated answer, and how they add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

import numpy as np

from reports.comparison.sums import ABSENT, value_of_samples
from reports.document.label_use import NO_LABEL
from tasks.answers import GeneratedText, split_document_answer
from tasks.letters import letter_of

LETTERS = (*ascii_uppercase, NO_LABEL)  # by their numbers in metrics
_NO_LETTER = LETTERS.index(NO_LABEL)


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


def letter_results(doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """All metrics of the letters' log-likelihoods of a question.

    `accuracy_calibrated` is filled up to the number of options that any question has (`width`). `position_spread` holds
    the gold and the chosen position.
    """
    metrics = _of_letters(doc, results)
    absent = [ABSENT] * (int(doc["width"]) - len(results))
    metrics["accuracy_calibrated"] = (*metrics["accuracy_calibrated"], *absent)
    metrics["position_spread"] = metrics.pop("macro_f1")
    return metrics


def likelihood_results(doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """Accuracy, Brier score and log score."""
    metrics = _of_letters(doc, results)
    return {key: metrics[key] for key in ("accuracy", "brier", "log_score")}


def calibrated_results(doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """The same and accuracy after batch calibration, for sets whose questions have one number of options."""
    metrics = _of_letters(doc, results)
    return {key: metrics[key] for key in ("accuracy", "accuracy_calibrated", "brier", "log_score")}


def _of_letters(doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    return choice_metrics([result[0] for result in results], int(doc["gold"]))


def reasoned_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Metrics of the letter of the final response; an answer without a letter is wrong.

    Stock lm-eval does not report why a generation ended; then `truncated` is left out.
    """
    answer = results[0]
    letter = letter_of(split_document_answer(doc, answer).response, doc["options"])
    chosen = _NO_LETTER if letter is None else LETTERS.index(letter)
    metrics: dict[str, Any] = {
        "accuracy": float(chosen == doc["gold"]),
        "answered": float(letter is not None),
        "position_spread": (int(doc["gold"]), chosen),
    }
    if isinstance(answer, GeneratedText):
        metrics["truncated"] = float(answer.finish_reason == "length")
    return metrics


def position_spread(pairs: Sequence[tuple[int, int]]) -> float:
    """Standard deviation of the accuracy over the positions of the gold option (RStd, Zheng et al. 2024).

    Args:
        pairs: Gold and chosen position of each question, from 0.
    """
    gold, chosen = np.asarray(pairs).T
    return float(np.std([(chosen[gold == place] == place).mean() for place in np.unique(gold)]))


def ece(pairs: Sequence[tuple[float, float]]) -> float:
    """Expected calibration error over ten equal bins of confidence (Guo et al. 2017), debiased (Kumar et al. 2019)."""
    return value_of_samples("ece", pairs)


def accuracy_calibrated(values: Sequence[tuple[float, ...]]) -> float:
    """Accuracy after batch calibration (Zhou et al. 2023), from gold labels and log-likelihoods."""
    return value_of_samples("batch_calibrated", values)
