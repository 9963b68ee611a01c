"""Joins a judge's ratings with those of people: agreement by aspect, and calibrated differences."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from random import Random

import numpy as np

from reports.comparison.agreement import krippendorff_alpha, weighted_kappa
from reports.comparison.calibration import prediction_powered_mean
from reports.document.judging import CalibratedDifference, JudgedReply, JudgingInfo
from reports.document.schema import MetricInfo
from reports.rating_sheet import MARKS, Draw

STRATA = 3
Marks = Mapping[str, Mapping[str, float]]  # mean marks of one model's answers by item and aspect
_LIMITS = (float(MARKS[0] - MARKS[-1]), float(MARKS[-1] - MARKS[0]))  # of the difference of two marks
_FEWEST = 2  # rated items


def calibrate(
    info: JudgingInfo,
    replies: Sequence[JudgedReply],
    marks: Mapping[str, Marks],
    *,
    baseline: str,
    draw: Draw | None = None,
) -> list[CalibratedDifference]:
    """Correct the judged differences of the aspects that people rated too; empty if there are none.

    The rated items must be a random sample: of all judged items, or within the strata of `draw`, which are weighted
    by their size. Items that a rater skipped are taken to be skipped at random.

    Args:
        info: What the replies rest on.
        replies: Replies about single answers that are unchanged.
        marks: Mean human marks by model.
        baseline: The model that others are compared with.
        draw: How the rated items were drawn.
    """
    marked = {key for of in marks.values() for one in of.values() for key in one}
    metrics = [metric for metric in info.metrics if metric.key in marked]
    if info.kind != "scores" or baseline not in marks:
        return []
    judged = {model: {reply.id: reply for reply in replies if reply.models == [model]} for model in marks}
    return [
        _calibrated(metric, candidate, judged, marks, baseline, draw)
        for candidate in marks
        if candidate != baseline and judged[candidate] and judged[baseline]
        for metric in metrics
    ]


def _calibrated(
    metric: MetricInfo,
    candidate: str,
    judged: Mapping[str, Mapping[str, JudgedReply]],
    marks: Mapping[str, Marks],
    baseline: str,
    draw: Draw | None,
) -> CalibratedDifference:
    sides = (baseline, candidate)
    population = [item for item in judged[baseline] if item in judged[candidate]]
    if draw is not None:
        population = [item for item in population if item in draw.strata]
    before, after = (_values(metric.key, judged[model]) for model in sides)
    people = {
        item: tuple(marks[model][item][metric.key] for model in sides)
        for item in population
        if all(metric.key in marks[model].get(item, {}) for model in sides)
    }
    others = [item for item in population if item not in people]
    draft = CalibratedDifference(
        metric=metric.key,
        candidate=candidate,
        rated=len(people),
        others=len(others),
        imputed=sum(any(judged[model][item].status != "rated" for model in sides) for item in population),
    )
    draft = draft.model_copy(update=_agreement(metric.key, judged, marks, sides))
    parts = ([*people], others)
    strata = None if draw is None else ([draw.strata[item] for item in people], [draw.strata[item] for item in others])
    if len(people) < _FEWEST or (strata is not None and not set(strata[0]) >= set(strata[1])):
        why = "too few items with marks for both models" if len(people) < _FEWEST else "a stratum has no rated item"
        return draft.model_copy(update={"why": why})
    shift = [[after[item] - before[item] for item in part] for part in parts]
    sources = [[judged[baseline][item].cluster or item for item in part] for part in parts]
    mean = prediction_powered_mean(
        [own - base for base, own in people.values()],
        shift[0],
        shift[1],
        limits=_LIMITS,
        strata=strata,
        clusters=(sources[0], sources[1]),
    )
    margin = metric.relevant * float(np.mean([base for base, _ in people.values()]))
    return draft.model_copy(
        update={
            "value": mean.inference.estimate,
            "low": mean.interval[0],
            "high": mean.interval[1],
            "human_low": mean.ratings_interval[0],
            "human_high": mean.ratings_interval[1],
            "weight": min(max(mean.judge_weight, 0.0), 1.0),
            "further": mean.further_ratings(margin),
            "why": mean.inference.caution,
        }
    )


def _values(key: str, replies: Mapping[str, JudgedReply]) -> dict[str, float]:
    """The judge's ratings by item; where a reply is no rating, the mean of the others, which keeps the items random."""
    rated = [reply.ratings[key] for reply in replies.values() if reply.status == "rated"]
    mean = float(np.mean(rated)) if rated else 0.0
    return {item: reply.ratings.get(key, mean) for item, reply in replies.items()}


def _agreement(
    key: str, judged: Mapping[str, Mapping[str, JudgedReply]], marks: Mapping[str, Marks], models: Sequence[str]
) -> dict[str, float | int | None]:
    """Agreement of the judge with the mean of people, over the answers that both rated."""
    pairs = [
        (round(marks[model][item][key], 2), judged[model][item].ratings[key])
        for model in models
        for item in marks[model]
        if key in marks[model][item] and item in judged[model] and judged[model][item].status == "rated"
    ]
    if len(pairs) < _FEWEST:
        return {"answers": len(pairs)}
    alpha = krippendorff_alpha(pairs, "interval")
    kappa = weighted_kappa([human for human, _ in pairs], [judge for _, judge in pairs])
    values: dict[str, float | int | None] = {"answers": len(pairs)}
    for name, of in (("alpha", alpha), ("kappa", kappa)):
        if of is not None:
            values |= {name: of.value, f"{name}_low": of.low, f"{name}_high": of.high}
    return values


def make_strata(info: JudgingInfo, replies: Sequence[JudgedReply], models: tuple[str, str], *, seed: int) -> Draw:
    """Thirds of the items by the judge's difference of two models.

    Args:
        info: What the replies rest on.
        replies: Replies about single answers that are unchanged.
        models: Baseline and candidate.
        seed: Orders items with equal differences at random.
    """
    values = []
    for model in models:
        own = {reply.id: reply for reply in replies if reply.models == [model]}
        by_metric = [(metric.sign, _values(metric.key, own)) for metric in info.metrics]
        values.append({item: sum(sign * of[item] for sign, of in by_metric) for item in own})
    items = [item for item in values[0] if item in values[1]]
    Random(seed).shuffle(items)  # noqa: S311 - not for secrets
    items.sort(key=lambda item: values[1][item] - values[0][item])
    strata = {item: place * STRATA // len(items) for place, item in enumerate(items)}
    return Draw(judge=info.judge.name, rubric=info.rubric, strata=strata)


def draw_items(draw: Draw, wanted: int, before: Collection[str], *, seed: int) -> list[str]:
    """Draw items to rate at random within the strata, as many from each.

    So items on which the judge prefers either model, or neither, are all there, and within a stratum every item has the
    same chance, also if items are drawn several times.

    Args:
        draw: The strata.
        wanted: Number of items.
        before: Items that were drawn before.
        seed: Orders the items at random.
    """
    order = list(draw.strata)
    Random(seed + 1).shuffle(order)  # noqa: S311 - as above, and in another order than that of equal differences
    drawn: list[str] = []
    for number in range(STRATA):
        left = [item for item in order if draw.strata[item] == number and item not in before]
        drawn += left[: wanted // STRATA + (number < wanted % STRATA)]
    return drawn
