"""Draws with matplotlib and gives SVG that stands inside a page: in the page's colours, with a text alternative."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#000000"
GRID = "#000009"
SERIES = ("#000001", "#000002", "#000003", "#000004")
# What is drawn in these becomes a colour of the page, which changes between light and dark.
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
_WIDTH = 5.6  # inches; at 72 units an inch its letters are as large as a phone's text
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_DECIMALS = re.compile(r"(\.\d\d)\d+")
_REFERENCE = re.compile(r"#([\w.-]+)")


@dataclass(frozen=True)
class Picture:
    """A picture for a page.

    Attributes:
        title: Its caption.
        alternative: What it shows, in words.
        svg: An `svg` element without outside names, to be put into HTML as it is.
    """

    title: str
    alternative: str
    svg: Markup


def picture(name: str, title: str, alternative: str, draw: Callable[[Axes], None], *, height: float = 3.2) -> Picture:
    """Draw one picture; the same drawing gives the same text every time.

    Args:
        name: A word that no other picture of the page has.
        title: Its caption.
        alternative: What it shows, in words, for those who do not see it.
        draw: Draws on the axes, in `INK`, `GRID` and `SERIES` only.
        height: In inches; the width is 5.6.
    """
    from matplotlib import rc_context, rcdefaults, rcParams
    from matplotlib.figure import Figure

    stream = io.StringIO()
    with rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph ")  # letters stay letters in the SVG; the reader's fonts draw them
        rcdefaults()  # what a user's matplotlibrc says is for the user's own pictures
        rcParams.update(_STYLE)
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        for background in (figure.patch, axes.patch):
            background.set_visible(False)
        draw(axes)
        figure.savefig(stream, format="svg", metadata=_NO_METADATA)
    return Picture(title, alternative, _inline(stream.getvalue(), name, title, alternative))


def _inline(text: str, name: str, title: str, alternative: str) -> Markup:
    """An SVG document as an element of a page: no namespaces, no style sheet, no ids but those that it needs."""
    root = ET.fromstring(text)  # noqa: S314 - matplotlib's own
    box = root.get("viewBox", "")
    for parent in root.iter():
        for child in [each for each in parent if each.tag.endswith("}style")]:
            parent.remove(child)
    needed = {found for each in root.iter() for value in each.attrib.values() for found in _REFERENCE.findall(value)}
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.text, element.tail = (part if part and part.strip() else None for part in (element.text, element.tail))
        attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        element.attrib.clear()
        for key, value in attributes.items():
            if (key == "id" and value not in needed) or (key == "transform" and value.startswith("rotate(-0 ")):
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
    """A style as attributes in the page's colours; its content policy lets no element have a style."""
    pairs = (each.partition(":") for each in style.split(";") if ":" in each)
    named = {key.strip(): value.strip() for key, _, value in pairs}
    if "font" in named:  # `font: 10px 'sans-serif'`, which is no attribute
        named["font-size"] = named.pop("font").split()[0]
    named.pop("font-family", None)
    return {
        key: _COLOUR.sub(lambda found: _PAGE_COLOURS.get(found[0], found[0]), value) for key, value in named.items()
    }


def _attribute(key: str, value: str, name: str) -> str:
    """An attribute's value: references get the new ids, numbers are no longer than is seen."""
    if key in ("href", "clip-path"):
        return _REFERENCE.sub(rf"#{name}-\1", value)
    return _DECIMALS.sub(r"\1", " ".join(value.split()))
