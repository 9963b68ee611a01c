"""Judges whether a deployed model is equivalent to the evaluated one, from both models' answers to the same items.

All tests of equivalence have to reject, so they need no correction for multiplicity (intersection-union test, Berger
1982); the tests of a difference are corrected over metrics, stopping and log-likelihoods (Holm 1979).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from reports.certificate import reasons
from reports.comparison.multiplicity import holm
from reports.document.schema import TaskInfo
from reports.document.verification import (
    EndsPart,
    ExplainedPart,
    LikelihoodsPart,
    PromptsPart,
    VerificationParts,
    VerifyOutcome,
)
from reports.errors import UserError
from reports.gate.mean_difference import MIN_ITEMS
from reports.verification.likelihoods import (
    Answers,
    Explanation,
    LikelihoodDifference,
    compare_answers,
    explained_sizes,
    likelihood_difference,
)
from reports.verification.margins import DEFAULT, NATS_PER_TOKEN, Margins, main_metrics, margins_of
from reports.verification.paired_metrics import (
    ALPHA,
    POWER,
    PairedTest,
    metric_part,
    metric_test,
    shared_items,
    stopping_test,
)

__all__ = ["ALPHA", "NATS_PER_TOKEN", "Answers", "Explanation", "Margins", "judge", "margins_of"]


def judge(
    tasks: Sequence[TaskInfo],
    reference: Answers,
    target: Answers,
    *,
    margins: Margins = DEFAULT,
    explained: Sequence[Explanation] = (),
    prompts: PromptsPart | None = None,
    ends: EndsPart | None = None,
) -> VerificationParts:
    """Compare both models' answers to the same items.

    Args:
        tasks: The tasks to compare, with their metrics.
        reference: The evaluated model's samples.
        target: The deployed model's; items that it lacks keep their metrics from being equivalent.
        margins: Largest differences that count as equivalent.
        explained: What explains differences, at most one of each kind.
        prompts: Comparison of the prompts; the caller sees their tokens.
        ends: End tokens of both; the numbers of answers that ended are filled in here.

    Raises:
        UserError: The two have no items in common.
    """
    reference, target = ({task.name: side.get(task.name, ()) for task in tasks} for side in (reference, target))
    shared = [(task, ours.id) for task, samples in reference.items() for ours, _ in shared_items(samples, target[task])]
    if not shared:
        fix = "score the target on the run's items"
        raise UserError(
            "the target answered none of the items that the reference did", where="medbench verify", fix=fix
        )
    pairs = main_metrics(tasks)
    of_all_items = [cause for cause in explained if cause.kind != "arithmetic"]
    tests = [metric_test(task, info, reference, target, margins, of_all_items) for task, info in pairs]
    stopping = stopping_test(reference, target, of_all_items)
    likelihoods = likelihood_difference(tasks, reference, target, explained, margin=margins.nats_per_token)
    *corrected, p_stopping, p_excess = holm(
        [test.p_difference for test in (*tests, stopping)] + [_p_excess(likelihoods, margins.nats_per_token)]
    )
    parts = VerificationParts(
        items=len(set(shared)),
        confidence=1 - 2 * ALPHA,
        prompts=prompts or PromptsPart(),
        ends=_with_stopping(ends or EndsPart(), stopping, p_stopping),
        likelihoods=None if likelihoods is None else _likelihoods_part(likelihoods, margins.nats_per_token, p_excess),
        answers=compare_answers(reference, target, of_all_items),
        metrics=[
            metric_part(task, info, test, p_value)
            for (task, info), test, p_value in zip(pairs, tests, corrected, strict=True)
        ],
        explained=[_explained_part(tasks, explanation) for explanation in explained],
        outcome="inconclusive",
    )
    outcome = _outcome(parts)
    needed = [part.items_needed for part in parts.judged if part.items_needed]
    return parts.model_copy(
        update={
            "outcome": outcome,
            "reasons": reasons(parts, outcome),
            "items_needed": max(needed) if outcome == "inconclusive" and needed else None,
        }
    )


def _outcome(parts: VerificationParts) -> VerifyOutcome:
    outcomes = {part.outcome for part in parts.judged}
    if parts.prompts.differs or parts.ends.missing or "different" in (*outcomes, parts.ends.stopping):
        return "different"
    return "equivalent" if outcomes == {"equivalent"} else "inconclusive"


def _with_stopping(ends: EndsPart, test: PairedTest, p_adjusted: float) -> EndsPart:
    """End tokens with how many answers ended by themselves."""
    shares = test.values or (0.0, 0.0)
    counts = {
        name: round(share * test.items) for name, share in zip(("reference_ended", "target_ended"), shares, strict=True)
    }
    return ends.model_copy(update={"answers": test.items, **counts, "stopping": test.outcome(p_adjusted)})


def _p_excess(likelihoods: LikelihoodDifference | None, margin: float) -> float:
    """One-sided p-value of "the unexplained difference is at most the margin"."""
    if likelihoods is None or likelihoods.excess.items < MIN_ITEMS:
        return 1.0
    return likelihoods.excess.p_above(margin)


def _likelihoods_part(difference: LikelihoodDifference, margin: float, p_adjusted: float) -> LikelihoodsPart:
    """The outcome of the log-likelihoods after the correction, for the certificate."""
    excess, largest = difference.excess, int(np.argmax(difference.sizes))
    low, high = excess.bounds(1 - ALPHA) if excess.items >= MIN_ITEMS else (-math.inf, math.inf)
    outcome: VerifyOutcome = "equivalent" if high < margin else "different" if p_adjusted < ALPHA else "inconclusive"
    needed = None
    if outcome == "inconclusive" and excess.items >= MIN_ITEMS:
        mirrored = excess.mirrored()
        needed = mirrored.items_to_exceed(-margin, min(0.0, mirrored.value), 1 - ALPHA, POWER)
    items = len({key[:2] for key in difference.keys})
    task, item, _ = difference.keys[largest]
    return LikelihoodsPart(
        items=items,
        mean=float(difference.changes.mean()),
        mean_size=float(difference.sizes.mean()),
        largest=float(difference.sizes[largest]),
        largest_item=f"{task} {item}",
        explained=None if difference.explained is None else float(difference.explained.mean()),
        excess=excess.value,
        low=low if math.isfinite(low) else None,
        high=high if math.isfinite(high) else None,
        margin=margin,
        outcome=outcome,
        items_needed=None if needed is None or needed <= excess.items else math.ceil(needed * items / excess.items),
        caution="" if excess.items >= MIN_ITEMS else f"fewer than {MIN_ITEMS} independent items",
    )


def _explained_part(tasks: Sequence[TaskInfo], explanation: Explanation) -> ExplainedPart:
    sizes = list(explained_sizes(tasks, explanation).values())
    items = {
        (task, ours.id)
        for task, samples in explanation.before.items()
        for ours, _ in shared_items(samples, explanation.after.get(task, ()))
    }
    return ExplainedPart(
        kind=explanation.kind,
        description=explanation.description,
        items=len(items),
        nats_per_token=float(np.mean(sizes)) if sizes else None,
    )
