"""The page of `medbench view` in a real headless Chromium: filters, links, reload, phone, dark mode, accessibility."""

from pathlib import Path

import pytest

from tests.harness.viewing.run_folders import write_run
from tests.reports.documents import write_document
from tests.reports.page.test_browser import CHROMIUM, browser, sync_api  # noqa: F401 - a fixture
from tests.reports.test_injection import HOSTILE as PAYLOADS
from tests.reports.test_injection import HOSTILE_NAMES

pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="no browser: apt-get install chromium, or name one in MEDBENCH_CHROMIUM"
)
ROWS = ".runs tr[id] .name"


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    write_run(folder / "first", day="2026-03-01")
    write_run(folder / "second", day="2026-04-01", base="other-lm", outcome="worse", values=(0.5, 0.4))
    for cell in ("r-8", "r-16"):
        write_run(folder / "grid" / "cells" / cell, day="2026-02-01")
    (folder / "broken").mkdir()
    (folder / "broken" / "results.json").write_text("{")
    return folder


@pytest.fixture
def open_page(browser, start):  # noqa: F811 - the fixture
    """Open the page of a folder; an error in its console or a request elsewhere fails the test."""
    contexts, complaints = [], []

    def make(folder, path="/", **settings):
        address = f"http://127.0.0.1:{start(folder)}"
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda one: None if one.url.startswith(address) else complaints.append(one.url))
        page.goto(address + path)
        return page

    yield make
    for context in contexts:
        context.close()
    assert not complaints


def names(page):
    return page.locator(ROWS).all_inner_texts()


def wait_for_names(page, *expected):
    sync_api.expect(page.locator(ROWS)).to_have_text([*expected])
    assert page.locator("output").inner_text() == f"{len(expected)} of 4 runs shown"


def selection(page, name):
    return page.get_by_role("combobox", name=name, exact=True)


def test_filters_change_list_plot_and_address_at_once(open_page, runs):
    page = open_page(runs)
    assert names(page) == ["broken", "grid", "second", "first"]
    selection(page, "Outcome").select_option("worse")
    wait_for_names(page, "second")
    assert page.url.endswith("?outcome=worse&metric=quiz%2Facc&show=score&along=time")
    selection(page, "Outcome").select_option("broken")
    wait_for_names(page, "broken")
    selection(page, "Outcome").select_option("")
    page.get_by_label("Search").fill("other-lm ADAPTER")
    wait_for_names(page, "second")
    assert page.evaluate("document.activeElement.name") == "text"
    page.get_by_label("Search").fill("no such words")
    wait_for_names(page)
    assert page.get_by_text("No run passes the filters.").is_visible()


def test_a_filtered_address_is_the_same_page_with_and_without_javascript(open_page, runs):
    for javascript in (True, False):
        page = open_page(runs, "/?base=other-lm", java_script_enabled=javascript)
        assert names(page) == ["second"]
        assert selection(page, "Base").input_value() == "other-lm"


def test_without_javascript_the_button_applies_the_filters(open_page, runs):
    page = open_page(runs, java_script_enabled=False)
    page.get_by_label("From", exact=True).fill("2026-03-15")
    page.get_by_label("To", exact=True).fill("2026-04-15")
    page.get_by_role("button", name="Apply").click()
    assert names(page) == ["second"]
    page.get_by_role("link", name="Reset").click()
    assert len(names(page)) == 4


def test_a_link_opens_the_report_in_a_sandbox_and_back_keeps_the_filters(open_page, runs):
    (runs / "first" / "report.html").write_text(
        "<!doctype html><h1>Report</h1><script>document.querySelector('h1').textContent = window.origin</script>"
    )
    page = open_page(runs, "/?text=first")
    page.get_by_role("link", name="Report of first").click()
    assert page.locator("h1").inner_text() == "null"  # its script runs, but not in the origin of the list
    page.go_back()
    assert names(page) == ["first"]


def test_cells_of_a_sweep_open_below_it(open_page, runs):
    page = open_page(runs)
    summary = page.get_by_text("2 runs inside grid")
    assert not page.get_by_role("link", name="Report of grid/cells/r-8").is_visible()
    summary.focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Report of grid/cells/r-8").click()
    assert page.locator("h1").inner_text() == "Report of r-8"


def test_a_run_that_finishes_appears_after_a_reload(open_page, runs):
    (runs / "third").mkdir()
    (runs / "third" / "run.log").touch()
    page = open_page(runs, "/?text=third")
    assert page.get_by_text("no results yet").is_visible()
    write_run(runs / "third")
    page.reload()
    assert page.get_by_role("link", name="Report of third").is_visible()


def test_the_plot_has_a_text_alternative_and_all_values_in_a_table(open_page, runs):
    page = open_page(runs)
    assert "All values are in the table below." in page.locator("figure svg desc").text_content()
    page.get_by_text("Values of the plot").click()
    cells = page.get_by_role("region", name="Values of the plot").locator("tbody tr").first.locator("td, th")
    assert cells.all_inner_texts()[:4] == ["second", "2026-04-01", "base", "50.0 % [40.0, 60.0]"]
    selection(page, "Plot").select_option("change")
    page.locator("figcaption", has_text="Change in Accuracy").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(open_page, runs, scheme, width):
    write_run(runs / ("long-" * 30), verdict=["word" * 200], base="base" * 40, model="m" * 100)
    page = open_page(runs, viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(open_page, runs, scheme, width):
    axe = pytest.importorskip("axe_playwright_python", reason="axe is not installed: pip install -e '.[test]'")
    page = open_page(runs, color_scheme=scheme, viewport={"width": width, "height": 800})
    page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    checked = page.evaluate("axe.run()")
    assert len(checked["passes"]) > 15
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in checked["violations"]] == []


def test_it_prints_on_paper(open_page, runs):
    page = open_page(runs, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("form.filters").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


@pytest.mark.parametrize("kind", PAYLOADS)
def test_no_text_of_a_document_loads_runs_or_breaks_anything(open_page, runs, kind):
    write_document(runs / "hostile", PAYLOADS[kind], HOSTILE_NAMES)
    page = open_page(runs, viewport={"width": 1280, "height": 800})
    page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
    page.get_by_label("Search").fill("a")
    page.wait_for_timeout(500)
    assert "PWNED" not in page.title()
    assert page.locator("img, iframe, object, embed, link, base, video, audio, script[src]").count() == 0
    assert page.locator("script").count() == page.locator("head > style").count() == 1
    assert page.locator("a:not([href^='/']):not([href^='#'])").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
