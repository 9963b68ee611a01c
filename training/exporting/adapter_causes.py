"""Which multiple of the adapter a target's weights hold, and whether they hold another adapter."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.document.verification import CauseKey
from training.exporting.causes import Cause, name_some
from training.exporting.explained_weights import Explained
from training.exporting.foreign_changes import LowRank, low_rank_change
from training.exporting.weight_fits import FACTOR_ERROR, SIGMAS, Factor, pooled

if TYPE_CHECKING:
    from training.exporting.weight_sources import Comparison

_LOOKED_AT = 4  # weights whose singular values are computed
_PRECISE = 0.5 / SIGMAS  # standard error with which none and all of a change are told apart in one weight
_MOSTLY = 0.5  # of the adapter's change, beside another adapter's that is not independent of it
_MOST_LISTED = 20  # names in evidence


@dataclass(frozen=True)
class AdapterFindings:
    """What a target's weights show of adapters.

    Attributes:
        causes: Causes, most important first.
        notes: What the weights cannot show.
        left: Weights that neither these causes nor rounding explain.
        evidence: Factor of the reference's change in all weights.
    """

    causes: list[Cause]
    notes: list[str]
    left: list[Explained]
    evidence: Mapping[str, float | str]


def adapter_causes(
    weights: Sequence[Explained], comparison: Comparison, others: Sequence[str], *, has_reference: bool
) -> AdapterFindings:
    """Find causes in adapters.

    Args:
        weights: All weights.
        comparison: Where to read them.
        others: Names of other adapters.
        has_reference: Whether the reference has an adapter, whose change is then the first.
    """
    unexplained = [item for item in weights if not item.by]
    spread = _spread(unexplained, weights)
    changed = [item for item in weights if item.fit.change_energy > 0]
    clear = [item for item in changed if item.by]
    if 2 * len(clear) <= len(changed):
        clear = changed
    factor = pooled(item.factor for item in clear)
    evidence = _factor_evidence(factor, clear) if changed else {}
    is_whole = has_reference and (factor.agrees(1.0) or bool(spread and factor.value > _MOSTLY))
    suspects = spread or ([] if is_whole else clear)
    if others and suspects and (named := _named(weights, others, evidence, has_reference=has_reference)):
        cause, explained = named
        return AdapterFindings([cause], [], [item for item in unexplained if item not in explained], evidence)
    if suspects and (ranks := _low_rank(suspects, comparison, is_whole=is_whole)):
        cause = _unnamed(ranks, evidence, len(spread), is_whole=is_whole, has_reference=has_reference)
        rest = [item for item in unexplained if item not in spread]
        left = [item for item in rest if not _low_rank([item], comparison, is_whole=is_whole)]
        return AdapterFindings([cause], [], left, evidence)
    causes, notes = _scale(clear, evidence) if clear else ([], [])
    return AdapterFindings(causes, notes, unexplained, evidence)


def _spread(unexplained: Sequence[Explained], weights: Sequence[Explained]) -> list[Explained]:
    """Unexplained matrices of kinds that are unexplained in most layers, as an adapter's are."""
    total = Counter(item.module for item in weights)
    of_kind = Counter(item.module for item in unexplained)
    return [
        item
        for item in unexplained
        if 2 * of_kind[item.module] > total[item.module] > 1 and len(item.fit.shape) == 2  # noqa: PLR2004
    ]


def _factor_evidence(factor: Factor, weights: Sequence[Explained]) -> dict[str, float | str]:
    return {
        "factor": factor.value,
        "factor_error": factor.error,
        "weights": len(weights),
        "adapter_norm": math.sqrt(sum(item.fit.change_energy for item in weights)),
    }


def _named(
    weights: Sequence[Explained], others: Sequence[str], evidence: Mapping[str, float | str], *, has_reference: bool
) -> tuple[Cause, list[Explained]] | None:
    """(the cause, the weights it explains) where another known adapter is in the weights."""
    import torch

    changed = [item for item in weights if item.fit.gram]
    if not changed:
        return None
    gram = torch.tensor([item.fit.gram for item in changed], dtype=torch.float64)
    products = torch.tensor([item.fit.fits[item.form].products for item in changed], dtype=torch.float64)
    inverse = torch.linalg.pinv(gram.sum(0), hermitian=True)
    factors = (inverse @ products.sum(0)).tolist()
    explained = [item for item in changed if _is_explained(item, factors)]
    if 2 * len(explained) <= len(changed):
        return None
    noise = sum(item.fit.left(item.form, factors) for item in explained)
    variance = noise / sum(math.prod(item.fit.shape) for item in explained)
    errors = [SIGMAS * math.sqrt(max(variance * float(entry), 0.0)) + FACTOR_ERROR for entry in inverse.diagonal()]
    held = {
        name: value for name, value, error in zip(others, factors[1:], errors[1:], strict=True) if abs(value) > error
    }
    if not held:
        return None
    names = ", ".join(f"{name[:100]} (times {value:.3g})" for name, value in held.items())
    besides = has_reference and abs(factors[0]) > errors[0]
    own = f" (times {factors[0]:.3g})" if has_reference else ""
    what = f"the weights hold {names} {'besides' if besides else 'instead of'} the adapter that was evaluated{own}"
    if not has_reference:
        what = f"the weights hold {names}, although the base alone was evaluated"
    more = {f"factor of {name[:100]}": value for name, value in held.items()}
    return Cause("wrong_adapter", what, {**evidence, "factor": factors[0], **more}), explained


def _is_explained(item: Explained, factors: Sequence[float]) -> bool:
    """Whether rounding explains what these multiples of all adapters leave of a weight."""
    slack = FACTOR_ERROR**2 * sum(row[index] * factors[index] ** 2 for index, row in enumerate(item.fit.gram))
    return item.fit.left(item.form, factors) <= item.fit.by_grid(item.form) + slack


def _low_rank(suspects: Sequence[Explained], comparison: Comparison, *, is_whole: bool) -> list[LowRank]:
    """Low-rank changes of some weights; empty unless most of them have one."""
    step = max(1, len(suspects) // _LOOKED_AT)
    some = suspects[::step][:_LOOKED_AT]
    ranks = [
        low_rank_change(item.fit, comparison, item.form, 1.0 if is_whole else item.fit.best_factor(item.form))
        for item in some
    ]
    present = [rank for rank in ranks if rank is not None]
    return present if 2 * len(present) > len(some) else []


def _unnamed(
    ranks: Sequence[LowRank],
    evidence: Mapping[str, float | str],
    unexplained: int,
    *,
    is_whole: bool,
    has_reference: bool,
) -> Cause:
    """The cause where an unknown adapter is in the weights."""
    rank = statistics.median_high(item.rank for item in ranks)
    how = "besides" if is_whole else "instead of"
    what = f"the weights hold another adapter, of rank {rank} or near it, {how} the one that was evaluated"
    if not has_reference:
        what = f"the weights hold an adapter of rank {rank} or near it, although the base alone was evaluated"
    return Cause("wrong_adapter", what, {**evidence, "rank": rank, "unexplained_weights": unexplained})


def _scale(clear: Sequence[Explained], evidence: dict[str, float | str]) -> tuple[list[Cause], list[str]]:
    """(causes, notes) in the multiple of the adapter where rounding explains the rest of most weights."""
    whole = pooled(item.factor for item in clear)
    if whole.agrees(0.0) and whole.agrees(1.0):
        return [], [_hidden(clear)]
    shown = [item for item in clear if item.factor.error <= _PRECISE]
    if not shown:
        return _of_all(whole, evidence), []
    center = _weighted_median(shown)
    alike = [item for item in shown if item.factor.agrees(center)]
    if 2 * len(alike) <= len(shown):
        values = sorted(item.factor.value for item in shown)
        span = f"{values[0]:.3g} to {values[-1]:.3g}"
        what = f"the adapter's scale differs between weights: its change is there {span} times"
        return [Cause("adapter_scale", what, {**evidence, "least": values[0], "most": values[-1]})], []
    factor = pooled(item.factor for item in alike)
    evidence = {**evidence, **_factor_evidence(factor, alike)}
    causes = _of_all(factor, evidence)
    outside = [item for item in shown if not item.factor.agrees(center) and not item.factor.agrees(factor.value)]
    if outside:
        absent = [item for item in outside if item.factor.agrees(0.0)]
        for some, words in (
            (absent, "is not merged"),
            ([item for item in outside if item not in absent], "is merged with another scale"),
        ):
            if some:
                names = [item.fit.name for item in some]
                what = f"the adapter {words} in {len(some):,} of {len(shown):,} weights: {name_some(names)}"
                factors = ", ".join(f"{item.factor.value:.3g}" for item in some[:_MOST_LISTED])
                listed: dict[str, float | str] = {
                    "weights": len(some),
                    "of": len(shown),
                    "names": ", ".join(names[:_MOST_LISTED]),
                    "factors": factors,
                }
                causes.append(Cause("weights", what, listed))
    return causes, []


def _of_all(factor: Factor, evidence: Mapping[str, float | str]) -> list[Cause]:
    """The cause in a multiple that most weights share; none for one."""
    if factor.agrees(1.0):
        return []
    value = factor.value
    key: CauseKey = "adapter_scale"
    what = f"the adapter's change is there {value:.3g} times instead of once"
    if factor.agrees(0.0):
        key, what = "missing_adapter", "the adapter is not in the weights"
    elif factor.agrees(2.0):
        key, what = (
            "merged_twice",
            "the adapter was merged twice, or with twice its scale, which gives the same weights",
        )
    return [Cause(key, f"{what} (factor {value:.3g}, standard error {factor.error:.1g})", evidence)]


def _weighted_median(weights: Sequence[Explained]) -> float:
    """Median of the factors, each weight counting by what it shows of the adapter."""
    ordered = sorted(weights, key=lambda item: item.factor.value)
    half = sum(item.factor.total for item in ordered) / 2
    for item in ordered:
        half -= item.factor.total
        if half <= 0:
            return item.factor.value
    return ordered[-1].factor.value


def _hidden(clear: Sequence[Explained]) -> str:
    types = name_some(sorted({item.fit.values.name for item in clear}))
    change = math.sqrt(sum(item.fit.change_energy for item in clear))
    rounding = math.sqrt(sum(item.expected for item in clear) / 2)
    return (
        f"the adapter changes the weights by less (norm {change:.2g}) than shows after rounding to {types} (norm"
        f" {rounding:.2g}): whether it was merged, not at all or with another scale, these weights cannot tell"
    )
