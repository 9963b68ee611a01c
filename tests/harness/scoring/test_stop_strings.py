"""Stop strings: from the recipe to the answers, their keys and the results."""

import pytest

import harness
from harness.answers.answer_keys import answer_key
from harness.engines.interface import GenerateRequest
from reports.document.reading import read_results, read_samples
from reports.errors import UserError
from training.recipes.recipe_file import load_recipe

TASK = "medbench_pubmedqa_cot"


def outputs(command, tiny_recipe, folder, *settings):
    words = [word for setting in settings for word in ("--set", setting)]
    code, _, err = command(
        "score", "--recipe", tiny_recipe, "--models", "base", "--tasks", TASK, "--out", folder, *words
    )
    assert code == 0, err
    samples = list(read_samples(folder / "samples" / "base" / f"{TASK}.jsonl"))
    return [sample.output for sample in samples], [sample.finish_reason for sample in samples]


def test_an_answer_ends_before_a_stop_string(command, tiny_recipe, tmp_path):
    free, _ = outputs(command, tiny_recipe, tmp_path / "free")
    stop = next(text for text in free if len(text) > 4)[2:4]
    setting = f"scoring.stop=[{stop!r}, never]"
    stopped, reasons = outputs(command, tiny_recipe, tmp_path / "stopped", setting)
    assert stopped == [text.split(stop)[0] for text in free]
    assert [reason == "stop" for reason in reasons] == [stop in text for text in free]
    written = [read_results(tmp_path / name).reproduction.generation[TASK]["until"] for name in ("free", "stopped")]
    assert written == [[], [stop, "never"]]
    code, out, _ = command("score", "--out", tmp_path / "stopped", "--models", "base", "--tasks", TASK)
    assert code == 0
    assert f"base, {TASK}: answered already, kept" in out


def test_a_single_question_is_answered_with_the_same_stop_strings(tiny_recipe, tmp_path):
    settings = ["scoring.max_new_tokens=30"]
    free = harness.ask("Does rest help?", str(tiny_recipe), models="base", out=tmp_path, settings=settings)["base"]
    stop = free[2:4]
    settings.append(f"scoring.stop=[{stop!r}]")
    stopped = harness.ask("Does rest help?", str(tiny_recipe), models="base", out=tmp_path, settings=settings)["base"]
    assert stopped == free.split(stop)[0]


def test_answers_with_other_stop_strings_have_other_keys():
    keys = {answer_key(b"", GenerateRequest((1, 2), 9, stop=stop)) for stop in ((), ("a",), ("a", "b"))}
    assert len(keys) == 3


def test_line_breaks_may_be_given_and_nothing_may_not(tiny_recipe):
    assert load_recipe(str(tiny_recipe), ['scoring.stop=["\\n\\nQuestion:"]']).scoring.stop == ["\n\nQuestion:"]
    assert load_recipe(str(tiny_recipe)).scoring.stop == []
    with pytest.raises(UserError, match=r"scoring\.stop"):
        load_recipe(str(tiny_recipe), ['scoring.stop=[""]'])
