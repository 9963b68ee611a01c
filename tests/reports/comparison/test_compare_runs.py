"""What the runs found stays with their models under the names of the comparison."""

import shutil

from reports.comparison.compare_runs import compare_runs
from reports.document.checksums import write_facts
from reports.document.evidence import OverlapMatch
from reports.document.reading import read_results
from reports.files import write_json


def test_items_that_only_some_models_were_trained_on_stay_marked(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "other")
    results = read_results(run)
    names = {"task": "medbench_pubmedqa", "item": "1", "row": "r", "role": "train", "kind": "exact", "part": "question"}
    match = OverlapMatch(**names, share=1.0, rows=1, models=["adapter"])
    check = results.overlap.model_copy(update={"matches": [match], "models": ["adapter"]})
    write_json(run / "results.json", results.model_copy(update={"overlap": check}).model_dump(mode="json"))
    found = compare_runs([run], tmp_path / "out", "adapter")
    assert found.overlap.affected("medbench_pubmedqa", "other") == 1
    assert "Trained on test items" in " ".join(found.verdict)


def test_what_training_took_is_told_of_the_adapter_that_was_trained_only(tiny_run, tmp_path):
    first, second = (shutil.copytree(tiny_run, tmp_path / name) for name in ("first", "second"))
    results = read_results(second)
    recipe = results.recipe | {"lora": results.recipe["lora"] | {"r": 64}}
    brought = next(model for model in results.models if model.name == "adapter").model_copy(update={"name": "brought"})
    results = results.model_copy(update={"recipe": recipe, "models": [*results.models, brought]})
    write_json(second / "results.json", results.model_dump(mode="json"))
    found = compare_runs([first, second], tmp_path / "out", "adapter").compared.configurations
    told = {each.model: (each.settings, each.training_seconds, each.peak_memory_bytes) for each in found}
    training = results.training
    rank = read_results(first).recipe["lora"]["r"]
    assert told == {
        "base": ({}, None, None),
        "first": ({"lora.r": rank}, training.seconds, training.peak_memory_bytes),
        "second-adapter": ({"lora.r": 64}, training.seconds, training.peak_memory_bytes),
        "second-brought": ({}, None, None),
    }


def test_samples_that_an_earlier_adapter_left_are_not_compared(tiny_run, tmp_path):
    first, second = (shutil.copytree(tiny_run, tmp_path / name) for name in ("first", "second"))
    compare_runs([first, second], tmp_path / "out", "adapter")
    results = read_results(second)
    gone = "medbench_generation"
    scores = [score for score in results.scores if score.task != gone]
    write_json(second / "results.json", results.model_copy(update={"scores": scores}).model_dump(mode="json"))
    found = compare_runs([first, second], tmp_path / "out", "adapter")
    assert {each.candidate for each in found.comparisons if each.task == gone} == {"first"}
    assert {each.candidate for each in found.comparisons} == {"first", "second"}


def test_runs_that_share_no_item_are_told_to_say_nothing(tiny_run, tmp_path):
    first, second = (shutil.copytree(tiny_run, tmp_path / name) for name in ("first", "second"))
    for path in second.glob("samples/*/*.jsonl"):
        path.write_text(path.read_text().replace('"doc_hash": "', '"doc_hash": "other '))
        write_facts(path)
    found = compare_runs([first, second], tmp_path / "out", "adapter")
    assert all(each.difference is None for each in found.comparisons if each.candidate == "second")
    assert "second cannot be compared with base: the two have no values of the same items" in " ".join(found.verdict)


def test_the_best_is_claimed_to_be_better_only_than_those_it_is_shown_to_be_better_than(tiny_run, tmp_path):
    """Three adapters of equal answers: the best of them is distinguished from none."""
    runs = [shutil.copytree(tiny_run, tmp_path / name) for name in ("first", "second", "third")]
    results = compare_runs(runs, tmp_path / "out", "adapter")
    assert results.compared.better_than == []
    assert sorted([results.compared.best, *results.compared.not_distinguished]) == ["first", "second", "third"]
    assert "It is not distinguishable from" in results.verdict[0]
    assert "It is shown to be better than" not in results.verdict[0]
    assert "its score is slightly optimistic" in results.verdict[0]


def test_adapters_are_corrected_together_and_each_row_prints_its_level(tiny_run, tmp_path):
    runs = [shutil.copytree(tiny_run, tmp_path / name) for name in ("first", "second")]
    results = compare_runs(runs, tmp_path / "out", "adapter")
    rows = {(each.candidate, each.task, each.metric): each for each in results.comparisons}
    for (candidate, task, metric), row in rows.items():
        twin = rows["second" if candidate == "first" else "first", task, metric]
        assert (row.level, row.low, row.p_adjusted) == (twin.level, twin.low, twin.p_adjusted)
        if row.p_value is not None:
            assert (row.p_value < row.level) == (row.low is not None and (row.low > 0 or row.high < 0))
