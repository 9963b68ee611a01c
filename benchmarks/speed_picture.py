"""Draws how many times faster than stock lm-eval medbench is, from the committed measurements, as SVG.

`python -m benchmarks.pictures` writes it; docs/speed.md says how the numbers were measured.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.speed_table import gpu_ratios
from reports.files import read_json

_RESULTS = Path(__file__).resolve().parent / "results"
PALETTES = {
    "light": {"ink": "#1f2328", "soft": "#59636e", "bar": "#0969da", "steady": "#b6d5fb", "line": "#8c959f"},
    "dark": {"ink": "#f0f6fc", "soft": "#9198a1", "bar": "#4493f8", "steady": "#1f3f66", "line": "#656c76"},
}
THEMES = tuple(PALETTES)
FONT = 'font-family="system-ui, -apple-system, Segoe UI, sans-serif" font-size="14"'
_ROW, _TOP, _LABELS, _CHART, _BOX = 42, 64, 220, 440, 780  # height of a bar, and where labels and bars end


def speed_bars() -> list[tuple[str, str, float, float | None]]:
    """(what, where, times faster with the start counted, times faster without it or None) of each bar."""
    cpu = read_json(_RESULTS / "cpu_speed.json")["ratios"]
    two_cores, h200 = "2 CPU cores, 135M", "H200, 8B shape, 3 adapters"
    gpu = {engine: batches["at its best batch"] for engine, batches in gpu_ratios().items()}
    return [
        ("Base and one adapter", two_cores, cpu["end to end"], None),
        ("Each further adapter", two_cores, cpu["further adapter"], None),
        *((engine, h200, times["its first start counted"], times["steady"]) for engine, times in gpu.items()),
    ]


def text_element(x: float, y: float, words: str, colour: str, more: str = "") -> str:
    """A `text` element; `more` holds further attributes, with a space before them."""
    return f'<text x="{x:g}" y="{y:g}" fill="{colour}"{more}>{escape(words)}</text>'


def speed_svg(theme: str) -> str:
    """Bars of how many times faster medbench is than stock lm-eval, as SVG."""
    colours, bars = PALETTES[theme], speed_bars()
    most = max(max(whole, steady or 0) for _, _, whole, steady in bars)
    height = _TOP + _ROW * len(bars) + 26

    def place(ratio: float) -> float:
        return round(_LABELS + _CHART * ratio / most, 1)

    def text(x: float, y: float, words: str, colour: str, more: str = "") -> str:
        return text_element(x, y, words, colours[colour], more)

    right, small = ' text-anchor="end"', ' font-size="12"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_BOX} {height}" width="{_BOX}" {FONT} role="img">',
        "<title>How many times faster than stock lm-eval</title>",
        text(0, 18, "Times faster than stock lm-eval on the same items", "ink", ' font-size="16" font-weight="600"'),
        text(0, 38, "strong: first start counted; faint: steady, no start counted", "soft", small),
    ]
    for number, (what, where, whole, steady) in enumerate(bars):
        y = _TOP + _ROW * number
        lines += [
            text(_LABELS - 12, y + 12, what, "ink", right),
            text(_LABELS - 12, y + 28, where, "soft", right + small),
        ]
        for ratio, colour in ((steady, "steady"), (whole, "bar")):
            if ratio is not None:
                size = f'width="{round(place(ratio) - _LABELS, 1):g}" height="24"'
                lines.append(f'<rect x="{_LABELS}" y="{y}" {size} rx="3" fill="{colours[colour]}"/>')
        numbers = " to ".join(f"{ratio:.3g}" for ratio in (whole, steady) if ratio is not None)
        lines.append(text(place(max(whole, steady or 0)) + 8, y + 17, numbers, "ink", ' font-weight="600"'))
    x, bottom = place(1), _TOP + _ROW * len(bars)
    lines += [
        f'<path d="M{x:g} {_TOP - 8}V{bottom}" stroke="{colours["line"]}" stroke-dasharray="3 3"/>',
        text(x, bottom + 16, "stock lm-eval", "soft", small + ' text-anchor="middle"'),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
