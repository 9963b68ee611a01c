"""Turns lm-eval's logged samples into ours, and finds out which metrics of other people's tasks can be compared."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from harness.planning.item_hashes import source_hash
from harness.planning.lm_tasks import LoadedTask
from reports.comparison.sums import ScoredItem
from reports.document.schema import MetricInfo, Sample
from tasks import catalog
from tasks.answers import GeneratedText, ScoredText, split_document_answer

_NO_FILTER = "none"


def make_samples(loaded: LoadedTask, model: str, logged: list[dict[str, Any]]) -> list[Sample]:
    """One sample for each item and answer to it; a task's several filters become several metrics of it."""
    by_item: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for entry in logged:
        by_item[entry["doc_id"]].append(entry)
    samples = []
    for _, entries in sorted(by_item.items()):
        source = source_hash(entries[0]["doc"])
        cluster = source if source in loaded.shared_sources else None
        for repeat in range(loaded.answers):
            sample = _make_sample(loaded, model, entries, repeat)
            samples.append(sample.model_copy(update={"cluster": cluster}))
    return samples


def metric_key(name: str, filter_name: str) -> str:
    """A metric's key: lm-eval's name, with the filter where it is not the only one."""
    return name if filter_name == _NO_FILTER else f"{name},{filter_name}"


def foreign_metrics(
    samples: Sequence[ScoredItem], figures: dict[str, float], higher_is_better: dict[str, bool]
) -> list[MetricInfo]:
    """What is known of the metrics of a task that is not ours: means of numbers can be compared, others only shown."""
    metrics = []
    for key, figure in figures.items():
        values = [sample.metrics.get(key) for sample in samples]
        numbers = [value for value in values if isinstance(value, int | float)]
        is_mean = 0 < len(numbers) == len(values) and abs(sum(numbers) / len(numbers) - figure) <= 1e-9 * max(
            1.0, abs(figure)
        )
        shares = is_mean and set(numbers) <= {0.0, 1.0}
        metrics.append(
            MetricInfo(
                key=key,
                title=key,
                kind="proportion" if shares else "mean" if is_mean else "other",
                higher_is_better=higher_is_better.get(key.partition(",")[0]),
                percent=shares,
            )
        )
    return metrics


def _make_sample(loaded: LoadedTask, model: str, entries: list[dict[str, Any]], repeat: int) -> Sample:
    first = entries[0]
    document = first["doc"]
    response = first["resps"][0][repeat]
    contexts = [arguments[0] for arguments in first["arguments"]]
    if repeat:  # lm-eval computes the metrics of the first answer only
        values = loaded.task.process_results(document, [response])
        metrics = {metric_key(name, _NO_FILTER): _number(value) for name, value in values.items()}
    else:
        metrics = {
            metric_key(name, entry["filter"]): _number(entry[name]) for entry in entries for name in entry["metrics"]
        }
    is_ours = loaded.name in catalog.METRICS
    sample = Sample(
        id=str(document["id"]) if is_ours else str(first["doc_id"]),
        doc_hash=loaded.item_hash(first["doc_id"]) if is_ours else first["doc_hash"],
        model=model,
        task=loaded.name,
        prompt=str(contexts[0]),
        output=str(response),
        gold=str(first["target"]),
        metrics=metrics,
        repeat=repeat,
        question=document["question"] if is_ours else None,
        fields=loaded.fields(document),
    )
    if isinstance(response, GeneratedText):
        sample.prompt_tokens = response.prompt_tokens
        sample.output_tokens = response.output_tokens
        sample.finish_reason = response.finish_reason
        sample.seconds = round(response.seconds, 4)
    elif isinstance(response, tuple):
        _add_likelihoods(sample, loaded, first)
    if is_ours and isinstance(response, str):
        sample.problems = list(split_document_answer(document, response).problems)
    return sample


def _add_likelihoods(sample: Sample, loaded: LoadedTask, entry: dict[str, Any]) -> None:
    """Fill in the answer of a task by log-likelihood: the most likely choice, or nothing if there are no choices."""
    pairs = [response[0] for response in entry["resps"]]
    costs = [pair for pair in pairs if isinstance(pair, ScoredText)]
    sample.seconds = round(sum(cost.seconds for cost in costs), 4)
    sample.prompt_tokens = max((cost.prompt_tokens for cost in costs), default=None)
    sample.output_tokens = sum(cost.tokens for cost in costs)
    if loaded.task.OUTPUT_TYPE != "multiple_choice":
        sample.output = ""
        return
    choices = [str(choice) for choice in loaded.task.doc_to_choice(entry["doc"])][: len(pairs)]
    likelihoods = {choice: float(pair[0]) for choice, pair in zip(choices, pairs, strict=False)}
    sample.choices = likelihoods if all(map(math.isfinite, likelihoods.values())) else None
    sample.output = max(likelihoods, key=likelihoods.__getitem__)
    target = entry["target"]
    sample.gold = choices[target] if isinstance(target, int) and target < len(choices) else str(target)


def _number(value: Any) -> float | tuple[float, ...] | None:
    """A metric's value of one sample if it is a finite number or several of them, else None."""
    if isinstance(value, tuple | list) and len(value) > 1 and all(isinstance(part, int | float) for part in value):
        parts = tuple(float(part) for part in value)
        return parts if all(map(math.isfinite, parts)) else None
    is_number = isinstance(value, bool | int | float) or (hasattr(value, "item") and getattr(value, "size", 0) == 1)
    return float(value) if is_number and math.isfinite(value) else None
