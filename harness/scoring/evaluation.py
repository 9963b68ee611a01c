"""lm-eval's evaluation of one model's answers to one task, part by part, and what they took."""

from __future__ import annotations

import logging
import statistics
from array import array
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.engines.interface import GenerateResponse, NotFiniteError, Request, Response
from harness.scoring.kept_answers import Scored
from harness.scoring.samples import foreign_metrics, make_samples, metric_key
from harness.scoring.tally import Tally
from reports.document.checksums import remove_facts
from reports.document.schema import TaskCost
from reports.files import WholeFile, json_lines

if TYPE_CHECKING:
    from harness.planning.lm_tasks import LoadedTask
    from harness.scoring.questions import Questions

_log = logging.getLogger("medbench.scoring")


class Evaluation:
    """Makes the samples of one model on one task, and computes their scores once all of them are there.

    Args:
        model: The model's name.
        loaded: The task.
        path: Where the samples go, line by line; None if another process writes them.
    """

    def __init__(self, model: str, loaded: LoadedTask, path: Path | None) -> None:
        self._model = model
        self._loaded = loaded
        self._file = None if path is None else WholeFile(path)
        self._tally = Tally(loaded.slices)
        # By lm-eval's key (METRIC,FILTER); floats or pairs, but texts where a metric is of all texts, as BLEU.
        self._values: defaultdict[str, list[Any]] = defaultdict(list)
        self._costs = AnswerCosts()

    def add(self, questions: Questions, answers: Mapping[Request, Response]) -> None:
        """Evaluate the answers to a part of the items; parts come in the order of the items."""
        evaluated = questions.evaluate(answers.__getitem__)
        samples = make_samples(self._loaded, self._model, evaluated["samples"][self._loaded.name])
        for sample in samples:
            self._tally.add(sample)
        if self._file is not None:
            self._file.write(json_lines(sample.model_dump(mode="json") for sample in samples))
        for key, values in evaluated["results"][self._loaded.name].items():
            if "," in key and isinstance(values, list):
                self._values[key] += values
        self._costs.add(answers.values())

    @property
    def is_whole(self) -> bool:
        """Whether all items are there."""
        return len(self._tally.values) == len(self._loaded.indices) * self._loaded.answers

    def finish(self) -> Scored:
        """Put the samples in their place; returns the scores of all of them."""
        loaded, tally = self._loaded, self._tally
        if self._file is not None:
            remove_facts(self._file.path)
            self._file.put()
        figures = self._figures()
        metrics = loaded.info.metrics or foreign_metrics(tally.values, figures, loaded.task.higher_is_better())
        cost = self._costs.summed_up(self._model, loaded.name, tally)
        _log.info("%s %s: %s in %.1f s", self._model, loaded.name, figures, cost.seconds)
        return Scored(self._model, loaded, tally, figures, metrics, cost)

    def close(self) -> None:
        """Remove what was written of samples that are not all there."""
        if self._file is not None:
            self._file.close()

    def _figures(self) -> dict[str, float]:
        """lm-eval's own scores by metric key, aggregated over all items."""
        from lm_eval.api.metrics import mean

        functions = self._loaded.task.aggregation()
        figures = {}
        for key, values in self._values.items():
            metric, _, filter_name = key.partition(",")
            try:
                value = functions.get(metric, mean)(values)
            except OverflowError as error:  # such as a perplexity beyond floats
                raise NotFiniteError(self._model) from error
            if isinstance(value, int | float):
                figures[metric_key(metric, filter_name)] = float(value)
        return figures


class AnswerCosts:
    """What the answers of a model on a task took, and which part of that was in an earlier run."""

    def __init__(self) -> None:
        self._seconds = array("d")
        self._latencies = array("d")
        self._reused = array("d")
        self._peak = self._truncated = 0

    def add(self, answers: Collection[Response]) -> None:
        """Note some answers."""
        self._seconds.extend(answer.cost.seconds for answer in answers)
        self._latencies.extend(answer.cost.latency for answer in answers)
        self._reused.extend(answer.cost.seconds for answer in answers if answer.cost.reused)
        self._peak = max(self._peak, *(answer.cost.peak_memory for answer in answers))
        self._truncated += sum(
            isinstance(answer, GenerateResponse) and answer.finish_reason == "length" for answer in answers
        )

    def summed_up(self, model: str, task: str, tally: Tally) -> TaskCost:
        """The costs of the samples of a tally."""
        seconds, latencies = sum(self._seconds), self._latencies
        marks = statistics.quantiles(latencies, n=20, method="inclusive") if len(latencies) > 1 else [*latencies] * 19
        return TaskCost(
            model=model,
            task=task,
            seconds=round(seconds, 3),
            prompt_tokens=tally.prompt_tokens,
            output_tokens=tally.output_tokens,
            tokens_per_second=round((tally.prompt_tokens + tally.output_tokens) / max(seconds, 1e-6), 1),
            latency_p50=round(statistics.median(latencies), 4),
            latency_p95=round(marks[18], 4),
            peak_memory_bytes=self._peak,
            truncated=self._truncated,
            reused=len(self._reused) == len(self._seconds),
            reused_answers=len(self._reused),
            reused_seconds=round(sum(self._reused), 3),
        )
