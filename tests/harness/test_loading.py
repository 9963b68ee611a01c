"""`medbench.load`: a run's frames from Python and in notebooks, and clear errors for what is no run."""

import json
import shutil
import subprocess
import sys

import pytest

import harness
import medbench
from harness import metrics, stats


@pytest.fixture
def run(tiny_run):
    return medbench.load(tiny_run)


def test_frames_agree_with_the_results_document(run):
    assert run.scores["value"].tolist() == [score.value for score in run.results.scores]
    assert run.comparisons["outcome"].tolist() == [pair.outcome for pair in run.results.comparisons]
    assert run.training["loss"].dropna().tolist() == [*run.results.training.loss_by_step("loss").values()]
    assert run.classes["correct"].tolist() == [count.correct for count in run.results.classes]


def test_samples_are_those_of_a_model_and_a_task(run):
    assert len(run.samples()) == 2 * 3 * 6
    chosen = run.samples(model="adapter", task="medbench_generation")
    assert set(chosen["model"]) == {"adapter"}
    assert set(chosen["task"]) == {"medbench_generation"}
    assert len(chosen) == 6


def test_mean_of_the_samples_is_the_score(run):
    means = run.samples(task="medbench_pubmedqa").groupby("model")["metric.accuracy"].mean().to_dict()
    scores = run.scores[run.scores["metric"] == "accuracy"].set_index("model")["value"].to_dict()
    assert means == pytest.approx(scores)


@pytest.mark.parametrize("metric", ["accuracy", "brier"])
def test_flips_are_as_many_as_the_comparison_says_differ(run, metric):
    pairs = run.comparisons[run.comparisons["metric"] == metric].set_index("task")
    flips = run.flips("base", "adapter", metric)
    assert len(flips[flips["task"] == "medbench_pubmedqa"]) == pairs.loc["medbench_pubmedqa", "differing"]


def test_a_notebook_shows_verdict_and_table_and_nothing_of_it_is_markup(tiny_run, tmp_path):
    value = json.loads((tiny_run / "results.json").read_text())
    value["verdict"] = ["<script>alert(1)</script> & \x1b[31m"]
    value["tasks"][0]["metrics"][0]["title"] = '<img src=x onerror="alert(1)">'
    (tmp_path / "results.json").write_text(json.dumps(value))
    html = medbench.load(tmp_path)._repr_html_()
    assert html.startswith("<p>&lt;script&gt;alert(1)&lt;/script&gt; &amp; \u241b[31m</p>")
    assert "&lt;img src=x onerror=" in html
    assert "<script" not in html
    assert "<img" not in html
    assert "Synthetic samples, no benchmark." in html
    assert "Not medical advice." in html
    assert "<th>base</th>" in html


def test_results_alone_load_and_their_samples_are_an_error(tiny_run, tmp_path):
    shutil.copy(tiny_run / "results.json", tmp_path)
    for path in (tmp_path, tmp_path / "results.json"):
        run = medbench.load(str(path))
        assert len(run.scores) == len(run.results.scores)
        with pytest.raises(medbench.UserError, match="it has no samples"):
            run.samples()
        with pytest.raises(medbench.UserError, match="it has no samples"):
            run.flips("base", "adapter")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "the folder has no results.json"),
        ("gate.json", "it is the report of a gate, not a run"),
        ("cells/base", "it is a sweep that is not finished"),
    ],
)
def test_what_is_no_run_is_an_error_that_says_what_it_is(tmp_path, made, message):
    folder = tmp_path / "folder"
    if made:
        (folder / made).parent.mkdir(parents=True)
        (folder / made).touch()
    with pytest.raises(medbench.UserError, match=message) as error:
        medbench.load(folder)
    assert error.value.where == str(folder)


def test_a_broken_document_is_the_usual_error(tmp_path):
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(medbench.UserError, match="invalid JSON"):
        medbench.load(tmp_path)


def test_unknown_names_are_errors_that_list_the_known_ones(run):
    with pytest.raises(medbench.UserError, match="it has no model 'other'") as error:
        run.samples(model="other")
    assert error.value.fix == "name one of: base, adapter"
    with pytest.raises(medbench.UserError, match="it has no task 'other'"):
        run.samples(task="other")
    with pytest.raises(medbench.UserError, match="it has no metric 'other'"):
        run.flips("base", "adapter", "other")


def test_medbench_only_re_exports():
    assert medbench.run is harness.run
    assert medbench.metrics.macro_f1 is metrics.macro_f1
    assert medbench.stats.wilson_interval is stats.wilson_interval
    assert [name for name in medbench.__all__ if not hasattr(medbench, name)] == []
    assert {*harness.__all__} < {*medbench.__all__}
    assert not hasattr(medbench, "other")


def test_importing_medbench_takes_no_heavy_library():
    code = "import sys, medbench; print({'numpy', 'pandas', 'pydantic', 'torch', 'typer'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
