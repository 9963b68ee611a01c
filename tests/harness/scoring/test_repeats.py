"""Several sampled answers to each question: from the recipe to the samples."""

import pytest

from reports.document.reading import read_results
from reports.document.schema import Sample
from reports.errors import UserError
from reports.files import read_jsonl
from training.recipes.recipe_file import load_recipe

pytestmark = pytest.mark.usefixtures("without_plots")

SAMPLING = ("scoring.temperature=1.0", "scoring.repeats=3", "scoring.top_k=40", "scoring.top_p=0.95")


def run(command, tiny_recipe, out, *settings):
    words = [word for setting in (*SAMPLING, *settings) for word in ("--set", setting)]
    tasks = "medbench_generation,medbench_pubmedqa"
    code, _, err = command("run", "--recipe", tiny_recipe, "--models", "base", "--tasks", tasks, "--out", out, *words)
    assert code == 0, err
    path = out / "samples" / "base" / "medbench_generation.jsonl"
    return [Sample.model_validate(row) for _, row in read_jsonl(path)]


def test_each_answer_is_a_sample_with_its_own_metrics(command, tiny_recipe, tmp_path):
    samples = run(command, tiny_recipe, tmp_path / "run")
    assert [sample.repeat for sample in samples] == [0, 1, 2] * 6
    assert len({sample.id for sample in samples}) == 6
    assert len({sample.output for sample in samples}) > 12
    for sample in samples:
        assert sample.metrics["rouge_l"] is not None
        assert sample.output_tokens
        assert sample.problems
    results = read_results(tmp_path / "run")
    assert {score.n for score in results.scores if score.metric == "rouge_l"} == {6}
    (cost,) = [each for each in results.costs if each.task == "medbench_generation"]
    assert cost.output_tokens == sum(sample.output_tokens for sample in samples)
    assert cost.truncated == sum(sample.finish_reason == "length" for sample in samples)


def test_sampled_answers_are_kept_and_come_out_the_same(command, tiny_recipe, tmp_path):
    first = run(command, tiny_recipe, tmp_path / "one")
    assert [sample.output for sample in run(command, tiny_recipe, tmp_path / "two")] == [s.output for s in first]
    other = run(command, tiny_recipe, tmp_path / "three", "seed=8")
    assert {sample.output for sample in other}.isdisjoint({sample.output for sample in first})
    code, out, _ = command("score", "--out", tmp_path / "one", "--models", "base")
    assert code == 0
    assert "base, medbench_generation: answered already, kept" in out


def test_repeats_of_greedy_answers_are_refused(tiny_recipe):
    with pytest.raises(UserError, match="temperature"):
        load_recipe(str(tiny_recipe), ["scoring.repeats=3"])


def test_a_way_of_decoding_that_is_not_done_is_refused(tiny_model):
    from lm_eval.api.instance import Instance

    from harness.scoring.lm import RequestMaker
    from tasks.rendering import load_tokenizer

    maker = RequestMaker(load_tokenizer(str(tiny_model)), 0)
    made = maker.generate_until([Instance("generate_until", {}, ("Why?", {"num_beams": 1, "until": ["."]}), 0)])
    assert made[0].stop == (".",)
    with pytest.raises(UserError, match="num_beams=4"):
        maker.generate_until([Instance("generate_until", {}, ("Why?", {"num_beams": 4}), 0)])
