"""The tables on numerical noise, and the fixed limits of the committed benchmark."""

from pathlib import Path

import pytest

from benchmarks.numerical_noise import AGREEMENT, ARMS, cuda_noise, items
from reports import noise_tables
from reports.comparison.noise import flips
from reports.comparison.noise_limits import fixed_noise
from reports.document.evidence import FixedLimit, FixedNoise, ModelNoise, Noise, NoiseCheck, Shift
from reports.document.schema import Comparison, MetricInfo, TaskCost, TaskInfo
from reports.files import read_json
from tests.reports.skeleton import results_of

FIXED = FixedNoise(
    dtype="bfloat16",
    device="cpu",
    engine="transformers",
    compared_with="float32",
    hardware="Some CPU",
    source="some/file.py",
    limits=[
        FixedLimit(measure="choices", model="Small", items=500, changed=5, limit=0.0209),
        FixedLimit(measure="perplexity", model="Small", items=36, shift=-0.00012, limit=0.00034),
    ],
)


@pytest.fixture
def results():
    """A candidate that is better by 1 point, where float32 takes 2 points back."""
    metric = MetricInfo(key="m", title="Accuracy", kind="proportion", higher_is_better=True, percent=True)
    score = ModelNoise(
        model="new",
        task="t",
        metric="m",
        flips=flips(3, 100),
        shift=Shift(value=-0.03, low=-0.085, high=-0.001, items=100),
    )
    noise = Noise(
        baseline=flips(1, 100), candidate=flips(3, 100), shift=Shift(value=-0.02, low=-0.04, high=-0.001, items=100)
    )
    return results_of(
        tasks=[TaskInfo(name="t", title="T", metrics=[metric])],
        comparisons=[
            Comparison(
                task="t",
                metric="m",
                baseline="base",
                candidate="new",
                n=500,
                difference=0.01,
                outcome="better",
                noise=noise,
            )
        ],
        costs=[
            TaskCost(model=name, task="t", seconds=50.0, prompt_tokens=1, output_tokens=1) for name in ("base", "new")
        ],
        noise=NoiseCheck(method="in float32", scores=[score], unmeasured={"u": "not measured"}, seconds=9.0),
    )


def test_flips_shifts_and_what_they_explain_are_shown(results):
    table = noise_tables.noise_table(results)
    assert table.columns == ("Score", "Changed values", "Shift of the score", "Shift of the difference", "Difference")
    assert table.rows == (
        (
            "new: Accuracy \N{UPWARDS ARROW}",
            "3 of 100 (at most 7.6 %)",
            "-3.0 pp [-8.5, -0.1]",
            "-2.0 pp [-4.0, -0.1]",
            "+1.0 pp (not distinguishable from numerical noise)",
        ),
    )
    results.comparisons[0].difference = 0.021
    assert noise_tables.noise_table(results).rows[0][-1] == "+2.1 pp"


def test_a_score_without_a_comparison_has_no_difference(results):
    results.comparisons.clear()
    assert noise_tables.noise_table(results).rows[0][3:] == ("", "")


def test_a_difference_without_noise_is_shown_alone(results):
    results.comparisons[0].noise = None
    assert noise_tables.noise_table(results).rows[0][3:] == ("", "+1.0 pp")


def test_the_text_states_what_was_measured_at_what_cost(results):
    text = noise_tables.noise_text(results)
    start = "Some items were re-scored in float32, which took 9 s, 9.0 % of the scoring time. u: not measured. A "
    assert text.startswith(start)
    assert text.endswith("The mark changes no outcome.")
    results.noise.seconds = 10.0
    assert "10.0 % of the scoring time. " in noise_tables.noise_text(results)
    results.noise.seconds = 10.1
    assert "10.1 % of the scoring time, more than a tenth, because" in noise_tables.noise_text(results)
    results.costs.clear()
    assert noise_tables.noise_text(results).startswith("Some items were re-scored in float32. u: not measured.")


def test_what_was_not_measured_has_no_note_and_no_table(results):
    results.noise = NoiseCheck(unmeasured={"u": "not measured, since it is small"})
    assert noise_tables.noise_text(results) == "u: not measured, since it is small."
    assert noise_tables.noise_table(results) is None
    assert noise_tables.fixed_noise_table(results) is None
    assert noise_tables.fixed_noise_text(results) == ""


def test_results_without_a_check_have_nothing_on_noise(results):
    results.noise = None
    assert noise_tables.noise_text(results) == noise_tables.fixed_noise_text(results) == ""
    assert noise_tables.noise_table(results) is noise_tables.fixed_noise_table(results) is None


def test_fixed_limits_are_labelled_as_such(results):
    results.noise.fixed = FIXED
    assert noise_tables.fixed_noise_text(results) == (
        "Fixed limits, not measured in this run: transformers in bfloat16 on a CPU (Some CPU) compared with float32,"
        " from some/file.py. Other models and items may differ more."
    )
    table = noise_tables.fixed_noise_table(results)
    assert table.columns == ("Fixed limit of", "Differed", "Relative shift", "Upper limit (95 %)")
    assert table.rows == (
        ("choices, Small", "5 of 500", "n/a", "2.09 %"),
        ("perplexity, Small", "n/a", "-0.012 %", "0.034 %"),
    )
    results.noise.fixed = FIXED.model_copy(update={"device": "cuda"})
    assert "on a GPU (" in noise_tables.fixed_noise_text(results)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_the_package_has_limits_of_a_cpu(dtype):
    fixed = fixed_noise(dtype, "cpu", "transformers")
    choices, perplexity, generated = fixed.limits
    assert (choices.measure, perplexity.measure, generated.measure) == ("choices", "perplexity", "generated answers")
    assert (choices.items, perplexity.items, generated.items) == (500, 36, 24)
    assert choices.limit == pytest.approx(flips(choices.changed, 500).limit)
    assert abs(perplexity.shift) < perplexity.limit < 0.01
    assert fixed.compared_with == {"bfloat16": "float32", "float32": "float32 in other batches"}[dtype]


def test_the_limits_on_cuda_are_those_of_the_committed_agreement():
    """The adapter that differs most from float32: 14 of 500 choices with transformers, and with vLLM."""
    derived = {noise.engine: noise for noise in cuda_noise(read_json(AGREEMENT))}
    assert {engine: derived[engine].limits[0].changed for engine in derived} == {"transformers": 14, "vllm": 14}
    assert {engine: derived[engine].limits[1].changed for engine in derived} == {"transformers": 31, "vllm": 28}
    assert derived["vllm"].limits[0].limit == pytest.approx(flips(14, 500).limit)
    assert derived["vllm"].hardware == "NVIDIA H200"
    for engine, noise in derived.items():
        assert fixed_noise("bfloat16", "cuda", engine) == noise


def test_an_arithmetic_that_no_benchmark_covers_has_no_limits():
    assert fixed_noise("float16", "cuda", "transformers") is None
    assert fixed_noise("bfloat16", "cpu", "vllm") is None


def test_the_benchmark_asks_500_different_items_in_three_arithmetics():
    rows = items()
    assert len(rows) == 500
    assert len({row["QUESTION"] + row["CONTEXTS"][0] for row in rows.values()}) == 500
    assert {row["final_decision"] for row in rows.values()} == {"yes", "no", "maybe"}
    assert list(ARMS) == ["bfloat16", "float32", "other batches"]


def test_the_docs_state_the_committed_limits():
    text = " ".join(Path("docs/scoring.md").read_text(encoding="utf-8").split())
    limits = [fixed_noise(*key, "transformers").limits[0] for key in (("bfloat16", "cpu"), ("bfloat16", "cuda"))]
    same = fixed_noise("float32", "cpu", "transformers").limits[0]
    on_cpu, on_cuda, batches = (
        (f"{limit.changed} of {limit.items}", f"{100 * limit.limit:.1f} %") for limit in (*limits, same)
    )
    assert f"{on_cpu[0]} choices changed on a CPU (upper limit {on_cpu[1]})" in text
    assert f"{on_cuda[0]} on an H200 ({on_cuda[1]})" in text
    assert f"other batches changed {batches[0]} ({batches[1]})" in text
