"""The measured numbers in the pages, each with the committed file below benchmarks/results that proves it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.gpu_recipes import table as recipe_table
from tests.pages import ROOT

RESULTS = ROOT / "benchmarks" / "results"
STEADY = "generated tokens a second, steady"
SIGNALS = ("SIGKILL", "SIGINT", "SIGTERM")
ENGINES, TO_FLOAT32 = ("transformers and vllm",), ("transformers and float32", "vllm and float32")
MODELS = ("base", "a0", "a1")  # of gpu/agreement.json
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


def _noise_items(results: dict[str, Any]) -> tuple[int, int]:
    items = [entry["noise"]["items"] for entry in results["noise"]["figures"]]
    return max(items), min(items)


def _blocked(candidates: str, *cases: int) -> Values:
    """Percent of these candidates that the gate blocks, in one case, or the least and most in some."""
    return lambda d: _span([100 * d["cases"][case][candidates]["blocked"] for case in cases])


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
            ("measured here on {} items ({} where answers are generated)", _noise_items),
        ],
        "statistics.json": [
            ("{:,} simulated comparisons each", lambda d: (d["metrics"]["accuracy"][0]["comparisons"],)),
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
            ("With {:,} candidates a case", lambda d: (d["cases"][0]["times"],)),
            *(
                (f"{{:.1f}} % ({title})", _blocked("equal", case))
                for case, title in enumerate(("accuracy", "macro-F1", "perplexity", "ROUGE-L"))
            ),
            ("and {:.0f} to {:.1f} % of the worse ones", _blocked("worse_by_the_margin", 0, 1, 2, 3)),
            ("counted {} times", lambda d: (d["cases"][4]["times"],)),
            ("block {:.1f} % and", _blocked("equal", 4)),
            ("and {:.0f} to {:.0f} %.", _blocked("worse_by_the_margin", 4, 5)),
        ],
    },
}
