"""The tables and sentences on numerical noise: what a run measured, and the fixed limits of what it did not."""

from __future__ import annotations

from reports.document.evidence import Flips, Shift
from reports.document.schema import MetricInfo, Results
from reports.numbers import MISSING, duration, interval_text, signed_text
from reports.tables import Table, metric_title

NOT_DISTINGUISHABLE = "not distinguishable from numerical noise"
_NOTE = (
    "A changed value is an item whose value differs between the two arithmetics; in brackets is the 95 % upper limit of"
    " the rate (Clopper and Pearson). A shift is the change of a score, or of the difference to the baseline, with its"
    " 95 % interval. Independent changes are part of the variance between items, which the intervals of the"
    " differences already cover. A difference is marked"
    f" \N{ALMOST EQUAL TO}, {NOT_DISTINGUISHABLE}, only if a shift over at least 100 items is significant, points the"
    " other way and is at least as large. The mark changes no outcome."
)
_OWN_TENTH = 0.1  # of the scoring time, which an explicit `scoring.noise_items` may exceed


def noise_text(results: Results) -> str:
    """How numerical noise was measured, what that took, and what was not measured; empty without such a check."""
    noise = results.noise
    if noise is None:
        return ""
    parts = []
    if noise.method:
        parts.append(f"Some items were scored again {noise.method}{_time_text(results, noise.seconds)}.")
    parts += [f"{task}: {reason}." for task, reason in noise.unmeasured.items()]
    return " ".join([*parts, _NOTE] if noise.scores else parts)


def _time_text(results: Results, seconds: float) -> str:
    """What scoring again took, relative to the scoring time."""
    scoring = sum(cost.seconds for cost in results.costs)
    if not scoring:
        return ""
    share = seconds / scoring
    beyond = ", more than a tenth, as the recipe's number of items demands" if share > _OWN_TENTH else ""
    return f", which took {duration(seconds)}, {100 * share:.1f} % of the scoring time{beyond}"


def noise_table(results: Results) -> Table | None:
    """Changed values and shifts of scores and differences beside the differences; None where nothing was measured."""
    if results.noise is None or not results.noise.scores:
        return None
    metrics, pairs = results.metrics(), results.comparisons_by_key()
    rows = []
    for each in results.noise.scores:
        task, metric = metrics[each.task, each.metric]
        pair = pairs.get((each.model, each.task, each.metric))
        noise = None if pair is None else pair.noise
        difference = None if pair is None else pair.difference
        explained = f" ({NOT_DISTINGUISHABLE})" if noise is not None and noise.explains(difference) else ""
        rows.append(
            (
                f"{each.model}: {metric_title(task, metric)}",
                flips_text(each.flips),
                shift_text(each.shift, metric),
                "" if noise is None else shift_text(noise.shift, metric),
                "" if difference is None else signed_text(difference, metric) + explained,
            )
        )
    return Table(
        ("Score", "Changed values", "Shift of the score", "Shift of the difference", "Difference"), tuple(rows)
    )


def flips_text(flips: Flips) -> str:
    """Changed values of all, with the upper limit of the rate."""
    return f"{flips.changed} of {flips.items} (at most {100 * flips.limit:.1f} %)"


def shift_text(shift: Shift, metric: MetricInfo) -> str:
    """A shift with its interval."""
    ends = interval_text(shift.low, shift.high, metric, signed=True)
    return f"{signed_text(shift.value, metric)} {ends}".strip()


def fixed_noise_text(results: Results) -> str:
    """Where the fixed limits are from; empty where there are none."""
    fixed = None if results.noise is None else results.noise.fixed
    if fixed is None:
        return ""
    device = "a CPU" if fixed.device == "cpu" else "a GPU"
    return (
        f"Fixed limits, not measured in this run: {fixed.engine} in {fixed.dtype} on {device} ({fixed.hardware})"
        f" compared with {fixed.compared_with}, from {fixed.source}. Other models and items may differ more."
    )


def fixed_noise_table(results: Results) -> Table | None:
    """The fixed limits; None where there are none."""
    fixed = None if results.noise is None else results.noise.fixed
    if fixed is None:
        return None
    rows = [
        (
            f"{limit.measure}, {limit.model}",
            MISSING if limit.changed is None else f"{limit.changed} of {limit.items}",
            MISSING if limit.shift is None else _percent(limit.shift, signed=True),
            _percent(limit.limit),
        )
        for limit in fixed.limits
    ]
    return Table(("Fixed limit of", "Differed", "Relative shift", "Upper limit (95 %)"), tuple(rows))


def _percent(share: float, *, signed: bool = False) -> str:
    """A share as a percentage with three significant digits, since shifts may be tiny."""
    return f"{100 * share:{'+' if signed else ''}.3g} %"
