"""What a fine-tune gains on its target beside what it loses elsewhere: the comparisons of both, and one sentence.

The target is every task that belongs to none of the suites `retention`, `languages` and `control`. A loss is judged by
the interval of its comparison and the metric's smallest relevant difference, which is the default margin of the gate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from reports.document.schema import Comparison, MetricInfo, Purpose, Results
from reports.document.suites import MEAN_ACCURACY
from reports.numbers import amount_text, difference_text, interval_text, join_words

Loss = Literal["large", "small", "shown", "ruled out", "not decided"]
LOSS_TEXT: dict[Loss, str] = {
    "large": "a loss of more than {margin} is shown",
    "small": "a loss is shown, and one of {margin} is ruled out",
    "shown": "a loss is shown",
    "ruled out": "a loss of {margin} is ruled out",
    "not decided": "not decided",
}
_BEYOND_MARGIN: dict[Loss, str] = {
    "large": "more than the margin of {margin}",
    "small": "less than the margin of {margin}",
    "shown": "which may exceed the margin of {margin}",
}
_ELSEWHERE = ("retention", "languages")


@dataclass(frozen=True)
class Effect:
    """One comparison of a model with the baseline, and what it is about.

    Attributes:
        title: The metric with its task, or the suite's row.
        purpose: The purpose of the task, or of the suite's tasks.
        metric: The compared metric.
        pair: The comparison; it has a difference.
        is_mean: Whether it is the mean of a suite.
    """

    title: str
    purpose: Purpose
    metric: MetricInfo
    pair: Comparison
    is_mean: bool = False

    @property
    def margin(self) -> str:
        """The smallest relevant difference as text."""
        return amount_text(self.pair.relevant or 0.0, self.metric)

    @property
    def loss(self) -> Loss:
        """What the interval says about a loss of the margin."""
        low, high, margin = self.pair.low, self.pair.high, self.pair.relevant
        if low is None or high is None or margin is None:
            return "not decided"
        least, most = (low, high) if self.metric.sign > 0 else (-high, -low)  # of the gain
        if most < 0:
            return "large" if most < -margin else "small" if least > -margin else "shown"
        return "ruled out" if least > -margin else "not decided"

    @property
    def loss_text(self) -> str:
        """The same in words."""
        return LOSS_TEXT[self.loss].format(margin=self.margin)


def effects(results: Results, model: str) -> list[Effect]:
    """The model's effects: on its target, on retention (the mean first), on languages and on controls.

    A suite of the target whose mean was compared stands for its tasks.
    """
    pairs = results.comparisons_by_key()
    tasks = {task.name: task for task in results.tasks}
    listed: list[Effect] = []
    covered: set[str] = set()
    for suite in results.suites:
        pair = pairs.get((model, suite.name, MEAN_ACCURACY.key))
        purposes = {tasks[name].purpose for name in suite.parts if name in tasks}
        if pair is not None and pair.difference is not None and len(purposes) == 1:
            (purpose,) = purposes
            listed.append(Effect(suite.title, purpose, MEAN_ACCURACY, pair, is_mean=True))
            covered.update(suite.parts if purpose == "target" else ())
    for task in results.tasks:
        metric = task.main
        pair = pairs.get((model, task.name, metric.key)) if metric else None
        if metric and pair is not None and pair.difference is not None and task.name not in covered:
            listed.append(Effect(f"{metric.title} ({task.short_title})", task.purpose, metric, pair))
    order: Sequence[Purpose] = ("target", "retention", "languages", "control")
    return sorted(listed, key=lambda effect: order.index(effect.purpose))


def has_cost(results: Results, model: str) -> bool:
    """Whether retention or languages were scored for a model."""
    return any(effect.purpose in _ELSEWHERE for effect in effects(results, model))


def cost_sentences(results: Results) -> list[str]:
    """A sentence on gain and loss for each model that was scored on retention or languages beside the baseline."""
    models = [model.name for model in results.models if model.name != results.baseline]
    return [f"{model} {'; '.join(_clauses(effects(results, model)))}." for model in models if has_cost(results, model)]


def _clauses(listed: Sequence[Effect]) -> Iterator[str]:
    target, retention, languages = (
        [effect for effect in listed if effect.purpose == purpose] for purpose in ("target", "retention", "languages")
    )
    yield from _gains(target)
    yield from _retention(retention)
    yield from _languages(languages)


def _gains(target: Sequence[Effect]) -> Iterator[str]:
    """The effects on the target, by outcome."""
    for outcome, verb in (("better", "improves by"), ("worse", "worsens by")):
        named = [
            f"{amount_text(effect.pair.difference or 0.0, effect.metric)} in {effect.title} {_interval(effect)}".strip()
            for effect in target
            if effect.pair.outcome == outcome
        ]
        if named:
            yield f"{verb} {join_words(named)}"
    others = [
        f"{effect.title} ({difference_text(effect.pair, effect.metric, interval=True)})"
        for effect in target
        if effect.pair.outcome not in ("better", "worse")
    ]
    if others:
        yield f"is not shown to gain in {join_words(others)}"


def _retention(listed: Sequence[Effect]) -> Iterator[str]:
    """The effect on the suite's mean, and large losses of its parts that the mean does not show; else all parts."""
    mean = next((effect for effect in listed if effect.is_mean), None)
    if mean is not None:
        yield _cost(mean, "of general knowledge", "retention mean")
    for effect in listed:
        if mean is None or (not effect.is_mean and effect.loss == "large" and mean.loss not in _BEYOND_MARGIN):
            yield _cost(effect, f"in {effect.title}", "")


def _cost(effect: Effect, what: str, source: str) -> str:
    """What the comparison says about a loss of something, in words."""
    difference = difference_text(effect.pair, effect.metric, interval=True)
    if effect.loss in _BEYOND_MARGIN:
        interval = _interval(effect)
        inside = f"({source} {interval})" if source else interval
        amount = amount_text(effect.pair.difference or 0.0, effect.metric)
        return f"loses {amount} {what} {inside}, {_BEYOND_MARGIN[effect.loss].format(margin=effect.margin)}"
    inside = " ".join(filter(None, (source, difference)))
    if effect.loss == "ruled out":
        return f"a loss of {effect.margin} {what} is ruled out ({inside})"
    return f"whether it loses {effect.margin} {what} is not decided ({inside})"


def _languages(listed: Sequence[Effect]) -> Iterator[str]:
    """Losses in other languages that are shown, and how many tasks rule one out or leave it open."""
    for effect in listed:
        if effect.loss in _BEYOND_MARGIN:
            yield _cost(effect, f"in {effect.title}", "")
    for loss, text in (("ruled out", "a loss of the margin is ruled out on"), ("not decided", "not decided on")):
        count = sum(effect.loss == loss for effect in listed)
        if count:
            amount = "all" if count == len(listed) else f"{count} of"
            yield f"{text} {amount} {len(listed)} tasks of the suite languages"


def _interval(effect: Effect) -> str:
    return interval_text(effect.pair.low, effect.pair.high, effect.metric, signed=True)
