"""Several seeds: an adapter for each, pooled, and what cannot be pooled refused."""

import shutil

import pytest

import harness
from harness.opening import open_run
from harness.releases.scored_adapters import check_adapters
from reports.document.reading import read_results
from reports.errors import UserError

pytestmark = pytest.mark.usefixtures("without_plots")

TASKS = ("medbench_pubmedqa", "medbench_perplexity", "medbench_generation")


def test_several_seeds_are_trained_scored_and_pooled(tiny_recipe, tmp_path, command):
    out = tmp_path / "run"
    words = ("run", "--recipe", tiny_recipe, "--tasks", "medbench_perplexity", "--seeds", "1,2,3", "--out", out)
    code, printed, err = command(*words)
    assert code == 0, err
    assert printed.count("trainable parameters") == 3
    results = read_results(out)
    assert [model.name for model in results.models] == ["base", "seed-1", "seed-2", "seed-3", "adapter-mean"]
    values = {score.model: score for score in results.scores if score.metric == "perplexity"}
    each = [values[f"seed-{seed}"].value for seed in (1, 2, 3)]
    assert len(set(each)) == 3
    assert values["adapter-mean"].value == pytest.approx(sum(each) / 3)
    assert values["adapter-mean"].repeats == 3
    assert values["adapter-mean"].spread > 0
    pooled = [pair for pair in results.comparisons if pair.candidate == "adapter-mean"]
    assert {pair.test for pair in pooled if pair.outcome != "not tested"} == {"t-test over items and seeds"}
    assert "adapter-mean" in " ".join(results.verdict)
    assert results.training.steps == 3
    assert "seed-2" in results.overlap.models
    code, printed, err = command(*words)
    assert code == 0, err
    assert "trainable parameters" not in printed
    assert printed.count("answered already, kept") == 4


SETTINGS = ["trainer.max_steps=6", "trainer.save_steps=2", "trainer.keep_checkpoints=all"]


def run_seeds(recipe, out, models, *settings):
    return harness.run(
        str(recipe),
        out=out,
        models=models,
        tasks=["medbench_perplexity"],
        seeds=[1, 2],
        settings=[*SETTINGS, *settings],
        quiet=True,
    )


@pytest.fixture(scope="module")
def curve_run(tiny_recipe, tmp_path_factory):
    """A finished run of two seeds with all their checkpoints; tests must not change it."""
    out = tmp_path_factory.mktemp("seeds") / "run"
    run_seeds(tiny_recipe, out, "base,adapter@*")
    return out


@pytest.mark.slow
def test_the_checkpoints_of_all_seeds_are_scored_and_pooled_by_step(curve_run):
    results = read_results(curve_run)
    members = [f"seed-{seed}-step-{step}" for seed in (1, 2) for step in (2, 4, 6)]
    pools = [f"adapter-step-{step}-mean" for step in (2, 4, 6)]
    assert [model.name for model in results.models] == ["base", *members, *pools]
    assert [(model.seed, model.step) for model in results.models[1:]] == [
        *((seed, step) for seed in (1, 2) for step in (2, 4, 6)),
        *((None, step) for step in (2, 4, 6)),
    ]
    assert results.models[-1].members == ["seed-1-step-6", "seed-2-step-6"]
    assert len({model.sha256 for model in results.models}) == 10
    assert {model.training_data for model in results.models[1:]} == {"known"}
    values = {score.model: score for score in results.scores if score.metric == "perplexity"}
    mean = values["adapter-step-4-mean"]
    assert mean.value == pytest.approx((values["seed-1-step-4"].value + values["seed-2-step-4"].value) / 2)
    assert mean.spread == pytest.approx(abs(values["seed-1-step-4"].value - values["seed-2-step-4"].value) / 2**0.5)
    curve = results.learning_curve
    assert (curve.steps, curve.models) == ([2, 4, 6], pools)
    assert [(seed.seed, seed.steps) for seed in curve.seeds] == [(1, [2, 4, 6]), (2, [2, 4, 6])]
    assert results.training.steps == 6
    assert results.shown_models() == ["base", "seed-1-step-6", "seed-2-step-6", "adapter-step-6-mean"]
    markdown = (curve_run / "report.md").read_text(encoding="utf-8")
    rows = markdown.partition("### Learning curve")[2].partition("\n\n###")[0].split("\n| ")[1:]
    assert [row.split(" | ")[:2] for row in rows[2:6]] == [["base", ""], ["2", "2"], ["4", "2"], ["6", "2"]]


def test_the_final_adapters_stand_for_their_step(curve_run, tiny_recipe, tmp_path):
    out = shutil.copytree(curve_run, tmp_path / "run")
    results = run_seeds(tiny_recipe, out, "base,adapter,adapter@*")
    assert results.learning_curve.models == ["adapter-step-2-mean", "adapter-step-4-mean", "adapter-mean"]
    assert [model.name for model in results.models[1:4]] == ["seed-1", "seed-1-step-2", "seed-1-step-4"]
    scored = read_results(curve_run).models
    assert results.models[1].sha256 == next(model.sha256 for model in scored if model.name == "seed-1-step-6")


def test_a_step_that_one_seed_lacks_is_named_and_no_mean(curve_run, tiny_recipe, tmp_path, command):
    out = shutil.copytree(curve_run, tmp_path / "run")
    shutil.rmtree(out / "seeds/2/checkpoints/step-6")
    words = [word for setting in SETTINGS for word in ("--set", setting)]
    words += ["--models", "base,adapter@*", "--seeds", "1,2", "--tasks", "medbench_perplexity"]
    code, printed, err = command("run", "--recipe", tiny_recipe, "--out", out, *words)
    assert code == 0, err
    note = "not all seeds have step 6 (1 of 2), so the means over the seeds leave these steps out"
    assert note in " ".join(printed.split())
    results = read_results(out)
    assert note in results.notes
    assert (results.learning_curve.steps, [*results.learning_curve.left_out]) == ([2, 4], [6])
    assert "Not all seeds have step 6 (1 of 2)" in " ".join(results.verdict)


def test_the_gate_compares_the_checkpoints_of_a_pool(curve_run, tiny_recipe, tmp_path):
    out = shutil.copytree(curve_run, tmp_path / "run")
    folder, results = open_run(str(tiny_recipe), out=out)[1], read_results(out)
    assert check_adapters(folder, results, "adapter-step-4-mean")
    weights = "adapter_model.safetensors"
    shutil.copy(out / "seeds/2/checkpoints/step-2" / weights, out / "seeds/2/checkpoints/step-4" / weights)
    assert check_adapters(folder, results, "adapter-step-6-mean")
    with pytest.raises(UserError, match="are not those that were scored"):
        check_adapters(folder, results, "adapter-step-4-mean")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--seeds", "1"), "several different seeds are needed"),
        (("--seeds", "1,1"), "several different seeds are needed"),
        (("--seeds", "1,x"), "not a list of whole numbers"),
        (("--seeds", "1,2", "--models", "base"), "--models leaves adapter out"),
    ],
)
def test_seeds_that_cannot_be_pooled_are_refused(tiny_recipe, tmp_path, command, words, message):
    code, _, err = command("run", "--recipe", tiny_recipe, *words, "--out", tmp_path / "run")
    assert code == 2
    assert message in err
