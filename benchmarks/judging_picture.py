"""Draws the differences of docs/judging.md's story with their intervals beside the hidden truth, as SVG.

`python -m benchmarks.pictures` writes it from `benchmarks/results/judging_story.json`; raters and judge are synthetic.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from benchmarks.speed_picture import FONT, PALETTES, text_element
from reports.files import read_json
from reports.rating_sheet import ASPECTS

STORY = Path(__file__).resolve().parent / "results" / "judging_story.json"
_ROW, _TOP, _GAP, _LABELS, _RIGHT, _BOX = 17, 66, 30, 250, 760, 780


def story_rows(measured: dict[str, Any], aspect: str) -> list[tuple[str, float | None, float, float]]:
    """(what, estimate or None, low, high) of each interval of an aspect."""
    judge, stages = (
        measured["judge_alone"][aspect],
        [measured[key]["aspects"][aspect] for key in ("rated_first", "rated_all")],
    )
    rows = [("judge alone", judge["difference"], judge["low"], judge["high"])]
    for one in stages:
        rows.append((f"people alone, {one['rated']} items", None, one["human_low"], one["human_high"]))
        rows.append((f"calibrated, {one['rated']} items", one["value"], one["low"], one["high"]))
    return rows


def judging_svg(theme: str) -> str:
    """Intervals of judge, people and both by aspect, with the hidden true difference, as SVG."""
    measured, colours = read_json(STORY), PALETTES[theme]
    rows = {aspect: story_rows(measured, aspect) for aspect in measured["truth"]}
    ends = [end for of in rows.values() for _, _, low, high in of for end in (low, high)]
    least, most = min(*ends, 0.0), max(*ends, 0.0)
    height = _TOP + sum(_GAP + _ROW * len(of) for of in rows.values()) + 30

    def place(value: float) -> float:
        return round(_LABELS + (_RIGHT - _LABELS) * (value - least) / (most - least), 1)

    def text(x: float, y: float, words: str, colour: str, more: str = "") -> str:
        return text_element(x, y, words, colours[colour], more)

    small, title = ' font-size="12"', "Difference of adapter and base in marks: synthetic raters, synthetic judge"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_BOX} {height}" width="{_BOX}" {FONT} role="img">',
        f"<title>{title}</title>",
        text(0, 18, title, "ink", ' font-size="16" font-weight="600"'),
        text(0, 38, "95 % intervals, the judge's corrected for five aspects; dashed: the hidden truth", "soft", small),
        text(0, 54, "solid line: no difference. No verdict on any model.", "soft", small),
    ]
    y = _TOP
    for aspect, of in rows.items():
        bottom, truth = y + _GAP + _ROW * len(of), place(measured["truth"][aspect])
        lines += [
            text(0, y + 22, ASPECTS[aspect][0], "ink", ' font-weight="600"'),
            f'<path d="M{place(0):g} {y + 14}V{bottom}" stroke="{colours["line"]}" stroke-opacity="0.6"/>',
            f'<path d="M{truth:g} {y + 14}V{bottom}" stroke="{colours["ink"]}" stroke-dasharray="4 3"/>',
        ]
        y += _GAP
        for what, value, low, high in of:
            colour = colours["bar" if what.startswith("calibrated") else "line"]
            lines += [
                text(_LABELS - 12, y + 12, what, "soft", small + ' text-anchor="end"'),
                f'<path d="M{place(low):g} {y + 8}H{place(high):g}" stroke="{colour}" stroke-width="3"/>',
            ]
            if value is not None:
                lines.append(f'<circle cx="{place(value):g}" cy="{y + 8}" r="4.5" fill="{colour}"/>')
            y += _ROW
    for half in range(math.ceil(2 * least), math.floor(2 * most) + 1):
        label = f"{half / 2:+.1f}" if half else "0"
        lines.append(text(place(half / 2), y + 22, label, "soft", small + ' text-anchor="middle"'))
    return "\n".join([*lines, "</svg>"]) + "\n"
