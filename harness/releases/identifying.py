"""Finds the faults under which our own weights predict an endpoint's replies best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.releases.endpoint_causes import Fit, Observation, Prediction, best_fit, errors
from harness.releases.hypotheses import Hypothesis, OwnWeights, predict
from training.exporting.causes import Cause
from training.exporting.variants import ROUNDINGS

if TYPE_CHECKING:
    import numpy as np

_FACTORS = (0.0, 0.5, 2.0)
_LEADING = 3  # of the best hypotheses
_MOST_CHANGES = 3  # of the best hypothesis, one after another
_NEAR = 2.0  # a fit within this multiple of the noise ends the search
_GROUPS = (("factor", "adapter"), ("full_base",), ("rounding", "embeddings"), ("bos",), ("tokens_read",))  # of faults


def identify(
    own: OwnWeights,
    observed: Sequence[Observation],
    reference: Sequence[Prediction],
    noise: float,
    tokens_read: int = 0,
) -> list[Cause]:
    """The faults under which our weights predict an endpoint's replies best.

    Single faults are tried first, then pairs with the best of them, and roundings where these leave something; last the
    best hypothesis with one of its faults changed at a time, as long as that fits better. No causes if there is no
    difference; one with the key `unidentified` if no hypothesis explains it.

    Args:
        own: The reference.
        observed: The endpoint's replies.
        reference: What our weights predict without a fault.
        noise: What the engines' arithmetic explains, in the unit of `errors`.
        tokens_read: Number of tokens that the endpoint was seen to read of longer requests; 0 if it reads all.
    """
    none = Hypothesis()
    observed = [replace(one, whole=(), answers=() if one.logprobs is not None else one.answers) for one in observed]
    wrong = {none: errors(observed, reference)}
    fit = best_fit(wrong, none, noise)
    if not fit.is_different:
        return []
    others = [Hypothesis(adapter=name) for name in own.others]
    scales = [Hypothesis(factor=factor) for factor in _FACTORS] if own.adapter is not None else []
    starts = [Hypothesis(bos=kind) for kind in ("double", "missing")] if own.tokenizer.bos_token_id is not None else []
    cuts = [Hypothesis(tokens_read=tokens_read)] if tokens_read else []
    roundings = [Hypothesis(rounding=kind, embeddings=whole) for kind in ROUNDINGS for whole in (True, False)]
    full = [Hypothesis(full_base=True)] if own.load_full is not None else []
    plain = [*scales, *others, *full, *starts, *cuts]

    def is_explained(tried: Iterable[Hypothesis]) -> bool:
        new = [hypothesis for hypothesis in dict.fromkeys(tried) if hypothesis not in wrong]
        for hypothesis, predictions in predict(own, observed, new).items():
            wrong[hypothesis] = errors(observed, predictions)
        fit = best_fit(wrong, none, noise)
        return bool(fit.hypotheses) and fit.error <= _NEAR * noise

    def search() -> None:
        for candidates in (plain, roundings):
            for count in (1, _LEADING):  # how many of the best so far are combined with all others
                pairs = [_both(best, other) for best in _best(wrong, count) for other in candidates]
                if is_explained([*candidates, *pairs]):
                    return
        for _ in range(_MOST_CHANGES):
            (best,) = _best(wrong, 1)
            changed = [_both(other, best) for other in plain] + [_without(best, group) for group in _GROUPS]
            if is_explained(changed) or _best(wrong, 1) == [best]:
                return

    search()
    return _causes(best_fit(wrong, none, noise), len(wrong))


def _best(wrong: Mapping[Hypothesis, np.ndarray], count: int) -> list[Hypothesis]:
    return sorted(wrong, key=lambda hypothesis: float(wrong[hypothesis].mean()))[:count]


def _both(first: Hypothesis, second: Hypothesis) -> Hypothesis:
    """The faults of both; of two that exclude each other, the first's."""
    none = Hypothesis()
    parts: dict[str, Any] = {}
    for group in _GROUPS:
        names = [name for name in group if getattr(first, name) != getattr(none, name)]
        parts |= {name: getattr(first if names else second, name) for name in group}
    return Hypothesis(**parts)


def _without(hypothesis: Hypothesis, group: Sequence[str]) -> Hypothesis:
    """A hypothesis without the faults of one group."""
    return replace(hypothesis, **{name: getattr(Hypothesis(), name) for name in group})


def _causes(fit: Fit[Hypothesis], tried: int) -> list[Cause]:
    evidence: dict[str, float | str] = {"difference": fit.unexplained, "left": fit.error, "hypotheses": tried}
    if not fit.hypotheses:
        sentence = "cause not identifiable: none of the faults that were tried explains the replies"
        return [Cause("unidentified", sentence, evidence)]
    best, *alike = (hypothesis.faults for hypothesis in fit.hypotheses)
    alternatives = [" and ".join(sentence for _, sentence in faults) for faults in alike]
    if alternatives:
        evidence["cannot_be_told_from"] = "; ".join(alternatives)
    return [Cause(key, sentence, evidence) for key, sentence in best]
