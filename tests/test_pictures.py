"""The pictures of the pages: those of the committed results, small, and noticed when they are not."""

import shutil

import pytest

from benchmarks import pictures
from benchmarks.speed_picture import THEMES, speed_bars, speed_svg

REPORTS = ["report-light.png", "report-dark.png"]
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
PAGE = (
    '<style>p { color: red }</style><h1>Report</h1><p class="better">+1.0 pp</p>'
    '<svg><path d="M 1 2"/><text>a</text></svg>'
)


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(pictures.FOLDER, tmp_path / "pictures")


def test_the_pictures_are_up_to_date_and_small():
    assert pictures.stale() == [], "run python -m benchmarks.pictures"
    assert max(path.stat().st_size for path in pictures.FOLDER.iterdir()) < 200_000


@pytest.mark.parametrize("name", [*REPORTS, "curve-dark.png", "speed-dark.svg"])
def test_a_picture_that_is_missing_or_changed_is_stale(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert name in pictures.stale(folder)
    path.unlink()
    assert name in pictures.stale(folder)


def test_pictures_of_another_report_are_stale(folder, monkeypatch):
    pages = {run: pictures.report_html(run) for run, _ in pictures.PAGES.values()}
    pages["quickstart"] = pages["quickstart"].replace("better", "worse", 1)
    monkeypatch.setattr(pictures, "report_html", pages.__getitem__)
    assert pictures.stale(folder) == REPORTS


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("red", "blue", True),
        ("better", "worse", True),
        ("+1.0 pp", "+1.1 pp", True),
        ("<text>a", "<text>b", True),
        ("<h1>Report</h1>", "<h2>Report</h2>", True),
        ("M 1 2", "M 1.01 2", False),  # of another matplotlib
    ],
)
def test_what_a_report_shows_counts_and_not_the_coordinates_of_its_plots(old, new, shown):
    assert old in PAGE
    assert (pictures.report_hash(PAGE) != pictures.report_hash(PAGE.replace(old, new))) == shown


def test_bars_are_the_measured_ratios():
    light, dark = map(speed_svg, THEMES)
    for _, _, whole, _ in speed_bars():
        assert f">{whole:.3g}" in light
    assert light != dark
    assert light.replace("#0969da", "#4493f8").count("#4493f8") == dark.count("#4493f8") == 4


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="no browser: apt-get install chromium, or name one in MEDBENCH_CHROMIUM")
def test_written_pictures_are_up_to_date(tmp_path):
    pictures.write(tmp_path / "pictures")
    assert pictures.stale(tmp_path / "pictures") == []
    assert max(path.stat().st_size for path in (tmp_path / "pictures").iterdir()) < 200_000
