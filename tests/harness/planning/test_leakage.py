"""Leakage: items of scored tasks that are among the training rows are told, by run and by plan."""

import json
import shutil
from types import SimpleNamespace

import pytest

from harness.planning.leakage import check_overlap, overlap_lines, unsearched_lines
from reports.document.evidence import match_text
from reports.document.reading import read_results
from tasks.data import ReasoningRow
from tasks.data.readers import Place
from tasks.data.turns import Turn
from tasks.overlap import Passage, TrainingIndex
from training.splits import TrainingRows

pytestmark = pytest.mark.usefixtures("without_plots")

TASKS = ("medbench_pubmedqa", "medbench_perplexity", "medbench_generation")


def test_questions_that_are_trained_on_are_told(tiny_recipe, tmp_path, command):
    """Training rows are asked: the run says so before it starts, at the top of its report and at its scores."""
    out, source = tmp_path / "run", "data.reasoning.source=samples:reasoning_train"
    words = (
        "--out",
        out,
        "--tasks",
        "medbench_perplexity",
        "--set",
        source,
        "--limit",
        "96",
        "--set",
        "scoring.noise_items=0",
    )
    code, printed, err = command("run", "--recipe", tiny_recipe, *words, "--set", "trainer.keep_best=true")
    assert code == 0, err
    assert "8 of the 96 items of medbench_perplexity share text with rows that are trained on (8 exact)" in printed
    results = read_results(out)
    assert {match.role for match in results.overlap.matches} == {"train", "validation"}
    assert all(match.item == match.row for match in results.overlap.matches)
    for match in results.overlap.matches:
        assert match.item_source == match.row_source
        assert match.row_source.startswith("reasoning_train.jsonl, line ")
        assert match.item_text == match.row_text
    assert results.verdict[0].startswith("Trained on test items: 8 of the 96 items")
    for name in ("report.md", "report.html"):
        text = (out / name).read_text(encoding="utf-8")
        assert text.index("Trained on test items") < text.index("Results")
        assert "syn-train-" in text
    (row,) = [
        line
        for line in (out / "report.md").read_text().splitlines()
        if line.startswith("| Perplexity \N{DOWNWARDS ARROW}")
    ]
    assert ["\N{DAGGER}" in cell for cell in row.split("|")[4:6]] == [False, True]


def test_rows_that_only_validate_are_not_learned_from(tiny_recipe, command):
    words = ("plan", tiny_recipe, "--set", "data.reasoning.source=samples:reasoning_train", "--set", "scoring.limit=96")
    _, printed, _ = command(*words)
    assert "6 of the 96 items of medbench_perplexity share text with rows that are trained on (6 exact)" in printed
    _, printed, _ = command(*words, "--set", "trainer.keep_best=true")
    assert "8 of the 96 items of medbench_perplexity share text with rows that are trained on (8 exact)" in printed


def test_the_rows_of_an_adapter_given_by_its_folder_are_known_by_the_log_beside_it(
    tiny_recipe, tiny_run, tmp_path, command
):
    out, unknown = tmp_path / "run", shutil.copytree(tiny_run / "adapter", tmp_path / "unknown")
    (unknown / "training_log.json").unlink()
    words = ("--models", f"base,mine={tiny_run / 'adapter'},other={unknown}", "--tasks", "medbench_perplexity")
    asked = ("--set", "data.reasoning.source=samples:reasoning_train", "--limit", "96", "--out", out)
    fast = ("--set", "scoring.noise_items=0")
    code, printed, err = command("run", "--recipe", tiny_recipe, *words, *asked, *fast)
    assert code == 0, err
    results = read_results(out)
    assert results.overlap.models == ["mine"]
    assert results.overlap.affected("medbench_perplexity", "mine") == 6
    assert "what other was trained on is unknown (no training_log.json beside it records the rows)" in printed
    assert "rows that mine trained on" in results.verdict[0]


def test_a_plan_says_which_items_are_trained_on(tiny_recipe, command):
    code, printed, err = command("plan", tiny_recipe)
    assert code == 0, err
    assert "test items among the 6 rows: none of 18" in printed
    code, printed, err = command("plan", tiny_recipe, "--set", "data.reasoning.source=samples:reasoning_train")
    assert code == 0, err
    assert "test items are trained on: " in printed


def a_task(name, *documents):
    """An lm-eval task as the search sees it."""
    return SimpleNamespace(name=name, source=None, indices=range(len(documents)), documents=lambda: iter(documents))


def trained(*rows, **more):
    return {"adapter": TrainingRows(list(rows), [], **more)}


def a_row(question, number=1, reasoning="Because.", answer="So."):
    return ReasoningRow(f"r{number}", question, reasoning, answer, place=Place("/a/b.csv", "b.csv", "line", number + 1))


def test_both_sides_are_named_by_file_and_line_with_both_texts(tmp_path, tiny_recipe, command):
    asked = {"question": "Which nerve is injured in wrist drop?", "complex_cot": "Radial palsy.", "response": "Radial."}
    (tmp_path / "test.jsonl").write_text("\n\n" + json.dumps({**asked, "id": "t1"}) + "\n")
    own = [{**asked, "question": f"Is {drug} a drug?", "id": drug} for drug in ("zinc", "iron", "salt", "lead", "gold")]
    rows = [own[0], {**asked, "question": "Which nerve was injured in wrist drop", "id": "a"}, *own[1:]]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    settings = {"data.train.source": tmp_path / "train.json", "data.reasoning.source": tmp_path / "test.jsonl"}
    settings |= {"data.train.rows": 6, "data.validation_rows": "null", "trainer.eval_steps": "null"}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    code, printed, err = command("plan", tiny_recipe, *words)
    assert code == 0, err
    wanted = (
        "1 of the 1 items of medbench_perplexity share text with rows that are trained on (1 near):\n"
        "  item t1 (test.jsonl, line 3) nearly equals train row a (train.json, row 2):"
        ' "Which nerve is injured in wrist drop?" and "Which nerve was injured in wrist drop"'
    )
    assert wanted in printed


def test_items_of_other_peoples_tasks_are_named_by_their_number():
    text = "The median nerve is compressed within the carpal tunnel at the wrist"
    task = a_task("anatomy", {"query": "nothing"}, {"choices": ["none", {"Label": text}]})
    (match,) = check_overlap(trained(a_row("Why?", answer=f"Note: {text}."), a_row("Why not?", 2)), [task]).matches
    assert (match.item, match.item_source, match.part) == ("1", "anatomy, item 1", "label")
    assert (match.row, match.row_source, match.row_part, match.rows) == ("r1", "b.csv, line 2", "answer", 1)
    assert (match.item_text, match.row_text) == (text, f"Note: {text}.")


def test_text_that_cannot_be_split_is_named_and_not_passed_over():
    task = a_task(
        "t", {"question": "\U0001f642?"}, {"question": "Why?", "extra": "!!"}, {"text": "?", "more": "b"}, {"a": "…"}
    )
    check = check_overlap(trained(a_row("¿?"), a_row("Is it?", 2)), [task, a_task("other", {"question": "Who?"})])
    assert check.unsearched == {"t": ["0", "3"]}
    assert check.unsearched_rows == ["b.csv, line 2"]
    assert overlap_lines(check) == []
    of_items, of_rows = unsearched_lines(check)
    said = (
        "2 of the 4 items of t have text that cannot be split into words, so it is not known whether they are trained"
    )
    assert of_items == f"{said} on: 0, 3"
    assert of_rows == (
        "rows whose question cannot be split into words, which no item could be compared with: b.csv, line 2"
    )


def test_models_with_other_rows_are_searched_apart():
    rows = {**trained(a_row("Which nerve is injured in wrist drop?")), "other": TrainingRows([a_row("Is it so?")], [])}
    rows["third"] = rows["other"]
    check = check_overlap(rows, [a_task("t", {"question": "Is it so?"})])
    assert [(match.kind, match.models) for match in check.matches] == [("exact", ["other", "third"])]
    assert (check.rows, check.items, check.models) == (2, {"t": 1}, ["adapter", "other", "third"])


def test_a_message_names_three_items_and_counts_the_rest():
    documents = [{"question": f"Is drug{n} a cause of gout?"} for n in range(5)]
    rows = [a_row(document["question"], n) for n, document in enumerate(documents, 1)]
    (line,) = overlap_lines(check_overlap(trained(*rows), [a_task("t", *documents)]))
    assert line.count("\n  item ") == 3
    assert line.endswith("\n  ... and 2 more")


def test_reports_show_both_texts_and_escape_them(tiny_run, tmp_path, command):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    results = json.loads((run / "results.json").read_text())
    text = "<script>alert(1)</script> | [x](http://y)"
    match = {"item": "1", "row": "2", "role": "train", "kind": "near", "part": "question", "share": 0.9, "rows": 3}
    match |= {"row_source": "a.csv, line 7", "item_source": "b.json, key 1", "item_text": text, "row_text": text}
    results["overlap"]["matches"] = [{"task": "medbench_pubmedqa", **match}]
    results["overlap"]["unsearched"] = {"medbench_pubmedqa": ["77"]}
    results["overlap"]["unsearched_rows"] = ["a.csv, line 9"]
    (run / "results.json").write_text(json.dumps(results))
    code, _, err = command("report", run)
    assert code == 0, err
    page, plain = ((run / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt; | [x](http://y)" in page
    assert "<script>alert(1)" not in page
    assert "&lt;script>alert(1)&lt;/script> \\| [x\\](http://y)" in plain
    (row,) = [line for line in plain.splitlines() if "a.csv, line 7" in line]
    assert row.startswith(
        "| medbench_pubmedqa | 1; b.json, key 1 | a.csv, line 7 (train) | near, 90% of its question | 3 |"
    )
    for name in (page, plain):
        assert "1 items of medbench_pubmedqa have text that cannot be split into words" in name
        assert "a.csv, line 9" in name


def test_results_of_older_versions_are_read(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    results = json.loads((run / "results.json").read_text())
    match = {"item": "1", "row": "2", "role": "train", "kind": "n-gram", "part": "context", "share": 0.25, "rows": 1}
    results["overlap"]["matches"] = [{"task": "t", **match}]
    del results["overlap"]["unsearched"], results["overlap"]["unsearched_rows"]
    (run / "results.json").write_text(json.dumps(results))
    check = read_results(run).overlap
    assert check.unsearched == {}
    assert match_text(check.matches[0]) == "item 1 shares 25% of its context with train row 2"


def test_a_plan_does_not_call_clean_what_it_could_not_search(tiny_recipe, write_rows, command):
    row = {"question": "\u2026?", "complex_cot": "Because.", "response": "So."}
    path = write_rows(row, {**row, "question": "Why?"})
    code, printed, err = command("plan", tiny_recipe, "--set", f"data.reasoning.source={path}")
    assert code == 0, err
    assert "1 of the 2 items of medbench_perplexity have text that cannot be split into words" in printed
    assert "none of" not in printed


def test_earlier_turns_of_conversations_are_searched_but_not_their_system_prompts():
    prompt = Turn("system", "You are a careful doctor who gives short and plain answers to the questions of patients.")
    earlier = Turn("user", "Which nerve is injured in wrist drop?")
    row = ReasoningRow(
        "a", "And why?", "", "It winds round the humerus.", history=(prompt, earlier, Turn("assistant", "Radial."))
    )
    index = TrainingIndex([Passage("a", part, text) for part, text in row.passages])
    items = [Passage("same", "question", earlier.text), Passage("prompt", "question", prompt.text)]
    assert [(overlap.item, overlap.kind) for overlap in index.find(items)] == [("same", "exact")]
