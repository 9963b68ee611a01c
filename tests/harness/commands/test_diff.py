"""`medbench diff`: the same run twice is the same; a change is told with the items that it moved."""

import json
import shutil

import pytest

from reports.comparison.diff import diff
from reports.document.checksums import write_facts
from reports.document.reading import read_results
from reports.tables import scores_table

TIMES = ("created", "command", "stages", "costs", "engine", "checksum")


def without_times(path):
    value = json.loads((path / "results.json").read_text(encoding="utf-8"))
    for key in TIMES:
        value.pop(key)
    for key in [key for key in value["training"] if "second" in key or "memory" in key]:
        value["training"].pop(key)
    return value


@pytest.fixture(scope="module")
def again(tiny_recipe, tmp_path_factory):
    """The tiny run once more, from nothing."""
    import harness

    folder = tmp_path_factory.mktemp("again") / "tiny"
    harness.run(str(tiny_recipe), out=folder, quiet=True)
    return folder


def test_the_same_seed_gives_the_same_results_apart_from_times(tiny_run, again, command):
    assert without_times(again) == without_times(tiny_run)
    code, printed, err = command("diff", tiny_run, again)
    assert code == 0, err
    assert "0 settings or versions, 0 figures and 0 of 36 answers differ" in printed


def test_other_batch_sizes_change_no_number_in_float32(tiny_run, tiny_recipe, tmp_path):
    import harness

    settings = ["scoring.batch_tokens=64", "scoring.batch_rows=1", "scoring.noise_items=0"]
    harness.score(
        str(tiny_recipe), models=f"base,mine={tiny_run / 'adapter'}", out=tmp_path, settings=settings, quiet=True
    )
    first, second = read_results(tiny_run), read_results(tmp_path)
    tables = [scores_table(each).rows for each in (first, second)]
    assert tables[0] == tables[1]
    for one, other in zip(first.scores, second.scores, strict=True):
        assert other.value == pytest.approx(one.value, rel=1e-6)


def test_everything_that_could_change_a_number_is_in_the_results(tiny_run):
    value = json.loads((tiny_run / "results.json").read_text(encoding="utf-8"))
    rests_on = value["reproduction"]
    assert set(rests_on["prompts"]) == set(rests_on["golds"]) == {task["name"] for task in value["tasks"]}
    assert rests_on["generation"]["medbench_generation"]["max_gen_toks"] == 12
    assert [key for key in rests_on if not rests_on[key]] == ["own_prompts"]  # all models are prompted alike
    assert all(task["version"] for task in value["tasks"])
    assert {"packages", "cpu", "device", "git_commit"} <= set(value["environment"])


def test_a_setting_that_changes_answers_is_named_with_them(tiny_run, tiny_recipe, tmp_path, command):
    import harness

    models = f"base,adapter={tiny_run / 'adapter'}".replace("adapter=", "mine=")
    for name, tokens in (("one", 12), ("two", 9)):
        settings = [f"scoring.max_new_tokens={tokens}", "scoring.noise_items=0"]
        task = ["medbench_generation"]
        harness.score(str(tiny_recipe), models=models, tasks=task, out=tmp_path / name, settings=settings, quiet=True)
    code, printed, err = command("diff", tmp_path / "one", tmp_path / "two")
    assert code == 1, err
    assert "recipe.scoring.max_new_tokens" in printed
    assert "reproduction.generation.medbench_generation.max_gen_toks" in printed
    found = diff(tmp_path / "one", tmp_path / "two")
    assert {place for place in found.facts if place.startswith("models")} == set()
    assert {each.what for each in found.items} <= {"answer", "metrics"}
    assert found.items
    assert found.compared == 12


def test_changed_and_missing_items_are_told_apart(tiny_run, tmp_path):
    other = shutil.copytree(tiny_run, tmp_path / "run")
    path = other / "samples" / "base" / "medbench_pubmedqa.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["doc_hash"] = "another question"
    rows[1]["output"] = "perhaps"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows[:-1]))
    write_facts(path)
    found = diff(tiny_run, other)
    assert [each.what for each in found.items] == ["item", "answer", "only in the first"]
    assert found.changes_numbers
    assert not found.scores


def test_a_folder_without_results_is_refused(tiny_run, tmp_path, command):
    code, _, err = command("diff", tiny_run, tmp_path)
    assert code == 2
    assert "results.json" in err
