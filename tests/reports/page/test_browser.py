"""The page in a real headless Chromium: filters, search, deep links, keyboard, phone, print, accessibility."""

import os
import shutil
from pathlib import Path

import pytest

from reports.document.reading import read_results
from reports.files import write_json
from reports.page.render import render
from tests.reports.documents import write_document
from tests.reports.page.test_reports import HOSTILE, change_sample
from tests.reports.test_injection import HOSTILE as PAYLOADS
from tests.reports.test_injection import HOSTILE_NAMES

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[test]'")
CHROMIUM = os.environ.get("MEDBENCH_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="no browser: apt-get install chromium, or name one in MEDBENCH_CHROMIUM"
)
QUESTIONS = "details.question:visible"
TO_ANSWER = "medbench_generation"


@pytest.fixture(scope="module")
def page_file(tiny_run, tmp_path_factory):
    """A report with hostile answers, in a run folder of its own."""
    run = shutil.copytree(tiny_run, tmp_path_factory.mktemp("page") / "run")
    for model in ("base", "adapter"):
        change = {"output": HOSTILE, "id": '"><img src=x onerror=alert(1)>', "finish_reason": "length"}
        change_sample(run, model, TO_ANSWER, **change, problems=["missing: </details><script>alert(2)</script>"])
    results = read_results(run)
    write_json(run / "results.json", results.model_copy(update={"notes": [HOSTILE]}).model_dump(mode="json"))
    return render(run)[1]


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def open_page(browser, page_file):
    """Open the report as a user has it; whatever the page complains of or asks for fails the test."""
    contexts, complaints = [], []

    def make(fragment="", file=page_file, **settings):
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: complaints.append(request.url) if request.url[:5] != "file:" else None)
        page.goto(file.as_uri() + fragment)
        return page

    yield make
    for context in contexts:
        context.close()
    assert not complaints


def counts_beside_filters(page):
    """The count that each filter shows, by the filter's name."""
    labels = page.locator(".controls fieldset label").all_inner_texts()
    return {name.strip(): int(count) for name, count in (label.rsplit(" ", 1) for label in labels)}


def test_filters_show_what_they_say_and_how_many(open_page):
    page = open_page()
    everything = page.locator(QUESTIONS).count()
    announced = counts_beside_filters(page)
    assert [*announced] == ["All", "Won", "Lost", "Same", "Wrong format", "Truncated", "Longest"]
    for name, count in announced.items():
        page.get_by_role("radio", name=name).check(force=True)
        assert page.locator(QUESTIONS).count() == count
        assert page.locator("output").inner_text() == f"{count} of {everything} questions shown"
    assert announced["All"] == everything
    assert 0 < announced["Truncated"] < everything
    assert 0 < announced["Wrong format"] < everything
    assert 0 < announced["Same"] < everything


def test_counts_follow_the_task_and_the_search(open_page):
    page = open_page()
    page.get_by_label("Task").select_option(TO_ANSWER)
    assert page.locator(QUESTIONS).count() == counts_beside_filters(page)["All"] == 6
    page.get_by_label("Search").fill("alert(1)  gnol")
    assert counts_beside_filters(page) | {"Longest": 1} == {
        "All": 1, "Won": 0, "Lost": 0, "Same": 1, "Wrong format": 1, "Truncated": 1, "Longest": 1
    }  # fmt: skip


def test_search_finds_words_of_prompts_and_answers(open_page):
    page = open_page()
    page.get_by_label("Search").fill("<SCRIPT>alert(1)  gnol")
    assert page.locator(QUESTIONS).count() == 1
    page.get_by_label("Search").fill("no such words anywhere")
    assert page.locator(QUESTIONS).count() == 0
    assert page.locator("section.task:visible").count() == 0


def test_a_deep_link_opens_its_question_with_and_without_javascript(open_page):
    anchor = open_page().locator("details.question > div").last.get_attribute("id")
    for javascript in (True, False):
        page = open_page(f"#{anchor}", java_script_enabled=javascript)
        page.wait_for_timeout(300)
        assert page.locator(f"[id='{anchor}']").is_visible()
    page = open_page()
    page.get_by_label("Search").fill("no such words anywhere")
    page.evaluate(f"location.hash = '{anchor}'")
    page.wait_for_timeout(100)
    assert page.locator(f"[id='{anchor}']").is_visible()


def test_without_javascript_everything_is_there_and_no_dead_control(open_page):
    page = open_page(java_script_enabled=False)
    assert not page.locator("form").is_visible()
    assert not page.locator(".keys").is_visible()
    first = page.locator("details.question").first
    first.locator("> summary").click()
    assert first.locator("pre").first.is_visible()


def focused(page):
    """Anchor of the question whose line has the focus, or the name of another element that has it."""
    return page.evaluate(
        "document.activeElement.matches('.question > summary')"
        " ? document.activeElement.nextElementSibling.id : document.activeElement.textContent"
        " || document.activeElement.type"
    )


def test_the_keyboard_reaches_and_works_everything(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the results"
    page.locator("details.question > summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details.question").first.get_attribute("open") is not None
    page.get_by_role("radio", name="All").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("radio", name="Won").is_checked()


def test_keys_move_through_the_shown_questions_close_and_search(open_page):
    page = open_page()
    anchors = page.locator("details.question > div").evaluate_all("divs => divs.map(div => div.id)")
    page.locator("details.question > summary").first.focus()
    visited = []
    for key in ("j", "ArrowDown", "k", "ArrowUp", "k"):
        page.keyboard.press(key)
        visited.append(focused(page))
    assert visited == [anchors[1], anchors[2], anchors[1], anchors[0], anchors[0]]
    page.keyboard.press("Enter")
    page.locator("details.question[open] a").focus()
    page.keyboard.press("Escape")
    assert focused(page) == anchors[0]
    assert page.locator("details.question[open]").count() == 0
    page.keyboard.press("/")
    assert focused(page) == "search"
    page.keyboard.type("/j")
    assert page.get_by_label("Search").input_value() == "/j"
    page.get_by_label("Search").fill("")
    page.evaluate("document.querySelectorAll('details.question')[1].hidden = true")
    page.locator("details.question > summary").first.focus()
    page.keyboard.press("j")
    assert focused(page) == anchors[2]


def test_what_only_explains_is_folded_and_says_its_outcomes(open_page):
    page = open_page()
    folded = page.locator("main details.printed", has=page.locator("table.results"))
    assert folded.count() == 4
    for details in folded.all():
        assert details.locator("table").first.is_hidden()
        details.locator("> summary").click()
        rows = details.locator("tbody tr")
        outcomes = details.locator("summary .chip").all_inner_texts()
        assert sum(int(text.split(" ")[1]) for text in outcomes) == rows.count()
    assert page.locator("table.results").first.is_visible()


def test_answers_are_one_line_each_with_the_question_first(open_page):
    page = open_page(viewport={"width": 1280, "height": 800})
    lines = page.locator("details.question > summary").evaluate_all("all => all.map(one => one.clientHeight)")
    assert len(lines) == 12
    assert max(lines) < 60
    first = page.locator("details.question > summary").first
    assert first.locator(".asks").inner_text().endswith("?")
    assert first.locator(".brief").inner_text().startswith("gold ")


def test_on_a_phone_outcome_and_change_of_every_main_metric_are_seen(open_page):
    page = open_page(viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    rows = page.locator("table.results").first.locator("tbody tr")
    assert rows.count() == 5
    for row in rows.all():
        for part in (".outcome", ".changed", ".interval"):
            box = row.locator(part).first.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 390


def test_numbers_are_never_broken_into_lines(open_page):
    page = open_page(viewport={"width": 390, "height": 844})
    page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
    lines = page.locator("span.n, small.n, b.n").evaluate_all("all => all.map(one => one.getClientRects().length)")
    assert len(lines) > 100
    assert set(lines) == {1}
    cells = page.locator("td.n").evaluate_all("all => all.map(one => getComputedStyle(one).whiteSpace)")
    assert set(cells) == {"nowrap"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 1280])
def test_nothing_is_wider_than_the_window(open_page, scheme, width):
    page = open_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")


def test_it_prints_on_paper(open_page):
    page = open_page(color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_printing_opens_the_tables_and_closes_them_again(open_page):
    page = open_page()
    is_open = "[...document.querySelectorAll('details.printed')].map(details => details.open)"
    assert set(page.evaluate(is_open)) == {False}
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert set(page.evaluate(is_open)) == {True}
    assert page.locator("details.question[open]").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert set(page.evaluate(is_open)) == {False}


@pytest.mark.parametrize(
    ("scheme", "width"),
    [("light", 1280), *(pytest.param(*page, marks=pytest.mark.slow) for page in (("dark", 1280), ("light", 390)))],
)
def test_axe_finds_nothing(open_page, scheme, width):
    axe = pytest.importorskip("axe_playwright_python", reason="axe is not installed: pip install -e '.[test]'")
    page = open_page(color_scheme=scheme, viewport={"width": width, "height": 844})
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    result = page.evaluate("axe.run()")
    assert len(result["passes"]) > 20
    assert [(fault["id"], fault["nodes"][0]["html"][:200]) for fault in result["violations"]] == []


@pytest.mark.parametrize("kind", PAYLOADS)
def test_no_text_of_a_document_loads_runs_or_breaks_anything(open_page, tmp_path, kind):
    run = write_document(tmp_path / "run", PAYLOADS[kind], HOSTILE_NAMES)
    page = open_page(file=render(run)[1], viewport={"width": 1280, "height": 800})
    page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
    page.get_by_label("Search").fill("plain")
    page.wait_for_timeout(200)
    assert page.url == (run / "report.html").as_uri()
    assert "PWNED" not in page.title()
    assert page.locator("img, iframe, object, embed, link, base, video, audio, script[src]").count() == 0
    assert page.locator("script").count() == page.locator("head > style").count() == 1
    assert page.locator("a:not([href^='#'])").count() == 0
    tables = page.evaluate(
        "[...document.querySelectorAll('table')]"
        ".map(table => [...new Set([...table.rows].map(row => row.cells.length))])"
    )
    assert len(tables) == 31
    assert all(len(widths) == 1 for widths in tables)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
