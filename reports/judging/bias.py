"""Biases of a judge: length, position, and replies that hold no judgement; and its faults in words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from reports.comparison.proportions import wilson_interval
from reports.comparison.resampling import resampled
from reports.document.judging import JudgedReply, Judging, JudgingInfo, LengthBias, PositionBias
from reports.numbers import join_words, percent_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALWAYS = 0.9  # share of replies from which on a judge is said to reply always alike
FEWEST = 10  # replies, fewer say nothing about a judge
MOST_LOST = 0.02  # share of replies without a rating that is no fault
MOST_CHANGED = 0.5  # share of preferences that change with the order
_RESAMPLES = 2000
_LEAST_ITEMS = 5  # for an interval


def candidate_of(reply: JudgedReply, baseline: str) -> str:
    """The model that a reply is about; of two the one that is not the baseline."""
    return next((model for model in reply.models if model != baseline), baseline)


def in_both_orders(rated: Sequence[JudgedReply]) -> Iterator[tuple[JudgedReply, JudgedReply]]:
    """The two verdicts about each pair of answers of which both orders were rated."""
    first: dict[tuple[str, frozenset[str]], JudgedReply] = {}
    for reply in rated:
        other = first.setdefault((reply.id, frozenset(reply.models)), reply)
        if other is not reply:
            yield other, reply


def length_bias(info: JudgingInfo, rated: Sequence[JudgedReply], baseline: str, *, seed: int) -> LengthBias | None:
    """How far ratings go with the length of answers; None without ratings.

    Scores: rank correlation of the mean of the aspects, each towards its better end and in units of its spread, with
    the characters of the answer. Preferences: of the verdict for the candidate with the difference in characters.
    """
    by_item: dict[str, list[tuple[float, float]]] = defaultdict(list)
    if info.kind == "preference":
        key = info.metrics[0].key
        for reply in rated:
            sign = 1 if reply.models[0] == candidate_of(reply, baseline) else -1
            longer = sign * (reply.characters[0] - reply.characters[1])
            by_item[reply.id].append((longer, sign * (reply.ratings[key] - 0.5)))
    else:
        signs = {metric.key: metric.sign for metric in info.metrics if metric.sign}
        spreads = {key: float(np.std([reply.ratings[key] for reply in rated])) or 1.0 for key in signs if rated}
        for reply in rated:
            value = sum(signs[key] * reply.ratings[key] / spread for key, spread in spreads.items())
            by_item[reply.id].append((reply.characters[0], value))
    if not by_item:
        return None
    correlation, low, high = _rank_correlation([*by_item.values()], seed)
    decided = [pair for pairs in by_item.values() for pair in pairs if pair[0] and pair[1]]
    is_pair = info.kind == "preference"
    return LengthBias(
        correlation=correlation,
        low=low,
        high=high,
        items=len(by_item),
        longer=sum(longer * verdict > 0 for longer, verdict in decided) if is_pair else None,
        verdicts=len(decided) if is_pair else None,
    )


def _rank_correlation(
    items: Sequence[Sequence[tuple[float, float]]], seed: int
) -> tuple[float | None, float | None, float | None]:
    """Spearman's correlation of pairs with a 95 % percentile interval over resampled items, which contains it.

    Resampled items are tied, which moves the correlations of few items towards the ends.
    """
    pairs = np.array([pair for pairs in items for pair in pairs])
    if np.ptp(pairs[:, 0]) == 0 or np.ptp(pairs[:, 1]) == 0:
        return None, None, None
    value = float(_rank_correlations(pairs, np.ones((1, len(pairs))))[0])
    if len(items) < _LEAST_ITEMS:
        return value, None, None
    item = np.repeat(np.arange(len(items)), [len(pairs) for pairs in items])
    drawn = resampled(len(items), _RESAMPLES, seed)
    values = np.concatenate([_rank_correlations(pairs, times[:, item]) for times in drawn])
    low, high = np.nanquantile(values, (0.025, 0.975))
    return value, min(float(low), value), max(float(high), value)


def _rank_correlations(pairs: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's correlation of each sample, of tied values by their mean rank; nan where one side is constant.

    Args:
        pairs: Two values of each pair, shape [pairs, 2].
        times: How often each sample has each pair, shape [samples, pairs].
    """

    def centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
        _, group, tied = np.unique(values, return_inverse=True, return_counts=True)
        sizes = np.add.reduceat(times[:, np.argsort(values)], np.cumsum(tied) - tied, axis=1)
        ranks = (np.cumsum(sizes, axis=1) - sizes / 2)[:, group]
        mean: NDArray[np.float64] = np.sum(ranks * times, axis=1, keepdims=True) / np.sum(times, axis=1, keepdims=True)
        return ranks - mean

    left, right = (centred(side) for side in pairs.T)
    variances = [np.sum(times * side**2, axis=1) for side in (left, right)]
    with np.errstate(invalid="ignore"):
        values: NDArray[np.float64] = np.sum(times * left * right, axis=1) / np.sqrt(variances[0] * variances[1])
    return np.clip(values, -1, 1)


def position_bias(rated: Sequence[JudgedReply]) -> PositionBias:
    """How often verdicts change with the order, and how often they are for the answer shown first."""
    verdicts = [next(iter(reply.ratings.values())) for reply in rated]
    orders = [[next(iter(reply.ratings.values())) for reply in pair] for pair in in_both_orders(rated)]
    changed = sum(one != 1 - other for one, other in orders)
    low, high = wilson_interval(changed, len(orders)) if orders else (None, None)
    return PositionBias(
        changed=changed,
        pairs=len(orders),
        low=low,
        high=high,
        first=sum(value == 1 for value in verdicts),
        verdicts=sum(value in (0, 1) for value in verdicts),
    )


def find_faults(judging: Judging, replies: Sequence[JudgedReply]) -> list[str]:
    """Faults of the judge in sentences: whom it judges, how it always replies, and replies that are no rating."""
    judge, rated = judging.judge, [reply for reply in replies if reply.status == "rated"]
    faults = []
    if judge.same_as:
        faults.append(f"{judge.name} judges its own answers: it is the same model as {join_words(judge.same_as)}")
    if judge.is_base:
        faults.append(f"{judge.name} judges its own family: it is the base of the adapters")
    faults += _same_ratings(judging, rated) + _verdict_faults(judging)
    statuses: Counter[str] = Counter(reply.status for reply in replies)
    words = {
        "unparsed": "are not the JSON that was requested",
        "refused": "refuse to judge",
        "failed": "are missing, since the judge did not take the prompt",
    }
    for status, what in words.items():
        count = statuses[status]
        if count > MOST_LOST * len(replies):
            share = percent_text(count / len(replies))
            faults.append(f"{count} of {len(replies)} replies ({share}) {what}; these answers have no rating")
    return faults


def _same_ratings(judging: Judging, rated: Sequence[JudgedReply]) -> list[str]:
    """Aspects that get nearly always the same rating, those with the same rating in one sentence."""
    if len(rated) < FEWEST or judging.kind == "preference":
        return []
    alike: dict[tuple[float, int], list[str]] = defaultdict(list)
    for metric in judging.metrics:
        if metric.kind == "proportion":
            continue  # that a fault is found in no answer is no fault of the judge
        value, count = Counter(reply.ratings[metric.key] for reply in rated).most_common(1)[0]
        if count >= ALWAYS * len(rated):
            alike[value, count].append(metric.title)
    return [
        f"it gives {value:g} to {count} of {len(rated)} answers for {join_words(titles)}: these ratings hardly say"
        " anything about the answers"
        for (value, count), titles in alike.items()
    ]


def _verdict_faults(judging: Judging) -> list[str]:
    faults = []
    position, length = judging.position, judging.length
    if position and position.verdicts >= FEWEST:
        shown = {"first": position.first, "second": position.verdicts - position.first}
        faults += [
            f"it prefers the answer shown {place} in {count} of {position.verdicts} verdicts"
            for place, count in shown.items()
            if count >= ALWAYS * position.verdicts
        ]
    if position and not faults and position.pairs >= FEWEST and position.changed > MOST_CHANGED * position.pairs:
        faults.append(f"its preference changes with the order in {position.changed} of {position.pairs} pairs")
    if length and length.verdicts and length.verdicts >= FEWEST and (length.longer or 0) >= ALWAYS * length.verdicts:
        faults.append(
            f"it prefers the longer answer in {length.longer} of {length.verdicts} verdicts: its preference cannot be"
            " distinguished from one for length"
        )
    if length and length.verdicts is None and (length.low or 0.0) >= ALWAYS:
        faults.append(
            f"its ratings follow the length of the answers (rank correlation {length.correlation:.2f}): they cannot be"
            " distinguished from a rating of length"
        )
    return faults
