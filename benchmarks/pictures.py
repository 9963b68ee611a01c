"""Writes the pictures of README.md and docs/ from committed results, or checks that they are up to date.

python -m benchmarks.pictures [--check]

`docs/pictures/report-*.png` show the top of the quickstart's report in Chromium (`MEDBENCH_CHROMIUM` or on the PATH),
`curve-*.png` the learning curve of another run's report, in the font Inter where it is installed (Debian: fonts-inter).
Another browser draws other pixels, so `--check` needs none: it compares hashes of the HTML of the reports and of the
pictures with those in `sources.json`. The HTML counts without
the coordinates of plots, which differ between versions of matplotlib. `docs/pictures/*.svg` are text and are compared
as they are.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.judging_picture import judging_svg
from benchmarks.speed_picture import THEMES, speed_svg
from reports.files import read_json, sha256_file, write_json, write_text
from reports.page.render import render

_RESULTS = Path(__file__).resolve().parent / "results"
FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures"
_SOURCES = "sources.json"
_WIDTH, _HEIGHT, _SCALE = 1180, 780, 1.6  # CSS pixels, at most, and pixels of the picture for each
_COLOURS = 256
PAGES = {"report": ("quickstart", ""), "curve": ("gpu/curve", 'h3:has-text("Learning curve") + *')}  # run, element
SVGS = {"speed": speed_svg, "judging": judging_svg}
_LAST_GAP = """most => {
  const parts = [...document.querySelectorAll("body *")].map(part => part.getBoundingClientRect());
  const small = parts.filter(part => part.height > 0 && part.height < most / 2);
  let y = most;
  while (y > most / 2 && small.some(part => part.top < y && y < part.bottom)) y -= 1;
  return y;
}"""  # the lowest height that cuts nothing but what holds half of the page
_STYLE = "body { font-family: Inter, system-ui, sans-serif !important; } nav { position: static !important; }"


class _Shown(HTMLParser):
    """Collects what a report shows: everything but the coordinates of its plots."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._svg = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._svg += tag == "svg"
        if not self._svg:
            self.parts.append(f"<{tag} {attrs}>")
        else:
            self.parts += [str(value) for name, value in attrs if name == "class"]

    def handle_endtag(self, tag: str) -> None:
        self._svg -= tag == "svg"

    def handle_data(self, data: str) -> None:
        self.parts += [data.strip()] if data.strip() else []


def report_hash(html: str) -> str:
    """SHA-256 of what a report shows."""
    shown = _Shown()
    shown.feed(html)
    return hashlib.sha256("\n".join(shown.parts).encode()).hexdigest()


def report_html(run: str) -> str:
    """HTML of the report of a committed run, by its folder in the results.

    The samples are not committed. The list of what a run lacks is left out, which would open the report for that.
    """
    with tempfile.TemporaryDirectory() as work, mock.patch("reports.page.caveats.missing", return_value=[]):
        shutil.copy(_RESULTS / run / "results.json", work)
        return render(Path(work))[1].read_text(encoding="utf-8")


def photograph(html: str, theme: str, path: Path, element: str = "") -> None:
    """Save the top of a page, or one of its elements, as PNG.

    Raises:
        SystemExit: There is no Chromium.
    """
    from PIL import Image
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("MEDBENCH_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no browser: install Chromium, or name one in MEDBENCH_CHROMIUM")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as work:
        page_file = Path(work) / "report.html"
        page_file.write_text(html, encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        viewport: Any = {"width": _WIDTH, "height": _HEIGHT}
        settings: Any = {"color_scheme": theme, "bypass_csp": True}
        page = browser.new_page(viewport=viewport, device_scale_factor=_SCALE, **settings)
        page.goto(page_file.as_uri())
        page.add_style_tag(content=_STYLE)
        if element:
            page.locator(element).screenshot(path=path)
        else:
            clip: Any = {"x": 0, "y": 0, "width": _WIDTH, "height": page.evaluate(_LAST_GAP, _HEIGHT)}
            page.screenshot(path=path, clip=clip)
        browser.close()
    picture = Image.open(path).convert("RGB")
    picture.quantize(_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)


def sources(html: str, name: str, folder: Path) -> dict[str, Any]:
    """Hashes of a report and of its pictures in a folder."""
    pictures = [folder / f"{name}-{theme}.png" for theme in THEMES]
    return {"report": report_hash(html), "pictures": {path.name: sha256_file(path) for path in pictures}}


def stale(folder: Path = FOLDER) -> list[str]:
    """Names of the pictures in a folder that are missing or not those of the committed results."""
    svgs = {folder / f"{name}-{theme}.svg": draw(theme) for name, draw in SVGS.items() for theme in THEMES}
    names = [path.name for path, svg in svgs.items() if not path.exists() or path.read_text("utf-8") != svg]
    recorded = read_json(folder / _SOURCES) if (folder / _SOURCES).exists() else {}
    for name, (run, _) in PAGES.items():
        shown = [folder / f"{name}-{theme}.png" for theme in THEMES]
        is_there = all(path.exists() for path in shown)
        if not is_there or sources(report_html(run), name, folder) != recorded.get(name):
            names += [path.name for path in shown]
    return names


def write(folder: Path = FOLDER) -> None:
    """Write all pictures into a folder."""
    folder.mkdir(exist_ok=True)
    recorded = {}
    for name, draw in SVGS.items():
        for theme in THEMES:
            write_text(folder / f"{name}-{theme}.svg", draw(theme))
    for name, (run, element) in PAGES.items():
        html = report_html(run)
        for theme in THEMES:
            photograph(html, theme, folder / f"{name}-{theme}.png", element)
        recorded[name] = sources(html, name, folder)
    write_json(folder / _SOURCES, recorded)


def main() -> None:
    """Write the pictures, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a picture is stale")
    args = parser.parse_args()
    if args.check:
        names = ", ".join(stale())
        sys.exit(f"stale: {names}; run python -m benchmarks.pictures" if names else None)
    write()


if __name__ == "__main__":
    main()
