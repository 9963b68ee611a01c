"""Summarises a judge's replies: scores with intervals, paired differences, biases and faults of the judge."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from reports.comparison import compare_models
from reports.document.judging import JudgedReply, Judging, JudgingInfo, ReplyCounts
from reports.document.schema import Sample
from reports.judging.bias import candidate_of, find_faults, in_both_orders, length_bias, position_bias

Sides = dict[str, tuple[list[Sample], list[Sample]]]  # the baseline's samples and the model's own, by model


def summarise(
    info: JudgingInfo,
    replies: Sequence[JudgedReply],
    outputs: Mapping[tuple[str, str], str],
    *,
    baseline: str,
    seed: int,
) -> Judging:
    """Summarise the replies about answers that have not changed since.

    Args:
        info: What the replies rest on.
        replies: All replies.
        outputs: Hash of each current answer by model and item.
        baseline: The model that others are compared with.
        seed: Seed of bootstraps.
    """
    current = current_replies(replies, outputs)
    rated = [reply for reply in current if reply.status == "rated"]
    sides = _preferences(info, rated, baseline) if info.kind == "preference" else _ratings(info, rated, baseline)
    compared = {model: pair for model, pair in sides.items() if model != baseline and all(pair)}
    judging = Judging(
        **info.model_dump(),
        replies=_counts(current, baseline),
        outdated=len(replies) - len(current),
        scores=[
            compare_models.score(metric, own, None, seed=seed) for _, own in sides.values() for metric in info.metrics
        ],
        comparisons=compare_models.judge(
            [
                compare_models.compare(metric, before, own, seed=seed)[0]
                for before, own in compared.values()
                for metric in info.metrics
            ]
        ),
        length=length_bias(info, rated, baseline, seed=seed),
        position=position_bias(rated) if info.kind == "preference" else None,
        prompt_tokens=sum(reply.prompt_tokens or 0 for reply in current),
        output_tokens=sum(reply.output_tokens or 0 for reply in current),
    )
    return judging.model_copy(update={"faults": find_faults(judging, current)})


def current_replies(replies: Sequence[JudgedReply], outputs: Mapping[tuple[str, str], str]) -> list[JudgedReply]:
    """The replies about answers that are unchanged, by the hash of each current answer by model and item."""
    return [reply for reply in replies if [outputs.get((name, reply.id)) for name in reply.models] == reply.outputs]


def _counts(replies: Sequence[JudgedReply], baseline: str) -> list[ReplyCounts]:
    """Replies by model and status."""
    counts = Counter((candidate_of(reply, baseline), reply.status) for reply in replies)
    return [
        ReplyCounts(model=model, **{status: count for (name, status), count in counts.items() if name == model})
        for model in dict.fromkeys(model for model, _ in counts)
    ]


def _ratings(info: JudgingInfo, rated: Sequence[JudgedReply], baseline: str) -> Sides:
    own: dict[str, list[Sample]] = defaultdict(list)
    for reply in rated:
        own[reply.models[0]].append(_sample(info, reply, reply.models[0], reply.ratings))
    return {model: (own.get(baseline, []), samples) for model, samples in own.items()}


def _preferences(info: JudgingInfo, rated: Sequence[JudgedReply], baseline: str) -> Sides:
    """Preferences averaged over both orders; the baseline's are the rest."""
    (metric,) = info.metrics
    sides: Sides = defaultdict(lambda: ([], []))
    for first, second in in_both_orders(rated):
        model = candidate_of(first, baseline)
        share = sum(preference_for(model, reply, metric.key) for reply in (first, second)) / 2
        for side, name, value in zip(sides[model], (baseline, model), (1 - share, share), strict=True):
            side.append(_sample(info, first, name, {metric.key: value}))
    return dict(sides)


def preference_for(model: str, reply: JudgedReply, key: str) -> float:
    """How far a verdict is for a model: 1, 0.5 for a tie, or 0."""
    value = reply.ratings[key]
    return value if reply.models[0] == model else 1 - value


def _sample(info: JudgingInfo, reply: JudgedReply, model: str, values: Mapping[str, float]) -> Sample:
    return Sample(
        id=reply.id,
        doc_hash=reply.doc_hash,
        model=model,
        task=info.rubric,
        prompt="",
        output="",
        gold="",
        metrics=dict(values),
        cluster=reply.cluster,
    )
