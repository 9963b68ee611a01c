"""Leakage: items of scored tasks that are among the training rows are told, by run and by plan."""

import shutil

from reports.document.reading import read_results

TASKS = ("medbench_pubmedqa", "medbench_perplexity", "medbench_generation")


def test_questions_that_are_trained_on_are_told(tiny_recipe, tmp_path, command):
    """Training rows are asked: the run says so before it starts, at the top of its report and at its scores."""
    out, source = tmp_path / "run", "data.reasoning.source=samples:reasoning_train"
    words = ("--tasks", "medbench_perplexity", "--set", source, "--limit", "96", "--out", out)
    code, printed, err = command("run", "--recipe", tiny_recipe, *words, "--set", "trainer.keep_best=true")
    assert code == 0, err
    assert "8 of the 96 items of medbench_perplexity share text with rows that are trained on (8 exact)" in printed
    results = read_results(out)
    assert {match.role for match in results.overlap.matches} == {"train", "validation"}
    assert all(match.item == match.row for match in results.overlap.matches)
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
    assert [cell.strip().endswith("\N{DAGGER}") for cell in row.split("|")[2:4]] == [False, True]


def test_rows_that_only_validate_are_not_learned_from(tiny_recipe, command):
    words = ("plan", tiny_recipe, "--set", "data.reasoning.source=samples:reasoning_train", "--set", "scoring.limit=96")
    _, printed, _ = command(*words)
    assert "6 of the 96 items of medbench_perplexity share text with rows that are trained on (6 exact)" in printed
    _, printed, _ = command(*words, "--set", "trainer.keep_best=true")
    assert "8 of the 96 items of medbench_perplexity share text with rows that are trained on (8 exact)" in printed


def test_the_rows_of_an_adapter_given_by_its_folder_are_known_by_the_recipe_beside_it(
    tiny_recipe, tiny_run, tmp_path, command
):
    out, unknown = tmp_path / "run", shutil.copytree(tiny_run / "adapter", tmp_path / "unknown")
    (unknown / "recipe.yaml").unlink()
    words = ("--models", f"base,mine={tiny_run / 'adapter'},other={unknown}", "--tasks", "medbench_perplexity")
    asked = ("--set", "data.reasoning.source=samples:reasoning_train", "--limit", "96", "--out", out)
    code, printed, err = command("run", "--recipe", tiny_recipe, *words, *asked)
    assert code == 0, err
    results = read_results(out)
    assert results.overlap.models == ["mine"]
    assert results.overlap.affected("medbench_perplexity", "mine") == 6
    assert "what other was trained on is not known here" in printed
    assert "rows that mine learned from" in results.verdict[0]


def test_a_plan_says_which_items_are_trained_on(tiny_recipe, command):
    code, printed, err = command("plan", tiny_recipe)
    assert code == 0, err
    assert "test items among the 6 rows: none of 18" in printed
    code, printed, err = command("plan", tiny_recipe, "--set", "data.reasoning.source=samples:reasoning_train")
    assert code == 0, err
    assert "test items are trained on: " in printed
