"""Log-likelihoods and answers of two models on the same items, and how much of their difference is explained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from reports.comparison.sums import clusters_from_values
from reports.document.schema import Sample, TaskInfo
from reports.document.verification import AnswersPart
from reports.gate.estimate import pseudo_values
from reports.gate.mean_difference import MeanDifference, sample_variance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

Answers = Mapping[str, Sequence[Sample]]  # by task
Key = tuple[str, str, int]  # task, item and repeat


@dataclass(frozen=True)
class Explanation:
    """Answers that show how large a difference rounding or another kernel makes.

    Attributes:
        kind: As in `ExplainedPart`.
        description: One sentence for the certificate.
        before: For a kernel the base's answers through the engine of the run, else the reference's.
        after: For rounding those of our own weights rounded the same way, for a kernel the base's through the target's,
            for arithmetic the reference's to some items, computed another way.
        is_exact: Whether `after` predicts the target's log-likelihoods item by item, so that the target is compared
            with it; else only the size of the difference is explained.
    """

    kind: Literal["rounding", "kernel", "arithmetic"]
    description: str
    before: Answers
    after: Answers
    is_exact: bool = False


@dataclass(frozen=True)
class Likelihood:
    """Log-likelihoods of one item: of its gold answer, or of each choice.

    Attributes:
        nats: By choice; of the gold answer under an empty name.
        tokens: Number of tokens of all of them.
        gold: Name of the gold choice, if it is one.
        unit: Name of the independent unit that the item belongs to.
    """

    nats: Mapping[str, float]
    tokens: float
    gold: str
    unit: str

    @property
    def per_token(self) -> float:
        """Mean log-likelihood of a token."""
        return sum(self.nats.values()) / self.tokens

    def size(self, other: Likelihood) -> float:
        """Absolute difference to another model's, in nats per token of ours."""
        return sum(abs(other.nats[name] - nats) for name, nats in self.nats.items()) / self.tokens

    def change(self, other: Likelihood) -> float:
        """Difference of the gold answer's, in nats per token; of all choices if none of them is the gold answer."""
        names = [self.gold] if self.gold in self.nats else list(self.nats)
        tokens = self.tokens * len(names) / len(self.nats)
        return sum(other.nats[name] - self.nats[name] for name in names) / tokens


def likelihoods(tasks: Sequence[TaskInfo], answers: Answers) -> dict[Key, Likelihood]:
    """The log-likelihoods of all items that have any: of their choices, else of their gold answer."""
    values = {}
    for task in tasks:
        keys = [metric.key for metric in task.metrics if metric.kind == "perplexity"]
        for sample in answers.get(task.name, ()):
            nats, tokens = sample.choices, float(sample.output_tokens or len(sample.choices or ()))
            pairs = [pair for key in keys if isinstance(pair := sample.metrics.get(key), tuple) and len(pair) > 1]
            if not nats and pairs:  # the metric that counts the most tokens
                tokens, total = max((pair[1], pair[0]) for pair in pairs)
                nats = {"": total}
            if nats and tokens > 0:
                unit = f"{task.name} {sample.cluster or sample.id}"
                values[task.name, sample.id, sample.repeat] = Likelihood(nats, tokens, sample.gold, unit)
    return values


@dataclass(frozen=True)
class LikelihoodDifference:
    """The differences of all items whose log-likelihoods both models have.

    Attributes:
        keys: The items.
        changes: Signed differences of the gold answers, in nats per token.
        sizes: Absolute differences, in nats per token.
        explained: The part of each size that is explained; None if nothing is.
        excess: The mean of what remains, over independent units.
    """

    keys: list[Key]
    changes: Values
    sizes: Values
    explained: Values | None
    excess: MeanDifference


def likelihood_difference(
    tasks: Sequence[TaskInfo],
    reference: Answers,
    target: Answers,
    explained: Sequence[Explanation],
    *,
    margin: float,
) -> LikelihoodDifference | None:
    """Compare log-likelihoods item by item; None if the two have none in common.

    An exact explanation is compared with the target in place of the reference; the size of every other one is
    subtracted. Items that differ by less than the margin do not show how far a broken one can differ: as for all means
    in the gate, two items with unrelated log-likelihoods are added to the spread.
    """
    ours, theirs = likelihoods(tasks, reference), likelihoods(tasks, target)
    keys = [key for key, value in ours.items() if _are_same(value, theirs.get(key))]
    if not keys:
        return None
    changes = np.array([ours[key].change(theirs[key]) for key in keys])
    sizes = np.array([ours[key].size(theirs[key]) for key in keys])
    remaining, subtracted, total = sizes, np.zeros(len(keys)), np.zeros(len(keys))
    for explanation in explained:
        by_item = explained_sizes(tasks, explanation)
        typical = _typical(by_item)
        part = np.array([by_item.get(key, typical.get(key[0], 0.0)) for key in keys])
        total = total + part
        if explanation.is_exact:
            rounded = likelihoods(tasks, explanation.after)
            anchors = [rounded[key] if _are_same(ours[key], rounded.get(key)) else ours[key] for key in keys]
            remaining = np.array([anchor.size(theirs[key]) for key, anchor in zip(keys, anchors, strict=True)])
        else:
            subtracted = subtracted + part
    units = [ours[key].unit for key in keys]
    parts = _unit_means(remaining - subtracted, keys, units)
    differing = int((_unit_means(remaining, keys, units) > margin).sum())
    alike = 1 - differing / len(parts) if sample_variance(parts) else 1.0
    unrelated = alike * sum(
        sample_variance(_unit_means(_within_tasks(side, keys), keys, units)) for side in (ours, theirs)
    )
    excess = MeanDifference(float(parts.mean()), parts, differing, unrelated)
    return LikelihoodDifference(keys, changes, sizes, total if explained else None, excess)


def explained_sizes(tasks: Sequence[TaskInfo], explanation: Explanation) -> dict[Key, float]:
    """The difference that an explanation makes to each item, in nats per token."""
    before, after = likelihoods(tasks, explanation.before), likelihoods(tasks, explanation.after)
    return {key: value.size(after[key]) for key, value in before.items() if _are_same(value, after.get(key))}


def _typical(sizes: Mapping[Key, float]) -> dict[str, float]:
    """The mean size by task, which stands for items that were not measured."""
    by_task = defaultdict(list)
    for (task, *_), size in sizes.items():
        by_task[task].append(size)
    return {task: float(np.mean(values)) for task, values in by_task.items()}


def compare_answers(reference: Answers, target: Answers, explained: Sequence[Explanation]) -> list[AnswersPart]:
    """Count the chosen labels and the generated answers that changed."""
    parts = []
    for kind in ("choices", "texts"):
        changes = _changed(reference, target, kind)
        by_others = [sum(_changed(cause.before, cause.after, kind)) for cause in explained]
        if changes:
            part = {"kind": kind, "items": len(changes), "changed": sum(changes)}
            parts.append(AnswersPart.model_validate(part | ({"explained": sum(by_others)} if by_others else {})))
    return parts


def _changed(before: Answers, after: Answers, kind: str) -> list[bool]:
    """Whether each item's answer of a kind changed."""
    changes = []
    for task, samples in before.items():
        others = {(sample.id, sample.repeat): sample for sample in after.get(task, ())}
        for sample in samples:
            other = others.get((sample.id, sample.repeat))
            is_kind = sample.choices is not None if kind == "choices" else sample.finish_reason is not None
            if is_kind and other is not None:
                changes.append(sample.output != other.output)
    return changes


def _are_same(ours: Likelihood, theirs: Likelihood | None) -> bool:
    """Whether both have log-likelihoods of the same texts."""
    return theirs is not None and ours.nats.keys() == theirs.nats.keys()


def _within_tasks(values: Mapping[Key, Likelihood], keys: Sequence[Key]) -> Values:
    """Each item's mean log-likelihood of a token, less that of its task."""
    tasks = np.array([task for task, *_ in keys])
    nats = np.array([values[key].per_token for key in keys])
    for task in set(tasks):
        nats[tasks == task] -= nats[tasks == task].mean()
    return nats


def _unit_means(values: Iterable[float], keys: Sequence[Key], units: Sequence[str]) -> Values:
    """Jackknife pseudo-values of a mean over items, one for each independent unit."""
    ids = [f"{task} {item}" for task, item, _ in keys]
    return pseudo_values("mean", clusters_from_values("mean", np.array([*values]), ids, units).table)
