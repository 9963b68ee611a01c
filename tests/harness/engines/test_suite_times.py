"""Estimated times of suites, from their sizes and typical lengths."""

import json
from dataclasses import replace

import pytest

from harness.engines.estimate import (
    Speed,
    Work,
    measured_speed,
    speed_by_flops,
    task_seconds,
    work_of,
    work_of_benchmark,
)
from harness.engines.layer_speed import layer_speed
from harness.engines.suite_times import characters_per_token, suite_times
from harness.planning.lm_tasks import load_tasks
from reports.numbers import duration
from tasks.benchmarks import BENCHMARKS
from tasks.data import DataSource, load_pubmedqa
from tasks.rendering import encode, load_tokenizer
from tasks.suites import SUITES
from training.models.architecture import architecture
from training.models.base_model import find_base, find_base_config
from training.models.device import Device, pick_device
from training.recipes.recipe_file import load_recipe


def test_the_work_of_a_benchmark_is_its_size_times_its_typical_length():
    assert work_of_benchmark(BENCHMARKS["mmlu_anatomy"], 512) == Work(135, 135 * 300 / 3.5)
    assert work_of_benchmark(BENCHMARKS["medbench_medcalc"], 512) == Work(1100, 1100 * 3000 / 3.5, 1100, 512)
    assert work_of_benchmark(BENCHMARKS["mmlu_pro_health"], 512) == Work(818, 818 * 7000 / 3.5, 818, 2048)
    assert work_of_benchmark(BENCHMARKS["kormedmcqa_nurse"], 512) is None


def test_reading_costs_two_operations_a_parameter_and_generating_a_step_a_layer(tiny_recipe):
    base, device = find_base(load_recipe(str(tiny_recipe)).model), Device()
    sizes = architecture(base)
    speed = speed_by_flops(base, device, 1e9)
    reading = task_seconds(Work(5, 1000), base, device, "float32", lambda *_: speed)
    assert reading == pytest.approx(2 * sizes.parameters * 1000 / (0.55 * 1e9))
    steps = 2 * 10 * sizes.layers * device.decode_layer_seconds  # 33 answers are two batches of 32 rows
    writing = task_seconds(Work(33, 1000, 33, 10), base, device, "float32", lambda *_: speed)
    assert writing == pytest.approx(reading * 1.33 + steps)


def test_the_tokens_of_a_task_are_counted_on_a_sample_of_its_items(tiny_recipe, tiny_model):
    loaded = load_recipe(str(tiny_recipe))
    (task,) = load_tasks(["medbench_pubmedqa"], loaded, find_base(loaded.model), dict)
    tokenizer = load_tokenizer(str(tiny_model))
    whole = sum(len(encode(tokenizer, document["prompt"])) for document in task.documents())
    assert work_of(task, find_base(loaded.model)) == Work(len(task.indices), whole)  # fewer items than are counted
    counted: list[str] = []

    def ten(text):
        counted.append(text)
        return 10

    many = replace(task, indices=task.indices * 30)
    assert many.read_tokens(ten) == 10 * len(many.indices)
    assert len(counted) == len(many.indices[:: -(-len(many.indices) // 64)])


def test_the_layers_of_a_base_are_measured_once_a_process(tiny_recipe):
    base, device = find_base(load_recipe(str(tiny_recipe)).model), Device()
    layer = layer_speed(base, device, "float32")
    assert layer is layer_speed(base, device, "float32")
    assert 0 < layer.token < layer.step
    sizes = architecture(base)
    speed = measured_speed(base, device, "float32")
    assert speed.token == pytest.approx(layer.token * sizes.layers)
    assert speed.step == pytest.approx(layer.step * sizes.layers * sizes.parameters / sizes.layer_weights)
    assert 1e-5 < speed.text < 0.1
    seconds = task_seconds(Work(33, 100, 33, 10), base, device, "float32")
    assert seconds == pytest.approx(100 * speed.token + 20 * speed.step + 33 * 6 * speed.text)


def test_work_beside_the_model_is_measured_in_texts_that_are_tokenized(tiny_recipe):
    base, device = find_base(load_recipe(str(tiny_recipe)).model), Device()
    tokenizing = Speed(0.0, 0.0, 0.0, text=0.001)
    assert task_seconds(Work(200, 1e6), base, device, "float32", lambda *_: tokenizing) == pytest.approx(1.2)


def test_bases_that_are_too_large_to_measure_are_estimated_by_a_matrix_product(tiny_recipe, tmp_path):
    base = find_base(load_recipe(str(tiny_recipe)).model)
    config = json.loads((base.folder / "config.json").read_text(encoding="utf-8"))
    wide = {"hidden_size": 16384, "intermediate_size": 65536, "num_attention_heads": 128, "num_key_value_heads": 128}
    (tmp_path / "config.json").write_text(json.dumps(config | wide | {"head_dim": 128}), encoding="utf-8")
    assert layer_speed(replace(base, folder=tmp_path), Device(), "float32") is None


def test_characters_per_token_are_those_of_the_bases_tokenizer(tiny_recipe, tiny_model):
    base = find_base(load_recipe(str(tiny_recipe)).model)
    texts = [item.with_abstract for item in load_pubmedqa(DataSource(source="samples:pubmedqa"), seed=0)]
    tokens = sum(len(encode(load_tokenizer(str(tiny_model)), text)) for text in texts)
    assert characters_per_token(base) == sum(map(len, texts)) / tokens


def test_the_list_of_suites_has_a_time_for_each_task_and_suite(tiny_recipe, tiny_model, command):
    times = suite_times(str(tiny_model), str(tiny_recipe), [])
    assert times["kormedmcqa_doctor"] == "size not stated"
    assert times["medical"].startswith("about ")
    code, out, _ = command("list", "suites", "--base", tiny_model, "--recipe", tiny_recipe)
    assert code == 0
    assert "all together" in out
    code, out, _ = command("list", "suites")
    assert (code, "all together" in out, "1,273" in out) == (0, False, True)


def test_a_suite_takes_the_time_of_its_members_without_its_extras(tiny_recipe, tiny_model):
    loaded = load_recipe(str(tiny_recipe))
    base, tokens = find_base_config(loaded.model), loaded.scoring.max_new_tokens
    times, density = suite_times(str(tiny_model), str(tiny_recipe), []), characters_per_token(base)

    def seconds(members):
        works = [work_of_benchmark(member, tokens, density) for member in members]
        return sum(task_seconds(work, base, pick_device(), "float32") for work in works if work is not None)

    for suite in SUITES.values():
        assert times[suite.name] == f"about {duration(seconds(suite.members))}"
    assert any(seconds(suite.extras) > 2 * seconds(suite.members) for suite in SUITES.values())


def test_other_lists_have_no_base(command):
    code, _, err = command("list", "tasks", "--base", "somewhere")
    assert code == 2
    assert "only the list of suites depends on a base" in err
