"""Draw with matplotlib and return SVG to inline in a page, in the page's colours and with a text alternative."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

INK = "#000000"
GRID = "#000009"
SERIES = ("#000001", "#000002", "#000003", "#000004")
OUTCOME_COLOURS = {"better": "#000005", "worse": "#000006"}  # other outcomes are drawn in INK
OUTCOME_MARKERS = {"better": "^", "worse": "v"}  # matplotlib's; other outcomes are circles
# Placeholders for the page's colours, which differ between light and dark mode.
_PAGE_COLOURS = {INK: "currentColor", GRID: "var(--line, #8884)"} | {
    colour: f"var(--series-{number}, {fallback})"
    for number, (colour, fallback) in enumerate(
        zip(SERIES, ("#0969da", "#bc4c00", "#8250df", "#1a7f37"), strict=True), 1
    )
}
_PAGE_COLOURS |= {OUTCOME_COLOURS["better"]: "var(--good, #116329)", OUTCOME_COLOURS["worse"]: "var(--bad, #b3202a)"}
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
_DPI = 72  # as SVG has, so that pixels are its units
_ROOM_FOR_LABELS = 45  # characters of all labels below a matrix, beyond which they are slanted
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_DECIMALS = re.compile(r"(\.\d\d)\d+")
_REFERENCE = re.compile(r"#([\w.-]+)")
_HOVER = "hover: "  # begins the id of what shows a text on hover
_SCALE_STEPS = 20


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
        draw: Draws on the axes, using only the colours `INK`, `GRID`, `SERIES` and `OUTCOME_COLOURS`.
        height: In inches; the width is 5.6.
    """
    from matplotlib import rc_context, rcdefaults, rcParams
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    stream = io.StringIO()
    with rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph ")  # text stays text in the SVG and is drawn with the reader's fonts
        warnings.filterwarnings("ignore", "constrained_layout not applied")  # for texts wider than the plot
        rcdefaults()  # ignore the user's matplotlibrc
        rcParams.update(_STYLE)
        figure = Figure(figsize=(_WIDTH, height), layout="constrained", dpi=_DPI)
        axes = figure.add_subplot()
        for background in (figure.patch, axes.patch):
            background.set_visible(False)
        draw(axes)
        canvas: Any = FigureCanvasSVG(figure)  # its method is untyped; `savefig` would draw everything twice
        canvas.print_svg(stream, metadata=_NO_METADATA)
    return Plot(title, alternative, _inline(stream.getvalue(), name, title, alternative))


def on_hover(artist: Artist, text: str) -> None:
    """Show a text while the pointer is on something that was drawn."""
    artist.set_gid(_HOVER + text)


def draw_matrix(
    axes: Axes,
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Sequence[tuple[str, str, float | None]],
    scale: tuple[str, str, str],
) -> None:
    """Draw a heat map with a text in each cell, labels of its rows and columns, and a scale.

    Args:
        axes: Axes to draw on.
        rows: Labels of the rows, from the top.
        columns: Labels of the columns.
        cells: Text, text on hover, and shade from 0 to 1 of each cell, row by row; a shade of None is an empty cell.
        scale: What the shade means, and the values of its lower and upper end.
    """
    from matplotlib.patches import Rectangle

    def rectangle(where: Axes, corner: tuple[float, float], size: tuple[float, float], shade: float) -> Rectangle:
        patch = Rectangle(corner, *size, facecolor=SERIES[0], alpha=0.05 + 0.5 * shade, linewidth=0)
        where.add_patch(patch)
        return patch

    for number, (text, hover, shade) in enumerate(cells):
        y, x = divmod(number, len(columns))
        if shade is not None:
            on_hover(rectangle(axes, (x - 0.48, y - 0.48), (0.96, 0.96), shade), hover)
        axes.text(x, y, text, ha="center", va="center", color=INK)
    is_slanted = sum(map(len, columns)) > _ROOM_FOR_LABELS
    slant: dict[str, Any] = {"rotation": 30, "ha": "right"} if is_slanted else {}
    axes.set_xticks(range(len(columns)), columns, **slant)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = axes.inset_axes((1.04, 0.0, 0.05, 1.0))
    for step in range(_SCALE_STEPS):
        rectangle(bar, (0, step / _SCALE_STEPS), (1, 1 / _SCALE_STEPS), (step + 0.5) / _SCALE_STEPS)
    bar.set(xlim=(0, 1), ylim=(0, 1), xticks=[])
    bar.yaxis.tick_right()
    bar.yaxis.set_label_position("right")
    bar.set_yticks([0, 1], scale[1:])
    bar.set_ylabel(scale[0])
    bar.grid(visible=False)
    bar.patch.set_visible(False)
    bar.spines[:].set_visible(False)


def label_points(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Write a label beside each point where it covers no other label and no point, with a line to it if it is far.

    Args:
        axes: Axes with their final limits.
        points: Coordinates and label of each point; an empty label is a point that labels must not cover.
    """
    from matplotlib.figure import Figure

    if isinstance(axes.figure, Figure):
        axes.figure.draw_without_rendering()  # so that the layout is final
    places = [tuple(axes.transData.transform((x, y))) for x, y, _ in points]
    frame = axes.get_window_extent()
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in places]
    for (x, y), (right, up, label) in zip(places, points, strict=True):
        if not label:
            continue
        width, height = 5.6 * len(label) + 4, 12.0
        boxes = []
        for far in (0, 14, 28, 42, 56):
            for dx, dy in ((0, 1), (1, 0), (-1, 0), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)):
                left = x - width / 2 + dx * (width / 2 + 7 + far)
                low = y - height / 2 + dy * (height / 2 + 7 + far)
                boxes.append((left, low, left + width, low + height))
        inside = [box for box in boxes if frame.x0 <= box[0] and box[2] <= frame.x1 and frame.y0 <= box[1]] or boxes
        box = min(inside, key=lambda box: sum(_overlap(box, other) for other in taken))
        taken.append(box)
        centre = ((box[0] + box[2]) / 2 - x, (box[1] + box[3]) / 2 - y)
        is_far = abs(centre[0]) > width / 2 + 8 or abs(centre[1]) > height / 2 + 8
        line = {"arrowstyle": "-", "color": INK, "linewidth": 0.5} if is_far else None
        axes.annotate(
            label, (right, up), centre, textcoords="offset pixels", ha="center", va="center", size=9, arrowprops=line
        )


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Area that two boxes (left, low, right, high) share."""
    width, height = (min(one[end + 2], other[end + 2]) - max(one[end], other[end]) for end in (0, 1))
    return max(0.0, width) * max(0.0, height)


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
            if key == "id" and value.startswith(_HOVER):
                tip = ET.Element("title")
                tip.text = value.removeprefix(_HOVER)
                element.insert(0, tip)
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
