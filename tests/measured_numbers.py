"""The measured numbers in the pages, each with the committed file below benchmarks/results that proves it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.gate_simulation import LIMIT
from benchmarks.gpu_recipes import table as recipe_table
from tests.pages import ROOT

RESULTS = ROOT / "benchmarks" / "results"
NOISE_LIMITS = "../../reports/comparison/noise_limits.json"  # shipped with the package
STEADY = "generated tokens a second, steady"
SIGNALS = ("SIGKILL", "SIGINT", "SIGTERM")
ENGINES, TO_FLOAT32 = ("transformers and vllm",), ("transformers and float32", "vllm and float32")
MODELS = ("base", "a0", "a1")  # of gpu/agreement.json
GATE_RULES = ("non_inferiority", "no_regression", "superiority")
Values = Callable[[Any], tuple[Any, ...]]


def load(name: str | Path) -> Any:
    """The content of a file below benchmarks/results; of a folder its path."""
    path = RESULTS / name
    return path if path.is_dir() else json.loads(path.read_text(encoding="utf-8"))


def _span(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)


def _different(agreement: dict[str, Any], pair: str) -> tuple[int, ...]:
    """Number of items on which two engines choose different labels, by model."""
    return tuple(len(agreement[model][pair]["choices_different"]) for model in MODELS)


def _largest_difference(agreement: dict[str, Any], pairs: tuple[str, ...]) -> float:
    return max(float(agreement[model][pair]["largest_choice_difference"]) for model in MODELS for pair in pairs)


def _largest_margin(agreement: dict[str, Any]) -> float:
    """The smaller margin of the two engines, on the item where it is largest."""
    pairs = [agreement[model][ENGINES[0]] for model in MODELS]
    return max(float(min(item["margins"])) for pair in pairs for item in pair["choices_different"])


def _engine_speeds(speed: dict[str, Any]) -> tuple[float, float, float]:
    """Tokens a second of transformers and vLLM, and seconds of vLLM's start."""
    ours, vllm = (speed["ratios"][name][STEADY] for name in ("ours", "vllm"))
    return ours, vllm, speed["stages"]["vllm"]["setup"]["start_seconds"]


def _break_even(speed: dict[str, Any]) -> tuple[float]:
    """Millions of generated tokens from which vLLM is faster, with both starts counted."""
    ours, vllm, start = _engine_speeds(speed)
    head_start = start - speed["stages"]["ours"]["setup"]["start_seconds"]
    return (head_start / (1 / ours - 1 / vllm) / 1e6,)


def _stock_speeds(batch: str) -> Values:
    return lambda speed: tuple(speed["stock_tokens_per_second"][model][batch] for model in ("base", "adapter"))


def _cpu_seconds(speed: dict[str, Any]) -> tuple[float, float]:
    """Seconds of base and one adapter: ours, and stock lm-eval's two runs."""
    seconds = speed["seconds"]
    return seconds["medbench, base and adapter"]["all"], seconds["stock, base"]["all"] + seconds["stock, adapter"][
        "all"
    ]


def _outside_the_engine(speed: dict[str, Any]) -> tuple[float, float]:
    """Seconds of our run that no task counts, and all of it."""
    seconds = dict(speed["seconds"]["medbench, base and adapter"])
    whole = seconds.pop("all")
    return whole - sum(seconds.values()), whole


def _signals(crashes: dict[str, Any]) -> tuple[int]:
    return (sum(crashes[signal]["signals"] for signal in SIGNALS),)


def _overhead(*scripts: str) -> Values:
    """Median and quartiles of the ratio to each of these scripts."""
    keys = ("median", "lower quartile", "upper quartile")
    return lambda overhead: tuple(overhead["ratio"][script][key] for script in scripts for key in keys)


def _more_operations(side: str) -> tuple[float, float]:
    """Least and most percent of operations that a side starts beyond those of the bare script."""
    names = ("overhead_narrow.json", "overhead_cpu.json", "gpu/overhead.json")
    operations = [load(name)["operations_of_a_step"] for name in names]
    return _span([100 * (one[side] / one["bare"] - 1) for one in operations])


def _peak_8b(folder: Path) -> tuple[float]:
    runs = [run for path in folder.glob("*.json") for run in load(path)["runs"] if run["shape"] == "llama-8b"]
    return (max(run["peak_allocated_gib"] for run in runs),)


def _processes(name: str) -> Values:
    return lambda d: (d["compared"][name]["mean_loss"], d["compared"][name]["seconds_per_step"])


def _majority(results: dict[str, Any]) -> tuple[float, float, float]:
    """Number of items, and accuracy and macro-F1 in percent of always answering yes."""
    cells = [cell for cell in results["confusion"] if (cell["model"], cell["task"]) == ("base", "medbench_pubmedqa")]
    items = sum(cell["count"] for cell in cells)
    right = sum(cell["count"] for cell in cells if cell["gold"] == "yes")
    return items, 100 * right / items, 100 * 2 * right / (items + right) / 3


def _yes_shares(results: dict[str, Any]) -> tuple[float, ...]:
    """Percent of the items to which the adapter `pubmedqa` answers yes, by setting, all of them collapsed."""
    uses = [use for use in results["label_use"] if use["model"] == "pubmedqa"]
    assert {(use["label"], use["outcome"]) for use in uses} == {("yes", "equivalent")}
    return tuple(100 * use["share"] for use in uses)


def _labels(model: str, task: str, label: str) -> Values:
    """Percent of the items to which a model gives the label that it gives most, and how many have that label in gold."""

    def values(results: dict[str, Any]) -> tuple[float, float]:
        (use,) = [use for use in results["label_use"] if (use["model"], use["task"]) == (model, task)]
        assert use["label"] == label
        return 100 * use["share"], 100 * use["gold_share"]

    return values


def _majority_accuracy(results: dict[str, Any]) -> tuple[float]:
    """Accuracy in percent of always giving the majority label, which no model is shown to exceed."""
    assert all(use["outcome"] != "better" and use["majority"] == "yes" for use in results["label_use"])
    (accuracy,) = {use["majority_accuracy"] for use in results["label_use"]}
    return (100 * accuracy,)


def _scores(task: str, metric: str, *models: str, unit: float = 1.0) -> Values:
    scores = {"task": task, "metric": metric}
    return lambda d: tuple(
        unit * score["value"]
        for model in models
        for score in d["scores"]
        if score.items() >= {**scores, "model": model}.items()
    )


def _points(candidate: str, outcome: str) -> Values:
    """Points of accuracy that a candidate gains or loses in the settings with this outcome, in their order."""
    return lambda d: tuple(
        abs(100 * pair["difference"])
        for pair in d["comparisons"]
        if (pair["candidate"], pair["metric"], pair["outcome"]) == (candidate, "accuracy", outcome)
    )


def _false_passes(rule: str) -> Values:
    """Largest chance in percent that the gate passes what it should not, for accuracy."""
    return lambda d: (100 * d["accuracy"]["false_passes"][rule]["largest"],)


def _drawn_false_passes(simulation: dict[str, Any]) -> tuple[float, ...]:
    """Draws; the largest share of false passes in percent; its limit, and that with two standard errors."""
    cells = [cell for metric in simulation["simulated"].values() for cell in metric["false_passes"]]
    (times,) = {cell["times"] for cell in cells}
    most = LIMIT + 2 * math.sqrt(LIMIT * (1 - LIMIT) / times)
    return times, 100 * max(cell[rule] for cell in cells for rule in GATE_RULES), 100 * LIMIT, 100 * most


def _repeated(*keys: str) -> Values:
    """Percent of simulations of repeated use in which something happened."""
    return lambda d: tuple(100 * d["repeated_use"][key] for key in keys)


def _noise_choices(device: str, dtype: str) -> Values:
    """Items whose choice changed with the transformers engine, all items, and the upper limit of the rate in percent."""

    def values(limits: dict[str, Any]) -> tuple[int, int, float]:
        setting = {"device": device, "dtype": dtype, "engine": "transformers"}
        (group,) = [group for group in limits["limits"] if group.items() >= setting.items()]
        (limit,) = [limit for limit in group["limits"] if limit["measure"] == "choices"]
        return limit["changed"], limit["items"], 100 * limit["limit"]

    return values


def _kept(statistics: dict[str, Any]) -> tuple[()]:
    """Nothing to fill in, of a simulation of eight adapters that kept all its bounds."""
    assert statistics["violations"] == []
    assert {family["adapters"] for family in statistics["family"]} == {8}
    return ()


def _leakage_speed(speed: dict[str, Any]) -> tuple[float, ...]:
    result = speed["result"]
    rows, words = result["rows"], result["words_of_rows"]
    return rows, words / rows, result["items"], result["processor_seconds"], result["peak_bytes"] / 1e9


_SCRIPTS = "{:.2f} ({:.2f} to {:.2f}) |"

# By page and evidence: a format string, and the function from the evidence to its values. The filled string stands in
# the page, whatever its line breaks and the targets of its links.
MEASURED: dict[str, dict[str, list[tuple[str, Values]]]] = {
    "README.md": {
        "quickstart/results.json": [
            ("{} QLoRA steps on {} synthetic", lambda d: (d["training"]["steps"], d["training"]["rows"])),
        ],
        "gpu/real/results.json": [
            ("{} test ids the majority class alone has accuracy {:.1f} % and macro-F1 {:.1f} %", _majority),
            ("Always answering yes has accuracy {1:.1f} % and macro-F1 {2:.1f} % on these {0} items.", _majority),
            ("({:.1f} % to {:.1f} % of its answers)", lambda d: _span(list(_yes_shares(d)))),
        ],
        "cpu_speed.json": [
            ("{} PubMedQA-like items, {} texts, {} answers of {} tokens", lambda d: tuple(d["items"].values())),
        ],
    },
    "SECURITY.md": {
        "fuzz.json": [
            ("| {:,} damaged inputs", lambda d: (d["inputs"],)),
            ("exit code 2 or accepted, within {} seconds", lambda d: (d["longest_allowed_seconds"],)),
        ],
    },
    "docs/scoring.md": {
        "gpu/speed.json": [
            ("transformers generates {:,.0f} tokens a second, vLLM {:,.0f} after {:.0f} s of start", _engine_speeds),
            ("so vLLM is faster from about {:.1f} million generated tokens on", _break_even),
            ("generates {:.0f} (base) and {:.0f} (adapter) tokens a second at batch 8", _stock_speeds("8")),
            ("and {:,.0f} and {:,.0f} at batch 256", _stock_speeds("256")),
        ],
        "gpu/agreement.json": [
            ("by up to {:.2f} nats between the engines", lambda d: (_largest_difference(d, ENGINES),)),
            ("by up to {:.2f} nats between an engine and float32", lambda d: (_largest_difference(d, TO_FLOAT32),)),
            ("PubMedQA's {} official items", lambda d: (d["base"][ENGINES[0]]["choices_equal"].partition("/")[2],)),
            ("different labels on {} (base), {} and {} items", lambda d: _different(d, ENGINES[0])),
            ("a margin of at most {:.4f} nats", lambda d: (_largest_margin(d),)),
            ("transformers differs on {}, {} and {} items", lambda d: _different(d, TO_FLOAT32[0])),
            ("vLLM on {}, {} and {}.", lambda d: _different(d, TO_FLOAT32[1])),
        ],
        "crash_proof.json": [("After {} signals on a [tiny model]", _signals)],
        "crash_proof_quickstart.json": [("and {} on the [quickstart's]", _signals)],
        "scoring_memory.json": [
            (
                "the peak was {:.0f} MB at {:,} samples, {:.0f} MB at {:,} and {:.0f} MB at {:,}",
                lambda d: tuple(run[key] for run in d["runs"] for key in ("peak_mb", "samples")),
            ),
        ],
        "cpu_speed.json": [
            ("base and one adapter take {:.0f} s, and stock lm-eval's two runs {:.0f} s", _cpu_seconds),
            ("a further adapter takes {:.0f} s.", lambda d: (d["seconds"]["medbench, further adapter"],)),
            (
                "The peak memory is {:.2f} GB, that of stock lm-eval {:.2f} GB (base) and {:.2f} GB (adapter).",
                lambda d: tuple(d["peak_memory_bytes"][name] / 1e9 for name in ("ours", "stock_base", "stock_adapter")),
            ),
            ("lm-eval's own work take {:.0f} of the {:.0f} s", _outside_the_engine),
        ],
        "cpu_speed_real.json": [("base and one adapter take {:.0f} s, stock lm-eval {:.0f} s", _cpu_seconds)],
        NOISE_LIMITS: [
            ("{} of {} choices changed on a CPU (upper limit {:.1f} %)", _noise_choices("cpu", "bfloat16")),
            ("{} of {} on an H200 ({:.1f} %)", _noise_choices("cuda", "bfloat16")),
            ("other batches changed {} of {} ({:.1f} %)", _noise_choices("cpu", "float32")),
        ],
    },
    "docs/training.md": {
        "gpu/backends.json": [
            (
                "{} steps of {} x {} real rows",
                lambda d: tuple(d["logs"]["trl"][key] for key in ("steps", "batch_size", "gradient_accumulation")),
            ),
            ("the mean loss is {} with either", lambda d: tuple({round(loss, 3) for loss in d["mean_loss"].values()})),
            ("the losses of a step differ by at most {:.4f};", lambda d: (d["largest_difference_of_a_step"],)),
            ("{:.2f} s with TRL, {:.2f} s with Unsloth", lambda d: tuple(d["seconds_per_step"].values())),
        ],
        "gpu/backends_float16.json": [
            ("(`--dtype float16`, {} steps", lambda d: (d["logs"]["trl"]["steps"],)),
            ("they differ by at most {:.4f}", lambda d: (d["largest_difference_of_a_step"],)),
        ],
        "gpu/again/recipes/llama31-8b-huatuo.json": [
            ("a step takes {:.2f} s.", lambda d: (d["runs"][0]["log"]["seconds_per_step"],)),
        ],
        "gpu/recipes": [
            ("{}", lambda folder: (recipe_table(folder),)),
            ("The peak of the 8B recipes is then at most {:.2f} GiB", _peak_8b),
        ],
        "overhead_narrow.json": [
            (f"hardly computes ([measurements]) | {_SCRIPTS} {_SCRIPTS}", _overhead("bare", "bare32")),
        ],
        "overhead_cpu.json": [
            (f"CPU cores, SmolLM2-135M ([measurements]) | {_SCRIPTS} {_SCRIPTS}", _overhead("bare", "bare32")),
        ],
        "gpu/overhead.json": [
            (f"H200, SmolLM2-135M ([measurements]) | {_SCRIPTS} {_SCRIPTS}", _overhead("bare", "bare32")),
            ("the casts add {:.0f} to {:.0f} % to their number", lambda _: _more_operations("bare32")),
            ("starts {:.0f} to {:.0f} % more operations than the unchanged", lambda _: _more_operations("ours")),
        ],
        "gpu/overhead_8b.json": [(f"random weights ([measurements]) | {_SCRIPTS}", _overhead("bare"))],
        "gpu/processes.json": [
            ("{} steps of SmolLM2-135M on H200s", lambda d: (d["logs"]["one"]["steps"],)),
            ("mean loss {:.4f} and {:.2f} s a step on one", _processes("one")),
            ("{:.4f} and {:.2f} s a step on two with DDP", _processes("ddp")),
            ("{:.4f} and {:.2f} s a step on two with FSDP", _processes("fsdp")),
            (
                "the losses of a step differ by at most {:.3f}.",
                lambda d: (max(run["largest_difference_of_a_step"] for run in d["compared"].values()),),
            ),
        ],
    },
    "docs/gate.md": {
        "gate_simulation.json": [
            *(
                (f"{title} | {{:.1f}} % |", _false_passes(rule))
                for rule, title in (
                    ("non_inferiority", "`non_inferiority`, candidate worse by the margin"),
                    ("no_regression", "`no_regression`, candidate worse by the margin"),
                    ("superiority", "`superiority`, equal candidate"),
                )
            ),
            ("after a pilot of {},", lambda d: tuple({pilot["pilot_items"] for pilot in d["accuracy"]["planning"]})),
            (
                "an equal candidate passes `no_regression` in {:.0f} % to {:.0f} %.",
                lambda d: _span([100 * power for power in d["accuracy"]["power_when_asked"].values()]),
            ),
            (
                "drawn {:,} times, pass falsely in at most {:.1f} % ({:.0f} % and two standard errors are {:.1f} %)",
                _drawn_false_passes,
            ),
            (
                "with {:,} items of which {:.0f} % are discordant",
                lambda d: (d["repeated_use"]["items"], 100 * d["repeated_use"]["discordance"]),
            ),
            (
                "passes `superiority` in {:.0f} %. Gate the one",
                _repeated("one_of_20_equal_candidates_passes_superiority"),
            ),
            (
                "at one of these looks in {:.0f} %.",
                _repeated("an_equal_candidate_passes_superiority_at_one_of_10_looks"),
            ),
            ("passes `no_regression` in {:.0f} %. Five", _repeated("a_release_that_loses_1_point_passes")),
            (
                "pass all five in {:.0f} % and",
                _repeated("5_releases_that_lose_1_point_each_pass_against_the_last_one"),
            ),
            (
                "as the baseline of all five it is {:.1f} %.",
                _repeated("5_releases_that_lose_1_point_each_pass_against_the_first_one"),
            ),
        ],
    },
    "docs/leakage.md": {
        "leakage_speed.json": [
            (
                "{:,} rows of {:.0f} words against {:,} items take {:.0f} s of one core and {:.2f} GB",
                _leakage_speed,
            ),
        ],
    },
    "docs/results.md": {
        "gpu/real/results.json": [
            ("at commit `{}`.", lambda d: (d["environment"]["git_commit"],)),
            ("answers yes to {:.1f} %, {:.1f} %, {:.1f} % and {:.1f} % of the items", _yes_shares),
            ("the base to {:.1f} % where it generates", _labels("base", "medbench_pubmedqa_cot", "yes")),
            ("where {1:.1f} % have yes in gold", _labels("base", "medbench_pubmedqa_cot", "yes")),
            ("a gain of {:.1f} points of accuracy in the last setting", _points("pubmedqa", "better")),
            ("always answering yes**, which has an accuracy of {:.1f} %.", _majority_accuracy),
            (
                "lowers the perplexity from {:.2f} to {:.2f} and",
                _scores("medbench_perplexity", "perplexity", "base", "reasoning"),
            ),
            (
                "keeps its format in {:.1f} % of its answers",
                _scores("medbench_generation", "format_compliance", "reasoning", unit=100),
            ),
            ("loses {:.1f} and {:.1f} points of accuracy in two settings", _points("reasoning", "worse")),
            ("{:.1f} % of its answers have no label", _labels("reasoning", "medbench_pubmedqa_cot", "none")),
        ],
    },
    "docs/statistics.md": {
        "statistics.json": [
            ("over {:,} draws", lambda d: tuple({cell["draws"] for cell in d["drawn"]})),
            ("one adapter and for eight", _kept),
        ],
    },
}
