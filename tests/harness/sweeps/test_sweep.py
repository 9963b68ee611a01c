"""Comparing runs and sweeping settings: what is paired, what is redone, and what a report of several runs says."""

import json
import os
import re
import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

import harness
from harness.engines.kinds import ENGINES
from harness.sweeps.cells import is_finished, run_cell, run_stored
from harness.sweeps.sweeping import make_cells
from reports.document.checksums import write_facts
from reports.document.reading import read_results
from reports.errors import UserError
from reports.numbers import value_text
from tests.harness.plugins import HashEngine, use_engine
from training.recipes.recipe_file import load_recipe

GRID = ("lora.r=2,4", "trainer.learning_rate=1e-3,1e-2")
NAMES = ["r-2_learning_rate-1e-3", "r-2_learning_rate-1e-2", "r-4_learning_rate-1e-3", "r-4_learning_rate-1e-2"]
SMALL = ("trainer.max_steps=1", "scoring.tasks=[medbench_perplexity]")


@pytest.fixture(scope="module")
def swept(tiny_recipe, tmp_path_factory):
    """A sweep of 2 x 2 cells that was killed in its fourth cell and started again; with the cells of each start."""
    out = tmp_path_factory.mktemp("sweeps") / "grid"
    done: list[str] = []
    killed: list[str] = []
    with pytest.MonkeyPatch.context() as patch:

        def killed_in_the_fourth(plan):
            name = plan.folder.path.name
            if name not in done and len(done) == 3 and not killed:
                killed.append(name)
                (plan.folder.path / "samples").mkdir()
                raise KeyboardInterrupt
            if name not in done:
                done.append(name)
            return 1.0

        patch.setitem(ENGINES, "transformers", replace(ENGINES["transformers"], seconds=killed_in_the_fourth))
        with pytest.raises(KeyboardInterrupt):
            harness.sweep(str(tiny_recipe), GRID, out=out, settings=SMALL, quiet=True)
        before = list(done)
        done.clear()
        harness.sweep(str(tiny_recipe), GRID, out=out, settings=SMALL, quiet=True)
    return out, before, done


@pytest.mark.slow
def test_a_sweep_killed_halfway_redoes_nothing_finished(swept):
    _, before, after = swept
    assert before == ["base", *NAMES[:2]]
    assert after == NAMES[2:]


@pytest.mark.parametrize("stored", [False, True])
def test_a_cell_is_done_again_when_its_data_changed(tiny_recipe, tmp_path, monkeypatch, write_rows, stored):
    def do(cell):
        return run_stored(cell, store) if stored else run_cell(cell, tmp_path / "cells" / cell.name)

    use_engine(monkeypatch, tmp_path / "site", HashEngine, "hash")
    fast = ["scoring.engine=hash", "scoring.tasks=[medbench_perplexity]", "scoring.limit=2", "scoring.noise_items=0"]
    store = f"file://{tmp_path}/cells" if stored else str(tmp_path / "cells")
    rows = write_rows({"question": "a", "reasoning": "b", "response": "c"})
    cell = make_cells(lambda grid: load_recipe(str(tiny_recipe), [f"data.train.source={rows}", *fast, *grid]), GRID)[0]
    assert not is_finished(cell, store)
    do(cell)
    os.utime(rows, (1, 1))
    assert is_finished(cell, store)
    write_rows({"question": "a", "reasoning": "b", "response": "d"})
    assert not is_finished(cell, store)
    do(cell)
    assert is_finished(cell, store)
    template = Path(cell.recipe["model"]["base"]) / "another.jinja"
    template.write_text("x")
    assert not is_finished(cell, store)
    template.unlink()
    assert is_finished(cell, store)
    (tmp_path / "cells" / cell.name / "inputs.json").unlink()  # as where a second start of the cell was killed
    assert not is_finished(cell, store)


def test_a_sweep_ends_in_one_comparison(swept):
    out, _, _ = swept
    results = read_results(out)
    assert [model.name for model in results.models] == ["base", *NAMES]
    assert results.baseline == "base"
    assert {each.candidate for each in results.comparisons} == set(NAMES)
    compared = results.compared
    assert [each.settings.get("lora.r") for each in compared.configurations] == [None, 2, 2, 4, 4]
    best = min(compared.configurations[1:], key=lambda each: each.quality)
    assert compared.best == best.model
    assert best.on_front
    assert "The best model is the one with the lowest Perplexity" in results.verdict[0]
    html, markdown = ((out / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "md"))
    assert 'id="interaction-title"' in html
    assert 'id="front-time-title"' in html
    assert "| Model | Perplexity ↓ | Against base | lora.r | trainer.learning_rate | Training time |" in markdown
    assert "Pareto front" in markdown


def results_of_cell(folder):
    """The perplexity of a cell's model, as tables show it."""
    results = read_results(folder)
    (score,) = [score for score in results.scores if score.metric == "perplexity"]
    return value_text(score.value, results.tasks[0].main)


def test_a_sweep_shows_progress_score_and_time_left_and_ends_with_its_configurations(
    tiny_recipe, tmp_path, monkeypatch, capsys
):
    use_engine(monkeypatch, tmp_path / "site", HashEngine, "hash")
    fast = [*SMALL, "scoring.engine=hash", "scoring.limit=2", "scoring.noise_items=0"]
    capsys.readouterr()
    harness.sweep(str(tiny_recipe), ["lora.r=2,4"], out=tmp_path / "grid", settings=fast)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    score = r"Perplexity \u2193 [\d.,]+ \[[\d.,]+, [\d.,]+\]"
    assert lines[0] == "3 cells, 0 finished already"
    assert re.fullmatch(f"  base: {score}", lines[1])
    assert re.fullmatch(rf"  cells: 1/2, about \d+ (min \d+ )?s left, r-2: {score}", lines[2])
    assert re.fullmatch(rf"  cells: 2/2, \d+ (min \d+ )?s, r-4: {score}", lines[3])
    headings, *rows = [re.split(" {2,}", line) for line in lines[lines.index("") + 1 :][:4]]
    assert headings[0] == "Model"
    assert {"lora.r", "Perplexity \u2193", "Training time", "Peak memory"} <= set(headings)
    scores = {name: results_of_cell(tmp_path / "grid" / "cells" / name) for name in ("base", "r-2", "r-4")}
    assert {row[0].partition(" ")[0]: scores[row[0].partition(" ")[0]] in row for row in rows} == dict.fromkeys(
        scores, True
    )
    assert sum("(best" in row[0] for row in rows) == 1
    harness.sweep(str(tiny_recipe), ["lora.r=2,4"], out=tmp_path / "grid", settings=fast)
    again = capsys.readouterr().out
    assert again.startswith("3 cells, 3 finished already\n")
    assert "cells: " not in again


def test_figures_of_a_comparison_are_those_of_its_runs(swept):
    out, _, _ = swept
    figures = {(each.model, each.metric): each.value for each in read_results(out).scores}
    for name in NAMES:
        for score in read_results(out / "cells" / name).scores:
            assert figures[name, score.metric] == score.value


def test_grids_that_cannot_be_are_refused(tiny_recipe, tmp_path):
    for grid, message in (
        ((), "nothing to vary"),
        (("lora.r",), "not an axis"),
        (("lora.r=2,,4",), "not an axis"),
        (("scoring.max_new_tokens=4,8",), "only training may differ"),
        (("lora.r=2", "lora.r=4"), "varied twice"),
        (("lora.r=2,2",), "the same name"),
        (("lora.r=two",), "lora.r"),
    ):
        with pytest.raises(UserError, match=message):
            harness.sweep(str(tiny_recipe), grid, out=tmp_path, quiet=True)


def test_runs_are_paired_on_their_shared_items_and_others_are_named(tiny_run, tmp_path, command):
    other = shutil.copytree(tiny_run, tmp_path / "other")
    path = other / "samples" / "adapter" / "medbench_perplexity.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["doc_hash"] = "changed"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows[:-1]))
    write_facts(path)
    code, out, _ = command("compare", tiny_run, other, "--out", tmp_path / "both", "--by", "accuracy")
    assert code == 0
    assert rows[0]["id"] in out
    results = read_results(tmp_path / "both")
    assert [model.name for model in results.models] == ["base", "tiny", "other"]
    assert results.compared.left_out == {"medbench_perplexity": sorted([rows[0]["id"], rows[-1]["id"]])}
    sizes = {each.candidate: each.n for each in results.comparisons if each.metric == "perplexity"}
    assert sizes == {"tiny": 6, "other": 4}
    assert results.compared.metric == "accuracy"


def test_a_comparison_says_what_it_cannot_compare(tiny_run, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(tiny_run / "results.json", bare)
    for runs, by, message in (
        ([tiny_run, tiny_run], None, "listed twice"),
        ([tiny_run, tmp_path / "gone"], None, "no results.json"),
        ([tiny_run, bare], None, "no samples to pair"),
        ([tiny_run], "nonsense", "no run has a metric"),
    ):
        with pytest.raises(UserError, match=message):
            harness.compare(runs, out=tmp_path / "out", by=by, quiet=True)
    with pytest.raises(UserError, match="overwrite one of its runs"):
        harness.compare([tiny_run], out=tiny_run, quiet=True)


def test_cells_lie_in_any_store_and_are_fetched_from_there(tiny_recipe, tmp_path, swept):
    store = f"file://{tmp_path}/store"
    shutil.copytree(swept[0] / "cells", tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / NAMES[0])
    results = harness.sweep(str(tiny_recipe), GRID, out=tmp_path / "grid", settings=SMALL, store=store, quiet=True)
    assert (tmp_path / "store" / NAMES[0] / "adapter" / "adapter_model.safetensors").is_file()
    expected = {(each.model, each.metric): each.value for each in read_results(swept[0]).scores}
    assert {(each.model, each.metric): each.value for each in results.scores} == expected


def test_on_a_ray_cluster_that_loses_a_node_the_results_are_those_of_one_process(
    tiny_recipe, tmp_path, swept, monkeypatch
):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    killed = threading.Event()

    def kill_when_a_cell_is_done():
        while not any((tmp_path / "store").glob("*/results.json")):
            if killed.wait(0.2):
                return
        cluster.remove_node(node, allow_graceful=False)
        killed.set()

    killer = threading.Thread(target=kill_when_a_cell_is_done)
    killer.start()
    try:
        more = {"executor": "ray", "store": str(tmp_path / "store"), "quiet": True}
        results = harness.sweep(str(tiny_recipe), GRID, out=tmp_path / "grid", settings=SMALL, **more)
        assert killed.is_set()
    finally:
        killed.set()
        killer.join()
        ray.shutdown()
        cluster.shutdown()
    expected = {(each.model, each.metric): each.value for each in read_results(swept[0]).scores}
    assert {(each.model, each.metric): each.value for each in results.scores} == expected
