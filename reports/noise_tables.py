"""Tables and sentences on numerical noise: measured in the run, or fixed limits otherwise."""

from __future__ import annotations

from reports.document.evidence import Shift
from reports.document.schema import MetricInfo, Results
from reports.numbers import MISSING, duration, interval_text, percent_text, signed_text
from reports.tables import Table, metric_title, table_of

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
    """How numerical noise was measured, how long that took, and what was not measured; empty without such a check."""
    noise = results.noise
    if noise is None:
        return ""
    parts = []
    if noise.method:
        parts.append(f"Some items were re-scored {noise.method}{_time_text(results, noise.seconds)}.")
    parts += [f"{task}: {reason}." for task, reason in noise.unmeasured.items()]
    return " ".join([*parts, _NOTE] if noise.scores else parts)


def _time_text(results: Results, seconds: float) -> str:
    """Time of re-scoring, relative to the scoring time."""
    scoring = sum(cost.seconds for cost in results.costs)
    if not scoring:
        return ""
    share = seconds / scoring
    beyond = ", more than a tenth, because of the recipe's number of items" if share > _OWN_TENTH else ""
    return f", which took {duration(seconds)}, {100 * share:.1f} % of the scoring time{beyond}"


def noise_table(results: Results) -> Table | None:
    """Changed values and shifts of scores and differences beside the differences, or None if nothing was measured."""
    metrics, pairs = results.metrics(), results.comparisons_by_key()
    rows = []
    for score in results.noise.scores if results.noise else ():
        task, metric = metrics[score.task, score.metric]
        flips, pair = score.flips, pairs.get((score.model, score.task, score.metric))
        noise, difference = (pair.noise, pair.difference) if pair else (None, None)
        explained = f" ({NOT_DISTINGUISHABLE})" if noise is not None and noise.explains(difference) else ""
        rows.append(
            {
                "Score": f"{score.model}: {metric_title(task, metric)}",
                "Changed values": f"{flips.changed} of {flips.items} (at most {percent_text(flips.limit)})",
                "Shift of the score": _shift_text(score.shift, metric),
                "Shift of the difference": "" if noise is None else _shift_text(noise.shift, metric),
                "Difference": "" if difference is None else signed_text(difference, metric) + explained,
            }
        )
    return table_of(rows)


def _shift_text(shift: Shift, metric: MetricInfo) -> str:
    """A shift with its interval."""
    ends = interval_text(shift.low, shift.high, metric, signed=True)
    return f"{signed_text(shift.value, metric)} {ends}".strip()


def fixed_noise_text(results: Results) -> str:
    """Source of the fixed limits; empty if there are none."""
    fixed = None if results.noise is None else results.noise.fixed
    if fixed is None:
        return ""
    device = "a CPU" if fixed.device == "cpu" else "a GPU"
    return (
        f"Fixed limits, not measured in this run: {fixed.engine} in {fixed.dtype} on {device} ({fixed.hardware})"
        f" compared with {fixed.compared_with}, from {fixed.source}. Other models and items may differ more."
    )


def fixed_noise_table(results: Results) -> Table | None:
    """The fixed limits, or None if there are none."""
    fixed = None if results.noise is None else results.noise.fixed
    return table_of(
        {
            "Fixed limit of": f"{limit.measure}, {limit.model}",
            "Differed": MISSING if limit.changed is None else f"{limit.changed} of {limit.items}",
            # Three significant digits, because shifts may be tiny.
            "Relative shift": MISSING if limit.shift is None else f"{100 * limit.shift:+.3g} %",
            "Upper limit (95 %)": f"{100 * limit.limit:.3g} %",
        }
        for limit in (fixed.limits if fixed else ())
    )
