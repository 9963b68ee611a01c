"""Several seeds: an adapter for each, pooled, and what cannot be pooled refused."""

import pytest

from reports.document.reading import read_results

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
