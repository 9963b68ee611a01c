"""The values that the pages take from files below benchmarks/results: functions from a file's content to them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.gate_simulation import LIMIT
from benchmarks.judge_simulation import GOOD_CORRELATION
from tests.pages import ROOT

RESULTS = ROOT / "benchmarks" / "results"
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


def span(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)


def checkpoints_together(speed: dict[str, Any]) -> tuple[float, float, float]:
    """Seconds of one pass, and of separate commands that share the answers of the base; their ratio."""
    (only,) = speed["rounds"]
    whole, apart = only["seconds"]["one pass"], sum(only["seconds"]["shared store"])
    return whole, apart, whole / apart


def checkpoints_alone(speed: dict[str, Any]) -> tuple[float]:
    """Seconds of one pass as a share of those of separate commands that share nothing."""
    (only,) = speed["rounds"]
    return (only["seconds"]["one pass"] / sum(only["seconds"]["own stores"]),)


def different(agreement: dict[str, Any], pair: str) -> tuple[int, ...]:
    """Number of items on which two engines choose different labels, by model."""
    return tuple(len(agreement[model][pair]["choices_different"]) for model in MODELS)


def largest_difference(agreement: dict[str, Any], pairs: tuple[str, ...]) -> float:
    return max(float(agreement[model][pair]["largest_choice_difference"]) for model in MODELS for pair in pairs)


def largest_margin(agreement: dict[str, Any]) -> float:
    """The smaller margin of the two engines, on the item where it is largest."""
    pairs = [agreement[model][ENGINES[0]] for model in MODELS]
    return max(float(min(item["margins"])) for pair in pairs for item in pair["choices_different"])


def stock_speeds(batch: str) -> Values:
    return lambda speed: tuple(speed["stock_tokens_per_second"][model][batch] for model in ("base", "adapter"))


def ratios(what: str) -> Values:
    """How many times faster than stock lm-eval the transformers engine is, at batch 8 and at stock's best batch."""
    places = [f"{what}, against stock at {batch}" for batch in ("batch 8", "its best batch")]
    return lambda d: tuple(d["ratios"]["ours"][place] for place in places)


def cpu_seconds(speed: dict[str, Any]) -> tuple[float, float]:
    """Seconds of base and one adapter: ours, and stock lm-eval's two runs."""
    seconds = speed["seconds"]
    return seconds["medbench, base and adapter"]["all"], seconds["stock, base"]["all"] + seconds["stock, adapter"][
        "all"
    ]


def outside_the_engine(speed: dict[str, Any]) -> tuple[float, float]:
    """Seconds of our run that no task counts, and all of it."""
    seconds = dict(speed["seconds"]["medbench, base and adapter"])
    whole = seconds.pop("all")
    return whole - sum(seconds.values()), whole


def signals(crashes: dict[str, Any]) -> tuple[int]:
    return (sum(crashes[signal]["signals"] for signal in SIGNALS),)


def overhead(*scripts: str) -> Values:
    """Median and quartiles of the ratio to each of these scripts."""
    keys = ("median", "lower quartile", "upper quartile")
    return lambda overhead: tuple(overhead["ratio"][script][key] for script in scripts for key in keys)


def peak_8b(folder: Path) -> tuple[float]:
    runs = [run for path in folder.glob("*.json") for run in load(path)["runs"] if run["shape"] == "llama-8b"]
    return (max(run["peak_allocated_gib"] for run in runs),)


def processes(name: str) -> Values:
    return lambda d: (d["compared"][name]["mean_loss"], d["compared"][name]["seconds_per_step"])


def majority(results: dict[str, Any]) -> tuple[float, float, float]:
    """Number of items, and accuracy and macro-F1 in percent of always answering yes."""
    cells = [cell for cell in results["confusion"] if (cell["model"], cell["task"]) == ("base", "medbench_pubmedqa")]
    items = sum(cell["count"] for cell in cells)
    right = sum(cell["count"] for cell in cells if cell["gold"] == "yes")
    return items, 100 * right / items, 100 * 2 * right / (items + right) / 3


def yes_shares(results: dict[str, Any]) -> tuple[float, ...]:
    """Percent of the items to which the adapter `pubmedqa` answers yes, by setting, all of them collapsed."""
    uses = [use for use in results["label_use"] if use["model"] == "pubmedqa"]
    assert {(use["label"], use["outcome"]) for use in uses} == {("yes", "equivalent")}
    return tuple(100 * use["share"] for use in uses)


def labels(model: str, task: str, label: str) -> Values:
    """Percent of the items to which a model gives its most frequent label, and of those that have it in gold."""

    def values(results: dict[str, Any]) -> tuple[float, float]:
        (use,) = [use for use in results["label_use"] if (use["model"], use["task"]) == (model, task)]
        assert use["label"] == label
        return 100 * use["share"], 100 * use["gold_share"]

    return values


def majority_accuracy(results: dict[str, Any]) -> tuple[float]:
    """Accuracy in percent of always giving the majority label, which no model is shown to exceed."""
    assert all(use["outcome"] != "better" and use["majority"] == "yes" for use in results["label_use"])
    (accuracy,) = {use["majority_accuracy"] for use in results["label_use"]}
    return (100 * accuracy,)


def scores(task: str, metric: str, *models: str, unit: float = 1.0) -> Values:
    scores = {"task": task, "metric": metric}
    return lambda d: tuple(
        unit * score["value"]
        for model in models
        for score in d["scores"]
        if score.items() >= {**scores, "model": model}.items()
    )


def selection(what: str) -> Values:
    """Of the best of equal checkpoints: draws, error in points and misses on fresh items, error on reused ones."""

    def values(simulation: dict[str, Any]) -> tuple[float, ...]:
        cells = simulation["cells"]
        shares = [cell for cell in cells if cell["kind"] in ("proportion", "macro_f1")]
        (draws,) = {cell["fresh"]["draws"] for cell in cells}
        every: dict[str, tuple[float, ...]] = {
            "draws": (draws,),
            "error": (max(abs(100 * cell["fresh"]["bias"]) for cell in shares),),
            "misses": span([100 * cell["fresh"]["interval_misses"] for cell in cells]),
            "reused": span([100 * cell["chosen on"]["bias"] for cell in shares]),
            "better": (max(100 * cell["chosen on"]["called_better"] for cell in cells),),
        }
        return every[what]

    return values


def equal_slices(simulation: dict[str, Any]) -> tuple[float, int]:
    """Percent of draws in which one of 20 equal slices is named, at most; and the draws."""
    cells = [cell for cell in simulation["cells"] if not cell["planted"]]
    (draws,) = {cell["draws"] for cell in cells}
    return 100 * max(cell["named"] for cell in cells), draws


def bad_slice(simulation: dict[str, Any]) -> tuple[float, ...]:
    """Percent of draws in which the bad slice is named, least and most, and in which its interval misses, at most."""
    cells = [cell for cell in simulation["cells"] if cell["planted"] == 1]
    assert not any(cell["named_equal"] for cell in cells)
    named = [100 * cell["named_bad"] for cell in cells]
    return *span(named), 100 * max(cell["interval_of_named_misses"] for cell in cells)


def overfitter(results: dict[str, Any]) -> tuple[float, ...]:
    """Steps; held-out rows; perplexity of the base, at the chosen and at the last step, with these steps."""
    training, curve = results["training"], results["learning_curve"]
    names = ("base", "adapter", curve["models"][-1])
    first, best, last = scores("medbench_perplexity", "perplexity", *names)(results)
    rows = next(score["n"] for score in results["scores"] if score["metric"] == "perplexity")
    return training["rows"], training["steps"], rows, first, best, training["choice"]["step"], last, training["steps"]


def points(candidate: str, outcome: str) -> Values:
    """Points of accuracy that a candidate gains or loses in the settings with this outcome, in their order."""
    return lambda d: tuple(
        abs(100 * pair["difference"])
        for pair in d["comparisons"]
        if (pair["candidate"], pair["metric"], pair["outcome"]) == (candidate, "accuracy", outcome)
    )


def false_passes(rule: str) -> Values:
    """Largest chance in percent that the gate passes what it should not, for accuracy."""
    return lambda d: (100 * d["accuracy"]["false_passes"][rule]["largest"],)


def drawn_false_passes(simulation: dict[str, Any]) -> tuple[float, ...]:
    """Draws; the largest share of false passes in percent; its limit, and that with two standard errors."""
    cells = [cell for metric in simulation["simulated"].values() for cell in metric["false_passes"]]
    (times,) = {cell["times"] for cell in cells}
    most = LIMIT + 2 * math.sqrt(LIMIT * (1 - LIMIT) / times)
    return times, 100 * max(cell[rule] for cell in cells for rule in GATE_RULES), 100 * LIMIT, 100 * most


def repeated(*keys: str) -> Values:
    """Percent of simulations of repeated use in which something happened."""
    return lambda d: tuple(100 * d["repeated_use"][key] for key in keys)


def noise_choices(device: str, dtype: str) -> Values:
    """Items whose choice changed with the transformers engine, all items, and the upper limit in percent."""

    def values(limits: dict[str, Any]) -> tuple[int, int, float]:
        setting = {"device": device, "dtype": dtype, "engine": "transformers"}
        (group,) = [group for group in limits["limits"] if group.items() >= setting.items()]
        (limit,) = [limit for limit in group["limits"] if limit["measure"] == "choices"]
        return limit["changed"], limit["items"], 100 * limit["limit"]

    return values


def kept(statistics: dict[str, Any]) -> tuple[()]:
    """Nothing to fill in, of a simulation of eight adapters that kept all its bounds."""
    assert statistics["violations"] == []
    assert {family["adapters"] for family in statistics["family"]} == {8}
    return ()


def leakage_speed(speed: dict[str, Any]) -> tuple[float, ...]:
    result = speed["result"]
    rows, words = result["rows"], result["words_of_rows"]
    return rows, words / rows, result["items"], result["processor_seconds"], result["peak_bytes"] / 1e9


def template_counts(key: str, expected: int) -> Values:
    """(how often it held, how often it could), over all templates and layouts of `benchmarks.gpu_templates`."""

    def values(results: Any) -> tuple[Any, ...]:
        layouts = _template_layouts(results)
        return sum(layout[key] for layout in layouts), sum(expected * layout["items"] for layout in layouts)

    return values


def largest_template_difference(results: Any) -> tuple[Any, ...]:
    """The largest difference of a log-likelihood, in nats."""
    return (max(layout["largest_difference_of_a_log_likelihood_in_nats"] for layout in _template_layouts(results)),)


def _template_layouts(results: Any) -> list[Any]:
    return [run[layout] for run in results["templates"].values() for layout in ("unsloth", "trl", "axolotl")]


def calibrated(judge: str) -> Values:
    """Of a kind of judge in the simulation of calibration: correlation, coverage in percent, and relative width."""

    def values(simulation: dict[str, Any]) -> tuple[float, ...]:
        cells = [cell for cell in simulation["cells"] if (cell["data"], cell["judge"]) == ("differences", judge)]
        columns = [
            [100 * cell["coverage"]["powered"] for cell in cells],
            [100 * cell["coverage"]["judge alone"] for cell in cells],
            [cell["relative_width"] for cell in cells],
        ]
        mean = sum(cell["correlation"] for cell in cells) / len(cells)
        return (mean, *(end for column in columns for end in (min(column), max(column))))

    return values


def score_test(simulation: dict[str, Any]) -> tuple[float, ...]:
    """Fewest and most items of the enumerated score test, and its most false alarms in percent."""
    rows = simulation["paired_shares"]
    return *span([row["items"] for row in rows]), 100 * max(row["most_false_alarms"] for row in rows)


def judges(what: str) -> Values:
    """Of ratings with a judge's help: draws, coverage, relative widths, and a judge that favours one model alone."""

    def values(simulation: dict[str, Any]) -> tuple[float, ...]:
        cells = simulation["cells"]
        usual = [cell for cell in cells if cell["data"] != "marks, at the top"]
        pairs = [cell for cell in cells if cell["data"] == "differences"]
        useless = [cell for cell in cells if cell["judge"] == "useless"]
        good = [cell for cell in cells if cell["correlation"] >= GOOD_CORRELATION]
        (draws,) = {cell["draws"] for cell in cells}
        every: dict[str, tuple[float, ...]] = {
            "draws": (draws,),
            "coverage": span([100 * cell["coverage"]["powered"] for cell in usual]),
            "top": (100 * max(cell["coverage"]["powered"] for cell in cells),),
            "useless": tuple(
                max(cell[key] for cell in useless) for key in ("relative_width", "largest_relative_width")
            ),
            "good": span([cell["relative_width"] for cell in good]),
            "wrong": (100 * min(1 - cell["coverage"]["judge alone"] for cell in pairs if cell["judge"] == "biased"),),
        }
        return every[what]

    return values


def power_checks(check: dict[str, Any]) -> tuple[int, float]:
    """Drawn tables of each cell, and the largest difference of a chance from the planned one, in points."""
    (draws,) = {row["draws"] for row in check["cells"] if row["draws"]}
    return draws, 100 * max(row["difference"] for row in check["cells"])
