"""Draw with matplotlib and return SVG to inline in a page, in the page's colours and with a text alternative."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#000000"
GRID = "#000009"
SERIES = ("#000001", "#000002", "#000003", "#000004")
# Placeholders for the page's colours, which differ between light and dark mode.
_PAGE_COLOURS = {INK: "currentColor", GRID: "var(--line, #8884)"} | {
    colour: f"var(--series-{number}, {fallback})"
    for number, (colour, fallback) in enumerate(
        zip(SERIES, ("#0969da", "#bc4c00", "#8250df", "#1a7f37"), strict=True), 1
    )
}
_STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "grid.color": GRID,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "medbench",
    "text.parse_math": False,
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_WIDTH = 5.6  # inches; at 72 units per inch, text is as large as on a phone
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_DECIMALS = re.compile(r"(\.\d\d)\d+")
_REFERENCE = re.compile(r"#([\w.-]+)")


@dataclass(frozen=True)
class Plot:
    """A plot to inline in a page.

    Attributes:
        title: Its caption.
        alternative: Text alternative.
        svg: An `svg` element to inline in HTML; it depends on nothing outside itself.
    """

    title: str
    alternative: str
    svg: Markup


def plot(name: str, title: str, alternative: str, draw: Callable[[Axes], None], *, height: float = 3.2) -> Plot:
    """Draw one plot; the same input gives the same SVG text every time.

    Args:
        name: A word that is unique among the page's plots.
        title: Its caption.
        alternative: Text alternative.
        draw: Draws on the axes, using only the colours `INK`, `GRID` and `SERIES`.
        height: In inches; the width is 5.6.
    """
    from matplotlib import rc_context, rcdefaults, rcParams
    from matplotlib.figure import Figure

    stream = io.StringIO()
    with rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph ")  # text stays text in the SVG and is drawn with the reader's fonts
        warnings.filterwarnings("ignore", "constrained_layout not applied")  # for texts wider than the plot
        rcdefaults()  # ignore the user's matplotlibrc
        rcParams.update(_STYLE)
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        for background in (figure.patch, axes.patch):
            background.set_visible(False)
        draw(axes)
        figure.savefig(stream, format="svg", metadata=_NO_METADATA)
    return Plot(title, alternative, _inline(stream.getvalue(), name, title, alternative))


def draw_matrix(
    axes: Axes, rows: Sequence[str], columns: Sequence[str], cells: Iterable[tuple[str, str, float]], **edge: Any
) -> None:
    """Draw shaded cells with text, and label their rows and columns.

    Args:
        axes: Axes to draw on.
        rows: Labels of the rows, from the top.
        columns: Labels of the columns.
        cells: Text, colour and shade from 0 to 1 of each cell, row by row.
        edge: Properties of the cells' edges.
    """
    from matplotlib.patches import Rectangle

    for number, (text, colour, shade) in enumerate(cells):
        y, x = divmod(number, len(columns))
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, alpha=0.05 + 0.45 * shade, **edge))
        axes.text(x, y, text, ha="center", va="center", color=INK)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.grid(visible=False)


def _inline(text: str, name: str, title: str, alternative: str) -> Markup:
    """Turn an SVG document into an element: drop namespaces, the style sheet and all ids that are not referenced."""
    root = ET.fromstring(text)  # noqa: S314 - matplotlib's own
    box = root.get("viewBox", "")
    for parent in root.iter():
        for child in [child for child in parent if child.tag.endswith("}style")]:
            parent.remove(child)
    referenced = {
        name for element in root.iter() for value in element.attrib.values() for name in _REFERENCE.findall(value)
    }
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.text, element.tail = (part if part and part.strip() else None for part in (element.text, element.tail))
        attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        element.attrib.clear()
        for key, value in attributes.items():
            if (key == "id" and value not in referenced) or (key == "transform" and value.startswith("rotate(-0 ")):
                continue
            if key == "style":
                element.attrib |= _presentation(value)
            else:
                element.set(key, f"{name}-{value}" if key == "id" else _attribute(key, value, name))
    root.attrib.clear()
    names = {"aria-labelledby": f"{name}-title", "aria-describedby": f"{name}-text"}
    root.attrib |= {"viewBox": box, "role": "img", "fill": "currentColor", "stroke-linejoin": "round"} | names
    for place, (tag, key, content) in enumerate((("title", "title", title), ("desc", "text", alternative))):
        element = ET.Element(tag, {"id": f"{name}-{key}"})
        element.text = content
        root.insert(place, element)
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - every text in it was escaped above


def _presentation(style: str) -> dict[str, str]:
    """Convert a style to attributes in the page's colours; the content security policy forbids inline styles."""
    pairs = (declaration.partition(":") for declaration in style.split(";") if ":" in declaration)
    named = {key.strip(): value.strip() for key, _, value in pairs}
    if "font" in named:  # `font: 10px 'sans-serif'`, which is not an attribute
        named["font-size"] = named.pop("font").split()[0]
    named.pop("font-family", None)
    return {
        key: _COLOUR.sub(lambda match: _PAGE_COLOURS.get(match[0], match[0]), value) for key, value in named.items()
    }


def _attribute(key: str, value: str, name: str) -> str:
    """Rewrite an attribute's value: references get the new ids, numbers two decimals."""
    if key in ("href", "clip-path"):
        return _REFERENCE.sub(rf"#{name}-\1", value)
    return _DECIMALS.sub(r"\1", " ".join(value.split()))
