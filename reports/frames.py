"""Results and samples as pandas frames with flat columns; their docstrings list the columns.

Text has the dtype `string`, numbers are `float64`, counts `Int64`; missing values are NaN or NA. Lone surrogates in a
text become U+FFFD, since neither UTF-8 nor Arrow can hold them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from math import exp, fsum
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args

import pandas as pd

from reports.document.schema import Comparison, MetricInfo, Results, Sample, Score
from reports.json_text import dumps
from reports.text import replace_surrogates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

_DTYPES: dict[type, str] = {bool: "boolean", int: "Int64", float: "float64"}
_FLIPS = ["task", "metric", "id", "question", "gold", "value_baseline", "value_candidate"]
_FLIPS += ["output_baseline", "output_candidate", "change"]


def scores_frame(results: Results) -> pd.DataFrame:
    """One row per model, task and metric, with the ends of the 95 % interval in `low` and `high`.

    The mean of a suite is a row with the suite's name as its task.
    """
    means = (score for suite in results.suites for score in suite.scores)
    return _frame((score.model_dump() for score in (*results.scores, *means)), _columns(Score))


def comparisons_frame(results: Results) -> pd.DataFrame:
    """One row per candidate, task and metric; `only_candidate` and `only_baseline` count the discordant items.

    The means of suites follow, with the suite's name as the task.
    """
    extra = {"only_candidate": "Int64", "only_baseline": "Int64", "within_noise": "boolean"}
    rows = (
        comparison.model_dump()
        | dict(zip(("only_candidate", "only_baseline"), comparison.discordant or (None, None), strict=True))
        | {"within_noise": comparison.is_within_noise}
        for comparison in (*results.comparisons, *(pair for suite in results.suites for pair in suite.comparisons))
    )
    return _frame(rows, _columns(Comparison, "discordant", "noise") | extra)


def classes_frame(results: Results) -> pd.DataFrame:
    """Counts, precision, recall and F1 per model, task and label; a ratio without a denominator is NaN."""
    counts = ("gold", "predicted", "correct")
    dtypes = dict.fromkeys(("model", "task", "label"), "string") | dict.fromkeys(counts, "Int64")
    frame = _frame((count.model_dump() for count in results.classes), dtypes)
    gold, predicted, correct = (frame[name].astype("float64") for name in counts)
    return frame.assign(precision=correct / predicted, recall=correct / gold, f1=2 * correct / (predicted + gold))


def training_frame(results: Results) -> pd.DataFrame:
    """Training and validation loss per logged step; empty if nothing was trained."""
    keys: Sequence[Any] = ("loss", "eval_loss")
    losses = {key: results.training.loss_by_step(key) if results.training else {} for key in keys}
    steps = sorted(set().union(*losses.values()))
    rows = ({"step": step} | {key: losses[key].get(step) for key in keys} for step in steps)
    return _frame(rows, {"step": "Int64", "loss": "float64", "eval_loss": "float64"})


def samples_frame(results: Results, samples: Iterable[Sample]) -> pd.DataFrame:
    """One row per answer.

    `metric.KEY` holds the metrics with a single value per answer, and is NaN for those computed from several values,
    such as macro-F1. `confidence` is the probability of the most likely choice. `fields` is JSON.
    """
    keys = dict.fromkeys(metric.key for task in results.tasks for metric in task.metrics)
    dtypes = _columns(Sample, "metrics", "choices", "problems") | {"problems": "string"}
    dtypes |= dict.fromkeys((*(f"metric.{key}" for key in keys), "confidence"), "float64")
    return _frame(map(_sample_row, samples), dtypes)


def sample_frames(results: Results, samples: Iterable[Sample], rows: int = 2000) -> Iterator[pd.DataFrame]:
    """Yield `samples_frame` of at most `rows` answers at a time, and at least one frame."""
    iterator = iter(samples)
    yield samples_frame(results, islice(iterator, rows))
    while chunk := list(islice(iterator, rows)):
        yield samples_frame(results, chunk)


def flips_frame(
    results: Results, samples: pd.DataFrame, baseline: str, candidate: str, metric: str | None = None
) -> pd.DataFrame:
    """Items for which two models have different values, as counted by `differing` in the comparisons.

    Repeated answers to an item, and those of the members of a pool, are averaged; the output is that of the first.

    Args:
        results: The results document.
        samples: The frame of the samples of both models, or of a pool's members.
        baseline: Name of a model.
        candidate: Name of another.
        metric: Key of a metric; by default each task's leading metric if it is a right-or-wrong one.

    Returns:
        One row per item; `change` is `won` or `lost` by the metric's direction, or `changed` if it has none.
    """
    frames = []
    for task in results.tasks:
        lead = task.lead if task.lead and task.lead.kind == "proportion" else None
        chosen = next((info for info in task.metrics if info.key == metric), None) if metric else lead
        if chosen is not None:
            answers = samples[(samples["task"] == task.name) & samples[f"metric.{chosen.key}"].notna()]
            before, after = (_item_values(results, answers, name, chosen) for name in (baseline, candidate))
            pairs = before.merge(after, on=["id", "doc_hash"], suffixes=("_baseline", "_candidate"))
            pairs["question"], pairs["gold"] = pairs["question_baseline"], pairs["gold_baseline"]
            gain = chosen.sign * (pairs["value_candidate"] - pairs["value_baseline"])
            pairs["change"] = gain.map(lambda value: "won" if value > 0 else "lost" if value < 0 else "changed")
            differs = pairs["value_baseline"] != pairs["value_candidate"]
            frames.append(pairs[differs].assign(task=task.name, metric=chosen.key)[_FLIPS])
    texts = [name for name in _FLIPS if not name.startswith("value")]
    empty = pd.DataFrame({name: pd.Series(dtype="string" if name in texts else "float64") for name in _FLIPS})
    return pd.concat(frames or [empty], ignore_index=True).astype(dict.fromkeys(texts, "string"))


def confusion_matrix(gold: Iterable[str], predicted: Iterable[str], labels: list[str]) -> pd.DataFrame:
    """Counts of gold labels in rows and given labels in columns, both in the order of `labels`; others are left out."""
    counts = pd.crosstab(pd.Series(gold, dtype="object"), pd.Series(predicted, dtype="object"))
    return counts.reindex(index=labels, columns=labels, fill_value=0).rename_axis(index="gold", columns="predicted")


def probabilities(choices: Mapping[str, float]) -> dict[str, float]:
    """Normalised probabilities of labels from their log-likelihoods in nats."""
    top = max(choices.values())
    weights = {label: exp(value - top) for label, value in choices.items()}
    total = fsum(weights.values())
    return {label: weight / total for label, weight in weights.items()}


def _item_values(results: Results, answers: pd.DataFrame, model: str, metric: MetricInfo) -> pd.DataFrame:
    """Mean value per item and the texts of its first answer, in the order of the samples."""
    members = next((info.members for info in results.models if info.name == model), [])
    own = answers[answers["model"].isin(members or [model])]
    own = own.assign(value=own[f"metric.{metric.key}"], question=own["question"].fillna(own["prompt"]))
    firsts = {name: (name, "first") for name in ("question", "gold", "output")}
    return own.groupby(["id", "doc_hash"], sort=False).agg(value=("value", "mean"), **firsts).reset_index()


def _sample_row(sample: Sample) -> dict[str, Any]:
    row: dict[str, Any] = dict(sample) | {"problems": "; ".join(sample.problems or ())}
    row["fields"] = dumps(sample.fields) if sample.fields else None
    row |= {f"metric.{key}": value for key, value in sample.metrics.items() if isinstance(value, float)}
    return row | {"confidence": max(probabilities(sample.choices).values()) if sample.choices else None}


def _columns(model: type[BaseModel], *without: str) -> dict[str, str]:
    """Dtypes of a document's fields, by name."""
    kinds = {name: field.annotation for name, field in model.model_fields.items() if name not in without}
    unions = {name: set(get_args(kind) or (kind,)) - {NoneType} for name, kind in kinds.items()}
    return {
        name: next((_DTYPES[kind] for kind in _DTYPES if {kind} == union), "string") for name, union in unions.items()
    }


def _frame(rows: Iterable[Mapping[str, Any]], dtypes: Mapping[str, str]) -> pd.DataFrame:
    listed = list(rows)
    columns = {name: [replace_surrogates(row.get(name)) for row in listed] for name in dtypes}
    return pd.DataFrame({name: pd.Series(values, dtype=dtypes[name]) for name, values in columns.items()})
