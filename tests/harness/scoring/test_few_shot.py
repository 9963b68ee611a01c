"""Few-shot examples: from the recipe to the prompts of our tasks and of other people's."""

import pytest

from reports.document.reading import read_results, read_samples
from tasks.data import DataSource, load_reasoning
from tasks.formats import get_format
from tasks.rendering import load_tokenizer, render_prompt

pytestmark = pytest.mark.usefixtures("without_plots")

SHAPE = get_format("thinking-headings")


def score(command, tiny_recipe, out, tasks, *settings):
    sets = [word for setting in settings for word in ("--set", setting)]
    words = ("--recipe", tiny_recipe, "--models", "base", "--limit", 4, "--tasks", tasks, "--out", out, *sets)
    code, text, err = command("score", *words)
    assert code == 0, err
    return text


def prompts(out, task):
    return {sample.id: sample.prompt for sample in read_samples(out / "samples" / "base" / f"{task}.jsonl")}


def test_examples_are_earlier_turns_from_the_training_rows(command, tiny_recipe, tiny_model, tmp_path):
    task = "medbench_generation"
    text = score(command, tiny_recipe, tmp_path, task, "scoring.num_fewshot=2", "scoring.max_new_tokens=2")
    assert "items drawn by seed, 2 examples before each" in text
    rows = {row.question: row for row in load_reasoning(DataSource(source="samples:reasoning_train"), seed=7)}
    tokenizer = load_tokenizer(str(tiny_model))
    shown = set()
    for prompt in prompts(tmp_path, task).values():
        turns = [turn.removeprefix("user\n").split(f"\n\n{SHAPE.instruction}")[0] for turn in prompt.split("<|start|>")]
        questions = [question for question in turns if question in rows]
        examples = [(one, SHAPE.completion(rows[one].reasoning, rows[one].response)) for one in questions]
        assert prompt == render_prompt(tokenizer, SHAPE, turns[-2], examples=examples)
        shown.add(tuple(questions))
    assert [len(questions) for questions in shown] == [2]
    code_after = score(command, tiny_recipe, tmp_path, task, "scoring.num_fewshot=1", "scoring.max_new_tokens=2")
    assert "answered already, kept" not in code_after


def test_too_few_rows_are_one_message(command, tiny_recipe, tmp_path):
    words = ("--recipe", tiny_recipe, "--models", "base", "--tasks", "medbench_pubmedqa", "--out", tmp_path)
    code, _, err = command(
        "score",
        *words,
        "--set",
        "scoring.num_fewshot=64",
        "--set",
        "data.pubmedqa={source: 'samples:pubmedqa', stop: 20}",
    )
    assert code == 2
    assert "scoring.num_fewshot: 64 examples and a question need 65 rows, and there are 20" in err


@pytest.mark.slow
def test_tasks_of_lm_eval_take_the_recipes_number(hub, command, tiny_recipe, tmp_path):
    score(command, tiny_recipe, tmp_path, "gsm8k,arc_easy", "scoring.num_fewshot=1", "scoring.max_new_tokens=2")
    assert {prompt.count("Question:") for prompt in prompts(tmp_path, "gsm8k").values()} == {2}
    assert {prompt.count("Question:") for prompt in prompts(tmp_path, "arc_easy").values()} == {2}
    assert all(task.setting.endswith("1 example before each") for task in read_results(tmp_path).tasks)
