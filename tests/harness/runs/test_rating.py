"""Human rating: sheets that tell nothing of the models, marks that find back to them, and how far raters agree."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from reports.comparison.agreement import agreement
from reports.document.checksums import write_facts
from reports.document.reading import read_results
from reports.rating_sheet import ASPECTS, Rating

pytestmark = pytest.mark.usefixtures("without_plots")

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


@pytest.fixture
def sheet(run, command):
    """An exported sheet: (run, rows of the CSV, the key)."""
    code, printed, err = command("rate", "export", run, "--items", 6)
    assert code == 0, err
    assert "not for raters" in printed
    text = (run / "ratings" / "sheet.csv").read_bytes().decode("utf-8")
    key = json.loads((run / "ratings" / "key.json").read_text())["codes"]
    return run, list(csv.DictReader(io.StringIO(text, newline=""))), key


def fill(path, rows, mark, *, delimiter=","):
    """Write a filled sheet; `mark` gives an answer's mark from its code, or None."""
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        for row in rows:
            given = mark(row["code"])
            writer.writerow(row | dict.fromkeys(ASPECTS, "" if given is None else given))
    return path


def test_a_sheet_shows_every_answer_and_tells_nothing_of_the_models(sheet):
    run, rows, key = sheet
    assert len(rows) == len(key) == 12
    assert [row["code"] for row in rows] == sorted(key)
    assert {entry["model"] for entry in key.values()} == {"base", "adapter"}
    assert not any(character.isdigit() for row in rows for character in row["code"])  # 12e45678 would become a number
    for name in ("sheet.csv", "sheet.html"):
        text = (run / "ratings" / name).read_text(encoding="utf-8").replace("base-uri", "")
        assert "base" not in text
        assert "adapter" not in text
    page = (run / "ratings" / "sheet.html").read_text(encoding="utf-8")
    assert page.count("<article") == 12
    assert "http" not in page.replace("http-equiv", "")
    assert all(row["question"] for row in rows)
    assert not any(row["question"].startswith("<|start|>") for row in rows)


def test_marks_are_unblinded_compared_and_reported(sheet, tmp_path, command):
    run, rows, key = sheet
    better = lambda code: 4 if key[code]["model"] == "adapter" else 2  # noqa: E731
    some = {code for of in ("base", "adapter") for code in sorted(c for c in key if key[c]["model"] == of)[::3]}
    milder = lambda code: better(code) + (code in some)  # noqa: E731
    sheets = [fill(tmp_path / "ada.csv", rows, better), fill(tmp_path / "bo.csv", rows, milder, delimiter=";")]
    code, printed, err = command("rate", "import", run, *sheets)
    assert code == 0, err
    assert "human rating" in printed
    results = read_results(run)
    figures = {(score.model, score.metric): score for score in results.scores if score.task == "human_rating"}
    wanted = 4 + 2 / 12  # a second rater gave two of the six answers one more
    assert figures["adapter", "completeness"].value == pytest.approx(wanted)
    assert figures["adapter", "completeness"].low < wanted
    assert figures["adapter", "completeness"].n == 6
    (pair,) = [p for p in results.comparisons if (p.task, p.metric) == ("human_rating", "fluency")]
    assert pair.difference > 1.5
    assert pair.n == 6
    assert (results.ratings.raters, results.ratings.answers, results.ratings.outdated) == (2, 12, 0)
    assert 0.5 < results.ratings.agreement["fluency"] < 1
    for name in ("report.md", "report.html"):
        assert "2 people rated " in (run / name).read_text(encoding="utf-8")
    code, _, err = command("run", "--out", run)
    assert code == 0, err
    assert read_results(run).ratings == results.ratings


def test_marks_on_a_sheet_that_is_replaced_do_not_count(sheet, tmp_path, command):
    run, rows, _ = sheet
    assert command("rate", "import", run, fill(tmp_path / "ada.csv", rows, lambda _: 3))[0] == 0
    assert command("rate", "export", run, "--again")[0] == 0
    code, _, err = command("run", "--out", run, "--again")
    assert code == 0, err
    assert read_results(run).ratings is None


def test_marks_of_answers_that_changed_since_do_not_count(sheet, tmp_path, command):
    run, rows, _ = sheet
    path = run / "samples" / "base" / "medbench_generation.jsonl"
    samples = [json.loads(line) for line in path.read_text().splitlines()]
    samples[0]["output"] = "something else"
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    write_facts(path)
    code, _, err = command("rate", "import", run, fill(tmp_path / "ada.csv", rows, lambda _: 3))
    assert code == 0, err
    ratings = read_results(run).ratings
    assert (ratings.answers, ratings.outdated) == (11, 1)
    assert ratings.agreement["fluency"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: {"fluency": "6"}, "row 2, fluency: '6' is no mark"),
        (lambda row: {"fluency": "good"}, "'good' is no mark"),
        (lambda row: {"code": "none"}, "the code 'none' is of no answer of this run"),
    ],
)
def test_a_broken_sheet_is_one_message(sheet, tmp_path, command, change, message):
    run, rows, _ = sheet
    rows[0] |= dict.fromkeys(ASPECTS, "3") | change(rows[0])
    path = tmp_path / "ada.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    code, _, err = command("rate", "import", run, path)
    assert code == 2
    assert message in err


def test_sheets_that_say_nothing_or_are_lost_are_refused(sheet, tmp_path, command, tiny_run):
    run, rows, _ = sheet
    empty = fill(tmp_path / "ada.csv", rows, lambda _: None)
    assert "there is no mark in them" in command("rate", "import", run, empty)[2]
    twice = fill(tmp_path / "bo.csv", [rows[0], rows[0]], lambda _: 3)
    assert "is there twice" in command("rate", "import", run, twice)[2]
    (tmp_path / "x").mkdir()
    assert "have the same name" in command("rate", "import", run, empty, shutil.copy(empty, tmp_path / "x"))[2]
    (tmp_path / "c.csv").write_text("a,b\n1,2\n")
    assert "it has no column code, medical_accuracy" in command("rate", "import", run, tmp_path / "c.csv")[2]
    assert "there is no rating sheet" in command("rate", "import", tiny_run, empty)[2]
    assert "a sheet exists already" in command("rate", "export", run)[2]
    assert command("rate", "export", run, "--again", "--items", 2)[0] == 0
    assert "holds no answers of nobody" in command("rate", "export", run, "--again", "--models", "nobody")[2]


@pytest.mark.parametrize("name", ["sheet.csv", "Sheet (1).csv", "sheet - Copy.csv", "sheet copy.csv", "rater.csv"])
def test_a_sheet_that_does_not_name_its_rater_is_refused(sheet, tmp_path, command, name):
    """Two raters who both leave the name of the exported sheet would count as one."""
    run, rows, _ = sheet
    code, _, err = command("rate", "import", run, fill(tmp_path / name, rows, lambda _: 3))
    assert code == 2
    assert f"{tmp_path / name}: the name {name} does not say who filled the sheet" in err
    assert "rename it to the rater's name or initials, such as ada.csv" in err
    assert not (run / "ratings" / "ratings.json").exists()


def test_a_cell_that_a_spreadsheet_would_compute_is_text(run, command):
    path = run / "samples" / "base" / "medbench_generation.jsonl"
    samples = [json.loads(line) for line in path.read_text().splitlines()]
    for sample in samples:
        sample["output"] = "=1+1"
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    write_facts(path)
    assert command("rate", "export", run)[0] == 0
    assert ",'=1+1," in (run / "ratings" / "sheet.csv").read_text(encoding="utf-8")


def test_agreement_is_krippendorffs_alpha():
    """The worked example of Krippendorff 2011, four raters and twelve answers with gaps: 0.815 for ordinal marks."""
    table = [
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    ]
    ratings = [
        Rating(f"rater {rater}", f"answer {place}", {"fluency": int(mark)}, "")
        for rater, line in enumerate(table)
        for place, mark in enumerate(line.split())
        if mark != "."
    ]
    assert agreement(ratings, "fluency") == pytest.approx(0.815, abs=5e-4)
    assert agreement([rating for rating in ratings if rating.rater == "rater 0"], "fluency") is None


def test_the_page_saves_what_was_marked(sheet, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs a Chromium")
    run, rows, _ = sheet
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((run / "ratings" / "sheet.html").as_uri())
        page.fill("input[name=rater]", "Dr. A")
        for aspect in ASPECTS:
            page.check(f"input[name='{rows[0]['code']}.{aspect}'][value='4']")
        page.fill(f"textarea[name='{rows[0]['code']}.comment']", 'good, "clear"')
        assert page.inner_text("output") == f"5 of {12 * 5} ratings given"
        page.reload()
        assert page.inner_text("output") == f"5 of {12 * 5} ratings given"
        with page.expect_download() as download:
            page.click("button")
        saved = Path(tmp_path / download.value.suggested_filename)
        download.value.save_as(saved)
        browser.close()
    assert errors == []
    assert saved.name == "Dr-A.csv"
    lines = {row["code"]: row for row in csv.DictReader(saved.open(encoding="utf-8", newline=""))}
    assert len(lines) == 12
    assert lines[rows[0]["code"]]["fluency"] == "4"
    assert lines[rows[0]["code"]]["comment"] == 'good, "clear"'
    assert lines[rows[1]["code"]]["fluency"] == ""
