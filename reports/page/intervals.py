"""The interval of a row, drawn as a small inline SVG: right is better, on one scale for all rows of the page."""

from __future__ import annotations

from collections.abc import Iterable
from math import asinh

from markupsafe import Markup

from reports.result_rows import ResultRow
from reports.text import cut

_HALF = 100  # units from the line of no change to either edge
_HEIGHT = 24
_ROOM = 0.92  # share of the half that the longest interval takes
_LEAST = 2.0  # smallest relevant differences that the scale shows at least
_MARKERS: dict[str | None, str] = {
    "better": "M{x} 5l6 12h-12z",
    "worse": "M{x} 19l6 -12h-12z",
    "different": "M{x} 5l7 7-7 7-7-7z",
}
_CIRCLE = "M{x} 7a5 5 0 1 1-.01 0z"
_TEMPLATE = Markup(
    '<svg class="interval {kind}" viewBox="0 0 {width} {height}" role="img"><title>{title}</title>'
    '<path class="band" d="M{band_low} 0H{band_high}V{height}H{band_low}z"/><path class="zero" d="M{half} 0V{height}"/>'
    '<path class="whisker" d="M{low} 12H{high}M{low} 8v8M{high} 8v8"/><path class="marker" d="{marker}"/></svg>'
)


def longest(rows: Iterable[ResultRow]) -> float:
    """Largest distance of an end from no change, in smallest relevant differences, which `draw` scales by."""
    return max([_LEAST, *(abs(end) for row in rows for end in row.ends or ())])


def draw(row: ResultRow, most: float) -> Markup:
    """The interval as an `svg` element; empty if the row has none.

    The scale is the inverse hyperbolic sine of the change in smallest relevant differences: linear around no change and
    compressed beyond, so that small changes are seen beside large ones. The band holds changes that are not relevant.

    Args:
        row: The row.
        most: What `longest` gives for all rows that share the scale.
    """
    if row.ends is None:
        return Markup()

    def place(value: float) -> str:
        return f"{_HALF * (1 + _ROOM * asinh(value) / asinh(most)):.1f}"

    value, low, high = map(place, row.ends)
    return _TEMPLATE.format(
        kind=(row.outcome or "").replace(" ", "-"),
        width=2 * _HALF,
        height=_HEIGHT,
        half=_HALF,
        title=cut(f"{row.outcome}: {row.change} {row.interval}, {row.confidence} interval", 200),
        band_low=place(-1),
        band_high=place(1),
        low=low,
        high=high,
        marker=_MARKERS.get(row.outcome, _CIRCLE).format(x=value),
    )
