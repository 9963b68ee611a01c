"""Formatting of numbers, the same in the terminal, in reports and in README tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reports.document.schema import Comparison, MetricInfo, Outcome, Score

MISSING = "n/a"
WITHIN_NOISE = "\N{ALMOST EQUAL TO}"  # marks differences not distinguishable from numerical noise
TRAINED_ON = "\N{DAGGER}"  # marks scores on items that the model was trained on
UP, DOWN = " \N{UPWARDS ARROW}", " \N{DOWNWARDS ARROW}"
OUTCOME_MARKS: dict[Outcome, str] = {
    "better": "\N{BLACK UP-POINTING TRIANGLE}",
    "worse": "\N{BLACK DOWN-POINTING TRIANGLE}",
    "different": "\N{BLACK DIAMOND}",
    "equivalent": "=",
    "identical": "=",
    "inconclusive": "?",
    "not tested": "-",
    "not compared": "-",
}
GIB = 2**30  # bytes
_HUNDRED = 100.0
_THOUSAND = 1000.0
_MINUTE = 60
_SMALLEST_GIB = 0.005


def value_text(value: float | None, metric: MetricInfo) -> str:
    """Format a metric's value: shares as percentages, others with digits by size."""
    if value is None:
        return MISSING
    if metric.percent:
        return percent_text(value)
    if value == 0:
        return "0"
    if abs(value) >= _THOUSAND:
        return f"{value:,.0f}"
    if abs(value) >= _HUNDRED:
        return f"{value:.1f}"
    return f"{value:.3f}" if metric.kind == "bits_per_byte" or abs(value) < 1 else f"{value:.2f}"


def interval_text(low: float | None, high: float | None, metric: MetricInfo, *, signed: bool = False) -> str:
    """Format an interval in brackets, in the unit of its metric; empty if there is none."""
    if low is None or high is None:
        return ""
    ends = [signed_text(end, metric) if signed else value_text(end, metric) for end in (low, high)]
    return "[{}, {}]".format(*(end.removesuffix(" %").removesuffix(" pp") for end in ends))


def score_text(score: Score | None, metric: MetricInfo) -> str:
    """Format a score with its interval."""
    if score is None:
        return MISSING
    return " ".join(filter(None, (value_text(score.value, metric), interval_text(score.low, score.high, metric))))


def difference_text(comparison: Comparison, metric: MetricInfo, *, interval: bool = False) -> str:
    """Format a difference with its sign, in percentage points for shares."""
    if comparison.difference is None:
        return MISSING
    mark = f"{WITHIN_NOISE} " if comparison.is_within_noise else ""
    text = mark + signed_text(comparison.difference, metric)
    return f"{text} {interval_text(comparison.low, comparison.high, metric, signed=True)}".strip() if interval else text


def outcome_text(comparison: Comparison) -> str:
    """Describe an outcome, with the number of identical items or the reason why it is unreliable."""
    if comparison.outcome == "identical":
        return f"identical on all {comparison.n} items"
    return f"{comparison.outcome} (unreliable: {comparison.caution})" if comparison.caution else comparison.outcome


def level_text(comparison: Comparison) -> str:
    """The confidence of a comparison's interval, such as `99.2 %`; empty if there is none."""
    if comparison.level is None or comparison.low is None:
        return ""
    return f"{float(f'{100 * (1 - comparison.level):.4g}'):g} %"


def amount_text(value: float, metric: MetricInfo) -> str:
    """Format the absolute value of a difference."""
    return signed_text(abs(value), metric).removeprefix("+")


def p_text(value: float | None) -> str:
    """Format a p-value."""
    if value is None:
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"  # noqa: PLR2004


def percent_text(share: float) -> str:
    """Format a share as a percentage, such as `97.0 %`."""
    return f"{share * 100:.1f} %"


def duration(seconds: float) -> str:
    """Format a duration, such as `3 min 20 s`."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    minutes, rest = divmod(whole, _MINUTE)
    if minutes < _MINUTE:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours} h {minutes} min"


def file_size(size: int) -> str:
    """Size of files in the largest decimal unit of which there is at least one."""
    units = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
    return next((f"{size / unit:.1f} {name}" for name, unit in units if size >= unit), f"{size} bytes")


def gib_text(size: int) -> str:
    """Format a number of bytes in GiB (2^30 bytes)."""
    value = size / GIB
    return f"{value:.2f} GiB" if value >= _SMALLEST_GIB or not size else "< 0.01 GiB"


def better_arrow(metric: MetricInfo) -> str:
    """Arrow in the better direction; empty if neither is."""
    return {1: UP, -1: DOWN, 0: ""}[metric.sign]


def join_words(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""


def signed_text(value: float, metric: MetricInfo) -> str:
    """Format a value with its sign, in percentage points for shares."""
    text = value_text(abs(value), metric)
    if metric.percent:
        text = text.removesuffix(" %") + " pp"
    return f"{'-' if value < 0 else '+' if value else ''}{text}"
