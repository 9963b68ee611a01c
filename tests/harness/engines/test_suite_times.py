"""Estimated times of suites, from their sizes and typical lengths."""

import pytest

from harness.engines.estimate import Work, task_seconds, work_of_benchmark
from harness.engines.suite_times import suite_times
from tasks.benchmarks import BENCHMARKS
from training.models.architecture import architecture
from training.models.base_model import find_base
from training.models.device import Device
from training.recipes.recipe_file import load_recipe


def test_the_work_of_a_benchmark_is_its_size_times_its_typical_length():
    assert work_of_benchmark(BENCHMARKS["mmlu_anatomy"], 512) == Work(135 * 300 / 3.5)
    assert work_of_benchmark(BENCHMARKS["medbench_medcalc"], 512) == Work(1100 * 3000 / 3.5, 1100, 512)
    assert work_of_benchmark(BENCHMARKS["mmlu_pro_health"], 512) == Work(818 * 7000 / 3.5, 818, 2048)
    assert work_of_benchmark(BENCHMARKS["kormedmcqa_nurse"], 512) is None


def test_reading_costs_two_operations_a_parameter_and_generating_a_step_a_layer(tiny_recipe):
    base, device = find_base(load_recipe(str(tiny_recipe)).model), Device()
    sizes = architecture(base)
    reading = task_seconds(Work(1000), base, device, "float32", lambda *_: 1e9)
    assert reading == pytest.approx(2 * sizes.parameters * 1000 / (0.55 * 1e9))
    steps = 2 * 10 * sizes.layers * device.decode_layer_seconds  # 33 answers are two batches of 32 rows
    writing = task_seconds(Work(1000, 33, 10), base, device, "float32", lambda *_: 1e9)
    assert writing == pytest.approx(reading * 1.33 + steps)


def test_the_list_of_suites_has_a_time_for_each_task_and_suite(tiny_recipe, tiny_model, command):
    times = suite_times(str(tiny_model), str(tiny_recipe), [])
    assert times["kormedmcqa_doctor"] == "size not stated"
    assert times["medical"].startswith("about ")
    code, out, _ = command("list", "suites", "--base", tiny_model, "--recipe", tiny_recipe)
    assert code == 0
    assert "all together" in out
    code, out, _ = command("list", "suites")
    assert (code, "all together" in out, "1,273" in out) == (0, False, True)


def test_other_lists_have_no_base(command):
    code, _, err = command("list", "tasks", "--base", "somewhere")
    assert code == 2
    assert "only the list of suites depends on a base" in err
