"""Sentences of the verdict about slices: where a model is shown to be worse, and in which slice most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reports.document.schema import MetricInfo, Results
from reports.document.slices import WorstSlice
from reports.numbers import interval_text, join_words, signed_text

_NAMED = 5  # slices that are listed if none is shown to be the worst


def slice_name(value: str | None) -> str:
    """The name of a slice in tables and sentences."""
    return "no value" if value is None else value


def slice_sentences(results: Results, metrics: Mapping[tuple[str, str], MetricInfo]) -> Iterator[str]:
    """One sentence for each worst slice; else which slices are worse, or that none is shown to be.

    Args:
        results: The results.
        metrics: The metrics by task and key, with titles that are unique.
    """
    tested, losses = _tests(results)
    for model, count in tested.items():
        worst = [one for one in results.worst_slices if one.candidate == model]
        yield from (_worst(one, metrics[one.task, one.metric]) for one in worst)
        named = {(one.task, one.metric) for one in worst}
        others = [f"{metrics[key].title} ({where})" for key, where in losses.get(model, ()) if key not in named]
        if others:
            more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
            where = f"slices of {join_words(others[:_NAMED])}{more}"
            yield f"{model} is shown to be worse in {where}; which one is worst is open."
        elif not worst:
            yield f"{model} is shown to be worse in none of the slices ({count} tests, corrected for their number)."


def _tests(results: Results) -> tuple[dict[str, int], dict[str, list[tuple[tuple[str, str], str]]]]:
    """Number of tests by model, and the slices in which it is shown to be worse: task and metric, and the slice."""
    counts: dict[str, int] = {}
    losses: dict[str, list[tuple[tuple[str, str], str]]] = {}
    for one in results.slices:
        for part in one.slices:
            for pair in part.comparisons:
                if pair.p_adjusted is not None:
                    counts[pair.candidate] = counts.get(pair.candidate, 0) + 1
                if pair.outcome == "worse":
                    where = f"{one.column} {slice_name(part.value)}"
                    losses.setdefault(pair.candidate, []).append(((pair.task, pair.metric), where))
    return counts, losses


def _worst(worst: WorstSlice, metric: MetricInfo) -> str:
    interval = interval_text(worst.low, worst.high, metric, signed=True)
    others = f"; it is shown to be worse in {worst.worse} slices" if worst.worse > 1 else ""
    return (
        f"Worst slice: {worst.candidate} is worse in {metric.title} on the {worst.n} items with {worst.column}"
        f" {slice_name(worst.value)}, by {signed_text(worst.difference, metric)} {interval}, corrected for"
        f" {worst.tested} tests{others}."
    )
