"""Tasks of lm-eval that are not ours, added by name: their own configurations on data put in place of the hub's."""

import pytest

from harness.planning import lm_tasks
from reports.document.reading import read_results
from reports.errors import UserError
from reports.files import read_jsonl
from training.models.base_model import find_base
from training.recipes.recipe_file import load_recipe

pytestmark = pytest.mark.usefixtures("without_plots")


def test_other_tasks_are_scored_compared_and_reported_beside_ours(hub, tiny_recipe, tiny_run, tmp_path, command):
    out = tmp_path / "run"
    tasks = "medbench_pubmedqa,arc_easy,gsm8k"
    models = f"base,mine={tiny_run / 'adapter'}"
    words = ("--recipe", tiny_recipe, "--limit", 5, "--models", models, "--tasks", tasks, "--out", out)
    code, _, err = command("run", *words)
    assert code == 0, err
    results = read_results(out)
    metrics = {(task.name, metric.key): metric for task in results.tasks for metric in task.metrics}
    assert metrics["arc_easy", "acc"].kind == "proportion"
    assert metrics["arc_easy", "acc"].higher_is_better
    assert {"exact_match,strict-match", "exact_match,flexible-extract"} <= {
        key for name, key in metrics if name == "gsm8k"
    }
    assert all(each.outcome for each in results.comparisons if each.task == "arc_easy")
    samples = (out / "samples" / "base" / "arc_easy.jsonl").read_text().splitlines()
    assert len(samples) == 5
    assert '"choices": {"a": ' in samples[0]


def test_all_models_see_the_same_few_shot_examples(hub, tiny_recipe, tiny_run, tmp_path, command):
    """lm-eval draws them anew at each evaluation, from a generator without a seed."""
    models = f"base,mine={tiny_run / 'adapter'}"
    for name in ("one", "two"):
        out = ("--out", tmp_path / name)
        words = ("--recipe", tiny_recipe, "--limit", 5, "--models", models, "--tasks", "gsm8k", *out)
        assert command("run", *words)[0] == 0
    prompts = [
        [row["prompt"] for _, row in read_jsonl(tmp_path / run / "samples" / model / "gsm8k.jsonl")]
        for run in ("one", "two")
        for model in ("base", "mine")
    ]
    assert len({prompt.count("Question:") for prompt in prompts[0]}) == 1
    assert prompts[0] == prompts[1] == prompts[2] == prompts[3]


def test_a_task_whose_data_cannot_be_had_is_one_clear_error(tiny_recipe, tmp_path, command):
    words = ("--recipe", tiny_recipe, "--models", "base", "--tasks", "arc_easy", "--out", tmp_path / "run")
    code, _, err = command("run", *words)
    assert code == 2
    assert "task arc_easy: offline: HF_HUB_OFFLINE is set, and the data set allenai/ai2_arc is not in its cache" in err


@pytest.mark.parametrize(("name", "words"), [("medbench_perplexty", "did you mean medbench_perplexity?"), ("mmlu", "")])
def test_limits_of_what_is_no_single_task_are_refused(tiny_recipe, name, words):
    def load(limits):
        recipe = load_recipe(str(tiny_recipe), [f"scoring.limits={limits}"])
        return lm_tasks.load_tasks(["medbench_perplexity"], recipe, find_base(recipe.model), lambda: {"arc_easy": None})

    (task,) = load("{medbench_perplexity: 2, medbench_pubmedqa: 3, arc_easy: 4}")
    assert len(task.indices) == 2
    with pytest.raises(UserError, match=f"scoring.limits: lm-eval knows no single task '{name}'") as caught:
        load(f"{{{name}: 3}}")
    assert words in str(caught.value.fix)
