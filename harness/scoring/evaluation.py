"""lm-eval's evaluation of one model's answers to one task, and what they took."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.engines.interface import Answer, GenerateAnswer, Request
from harness.scoring.kept_answers import Scored
from reports.document.schema import Sample, TaskCost

if TYPE_CHECKING:
    from harness.planning.lm_tasks import LoadedTask
    from harness.scoring.questions import Questions

_log = logging.getLogger("medbench.scoring")


def evaluated(questions: Questions, model: str, answers: Mapping[Request, Answer]) -> Scored:
    """The samples, figures and costs of one model on one task."""
    from harness.scoring.samples import foreign_metrics, make_samples, reported_figures

    loaded = questions.loaded
    found = questions.evaluate(answers.__getitem__)
    samples = make_samples(loaded, model, found["samples"][loaded.name])
    figures = reported_figures(found["results"][loaded.name])
    metrics = loaded.info.metrics or foreign_metrics(samples, figures, found["higher_is_better"].get(loaded.name, {}))
    cost = _cost(model, loaded, samples, list(answers.values()))
    _log.info("%s %s: %s in %.1f s", model, loaded.name, figures, cost.seconds)
    return Scored(model, loaded, samples, figures, metrics, cost)


def _cost(model: str, loaded: LoadedTask, samples: Sequence[Sample], answers: Sequence[Answer]) -> TaskCost:
    """What all answers took, and which part of that was in an earlier run."""
    seconds = sum(answer.cost.seconds for answer in answers)
    reused = [answer.cost.seconds for answer in answers if answer.cost.reused]
    latencies = [answer.cost.latency for answer in answers]
    marks = statistics.quantiles(latencies, n=20, method="inclusive") if len(latencies) > 1 else latencies * 19
    prompt, output = (
        sum(getattr(sample, name) or 0 for sample in samples) for name in ("prompt_tokens", "output_tokens")
    )
    return TaskCost(
        model=model,
        task=loaded.name,
        seconds=round(seconds, 3),
        prompt_tokens=prompt,
        output_tokens=output,
        tokens_per_second=round((prompt + output) / max(seconds, 1e-6), 1),
        latency_p50=round(statistics.median(latencies), 4),
        latency_p95=round(marks[18], 4),
        peak_memory_bytes=max(answer.cost.peak_memory for answer in answers),
        truncated=sum(isinstance(each, GenerateAnswer) and each.finish_reason == "length" for each in answers),
        reused=len(reused) == len(answers),
        reused_answers=len(reused),
        reused_seconds=round(sum(reused), 3),
    )
