"""Pairs of simulated models whose true scores are known: ties, skew, clusters, repeats, rare labels, long documents."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reports.comparison.sums import value_of_samples
from reports.document.schema import MetricInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    Draw = Callable[[np.random.Generator, int, float], "Drawn"]

KEY = "m"
NATS = 2.5  # mean negative log-likelihood of a token
REPEATS = 3
_SCORES: dict[tuple[str, str, tuple[int, ...]], tuple[float, float]] = {}
_LARGE = 400_000  # items that stand for the population


class Simulated(NamedTuple):
    """What statistics need of a sample."""

    id: str
    metrics: dict[str, Any]
    model: str
    cluster: str | None = None
    repeat: int = 0
    doc_hash: str = ""
    task: str = "t"


class Drawn(NamedTuple):
    """The values of both models, and the item, cluster and repeat of each."""

    before: Values
    after: Values
    ids: Any = None
    clusters: Any = None


@dataclass(frozen=True)
class Cell:
    """One kind of data.

    Attributes:
        name: Its name.
        metric: What is compared.
        model: Draws the values of both models; the second is better by the given difference.
        single: The true score of the first model.
        margin: The difference of the truth `margin`; twice as much the other way for `worse`.
        flags: The least number of items from which on no interval may be flagged as unreliable; None for never.
        population: Whether the true scores come from a large sample instead of a formula.
    """

    name: str
    metric: MetricInfo
    model: Draw
    single: float
    margin: float
    flags: int | None = 0
    population: bool = False

    @property
    def is_share(self) -> bool:
        """Whether coverage has no upper limit, as the data are counts."""
        return self.metric.kind in ("proportion", "macro_f1") or self.name == "tenth"

    def may_be_flagged(self, items: int) -> bool:
        """Whether an interval of so many items may be flagged as unreliable."""
        return self.flags is None or items < self.flags

    def shift(self, truth: str) -> float:
        """How much better the second model is made."""
        return {"equal": 0.0, "margin": self.margin, "worse": -2 * self.margin}[truth]

    def truths(self, truth: str, before: Sequence[Any]) -> tuple[float, float]:
        """The true score of the first model, and the true difference; `before` are the first model's samples."""
        if self.metric.kind == "macro_f1":
            return _population(self, truth, tuple(sorted({int(sample.metrics[KEY][0]) for sample in before})))
        return self.single, _population(self, truth)[1] if self.population else self.shift(truth)

    def draw(self, generator: np.random.Generator, items: int, truth: str) -> tuple[list[Any], list[Any]]:
        """The samples of both models."""
        values = self.model(generator, items, self.shift(truth))
        return _samples(values, values.before, "base"), _samples(values, values.after, "new")


def _population(cell: Cell, truth: str, labels: tuple[int, ...] = ()) -> tuple[float, float]:
    """True score of the first model, and the true difference; of macro-F1 over the labels that the drawn items have."""
    if (cell.name, truth, labels) not in _SCORES:
        values = cell.model(np.random.default_rng(1), _LARGE, cell.shift(truth))
        before, after = (_score(cell, side, labels) for side in values[:2])
        _SCORES[cell.name, truth, labels] = before, 0.0 if truth == "equal" else after - before
    return _SCORES[cell.name, truth, labels]


def _score(cell: Cell, values: Values, labels: tuple[int, ...]) -> float:
    if cell.metric.kind != "macro_f1":
        return value_of_samples(cell.metric.kind, values.tolist())
    gold, predicted = values.T
    counts = [((gold == label).sum(), (predicted == label).sum()) for label in labels]
    right = [((gold == label) & (predicted == label)).sum() for label in labels]
    return float(np.mean([2 * hits / sum(both) for hits, both in zip(right, counts, strict=True)]))


def _samples(drawn: Drawn, values: Values, model: str) -> list[Simulated]:
    rows = values.tolist() if values.ndim == 1 else list(map(tuple, values.tolist()))
    items = drawn.ids if drawn.ids is not None else range(len(rows))
    seen: dict[int, int] = {}
    samples = []
    for place, (row, item) in enumerate(zip(rows, items, strict=True)):
        cluster = None if drawn.clusters is None else f"c{drawn.clusters[place]}"
        samples.append(Simulated(str(item), {KEY: row}, model, cluster, seen.get(item, 0)))
        seen[item] = seen.get(item, 0) + 1
    return samples


def accuracy(generator: np.random.Generator, items: int, difference: float) -> Drawn:
    """Half of the answers right; the models disagree on a fifth of the items."""
    change = generator.choice((-1, 0, 1), items, p=[(0.2 - difference) / 2, 0.8, (0.2 + difference) / 2])
    same = generator.random(items) < 0.5  # noqa: PLR2004
    return Drawn(np.where(change, change < 0, same) * 1.0, np.where(change, change > 0, same) * 1.0)


def _extreme(share: float) -> Draw:
    """Shares near 0 or 1; the second model's answers are drawn apart from the first one's."""

    def draw(generator: np.random.Generator, items: int, difference: float) -> Drawn:
        first, second = generator.random((2, items))
        return Drawn((first < share) * 1.0, (second < np.clip(share + difference, 0, 1)) * 1.0)

    return draw


def _repeated(share: float) -> Draw:
    """Three answers to each item, whose own share of right answers varies."""

    def draw(generator: np.random.Generator, items: int, difference: float) -> Drawn:
        own = generator.beta(4 * share, 4 * (1 - share), items)
        ids = np.repeat(np.arange(items), REPEATS)
        before, after = generator.random((2, len(ids))) < own[ids]
        return Drawn(before * 1.0, _moved(generator, after * 1.0, difference), ids)

    return draw


def _clustered_answers(share: float) -> Draw:
    """Groups of one to eight items that are right or wrong together four times of five."""

    def draw(generator: np.random.Generator, items: int, difference: float) -> Drawn:
        clusters = _clusters(generator, items)
        common, own = generator.random((2, items)) < share, generator.random((2, items)) < share
        together = generator.random((2, items)) < 0.8  # noqa: PLR2004
        before, after = (np.where(together[side], common[side][clusters], own[side]) * 1.0 for side in (0, 1))
        return Drawn(before, _moved(generator, after, difference), None, clusters)

    return draw


def _uneven(labels: int) -> Draw:
    """Groups, four of which have half of up to 500 items, right or wrong together half of the time.

    Answers are right and wrong for one label, else (gold, predicted) labels.
    """

    def draw(generator: np.random.Generator, items: int, difference: float) -> Drawn:
        sizes = np.maximum(np.array([0.24, 0.12, 0.06, 0.05]) * min(items, 500), 4).astype(int)
        clusters = np.repeat(np.arange(items + 4), np.concatenate([sizes, np.full(items, 4)]))[:items]
        common, own, together = (generator.random((2, items)) for _ in range(3))
        right = np.where(together < 0.5, common[:, clusters], own) < 0.6  # noqa: PLR2004
        sides = [right[0] * 1.0, _moved(generator, right[1] * 1.0, difference)]
        if labels > 1:
            gold = generator.choice(labels, items, p=_COMMON)
            wrong = (gold + generator.integers(1, labels, (2, items))) % labels
            sides = [np.stack([gold, np.where(side, gold, other)], 1) for side, other in zip(sides, wrong, strict=True)]
        return Drawn(sides[0] * 1.0, sides[1] * 1.0, None, clusters)

    return draw


def _moved(generator: np.random.Generator, answers: Values, difference: float) -> Values:
    """Answers with a share more right (or wrong) in the population: that many are drawn and set."""
    if difference == 0:
        return answers
    chosen = generator.random(len(answers)) < abs(difference) * 2
    return np.where(chosen, float(difference > 0), answers)


def _clusters(generator: np.random.Generator, items: int) -> Any:
    """The cluster of each item; `items` clusters of 1 to 8 items would be too many, so sizes are drawn until full."""
    sizes = np.minimum(generator.geometric(0.4, items), 8)
    return np.repeat(np.arange(items), sizes)[:items]


def ties(generator: np.random.Generator, items: int, difference: float) -> Drawn:
    """Skewed values between 0 and 1, half of them shared by the models."""
    first, second, shared = generator.beta(1.2, 6, (3, items))
    same = generator.random(items) < 0.5  # noqa: PLR2004
    return Drawn(np.where(same, shared, first), np.where(same, shared, second) + difference)


def normal(generator: np.random.Generator, items: int, difference: float) -> Drawn:
    """Values without skew."""
    first, second = generator.normal(3, 1, (2, items))
    return Drawn(first, second + difference)


def lognormal(generator: np.random.Generator, items: int, difference: float) -> Drawn:
    """Lengths with a long tail; the difference has it too."""
    length = generator.lognormal(0, 1, items)
    return Drawn(length, generator.normal(1, 0.1, items) + length * 1.5 - math.exp(0.5) * 0.5 - 1 + difference)


def tenth(generator: np.random.Generator, items: int, difference: float) -> Drawn:
    """A tenth of the items gains 0.9, the rest loses 0.1: equal on average."""
    gains = generator.random(items) < 0.1 + difference
    return Drawn(np.zeros(items), np.where(gains, 0.9, -0.1))


def clustered(generator: np.random.Generator, items: int, difference: float) -> Drawn:
    """Values of groups of one to eight items with a common part."""
    clusters = _clusters(generator, items)
    common, own = generator.normal(0, 1, (2, 2, items))
    values = [common[side][clusters] + own[side] + 5 for side in (0, 1)]
    return Drawn(values[0], values[1] + difference, None, clusters)


def repeats(generator: np.random.Generator, items: int, difference: float) -> Drawn:
    """Three answers to each item, with a common part."""
    ids = np.repeat(np.arange(items), REPEATS)
    common, own = generator.normal(0, 1, (2, items)), generator.normal(0, 1, (2, len(ids)))
    return Drawn(common[0][ids] + own[0] + 5, common[1][ids] + own[1] + 5 + difference, ids)


def _documents(outlier: float) -> Draw:
    """(log-likelihood, tokens) of documents of very different lengths, one of them `outlier` times the mean."""

    def draw(generator: np.random.Generator, items: int, difference: float) -> Drawn:
        tokens = np.round(generator.lognormal(5.3, 0.5, items)) + 5
        if outlier:
            tokens[0] = np.round(outlier * tokens[1:].mean())
        level, shift = generator.normal(NATS, 0.5, items), math.log1p(difference / math.exp(NATS))
        first, second = generator.normal(0, 0.15, (2, items))
        rows = -tokens * (level + first), -tokens * (level + second + shift)
        return Drawn(np.stack([rows[0], tokens], 1), np.stack([rows[1], tokens], 1))

    return draw


def _labels(shares: tuple[float, ...], right: float) -> Draw:
    """(gold, predicted) labels: the gold one with some probability, else one drawn by the labels' shares."""

    def draw(generator: np.random.Generator, items: int, difference: float) -> Drawn:
        gold, guess, other = generator.choice(len(shares), (3, items), p=shares)
        luck, own = generator.random((2, items))
        shared = generator.random(items) < 0.5  # noqa: PLR2004
        first = np.where(luck < right, gold, guess)
        second = np.where(np.where(shared, luck, own) < right + 1.5 * difference, gold, np.where(shared, guess, other))
        return Drawn(np.stack([gold, first], 1) * 1.0, np.stack([gold, second], 1) * 1.0)

    return draw


def _metric(kind: Any, *, percent: bool = True, higher: bool = True, relevant: float = 0.05) -> MetricInfo:
    return MetricInfo(key=KEY, title=KEY, kind=kind, higher_is_better=higher, percent=percent, relevant=relevant)


_SHARE, _BOUNDED = _metric("proportion"), _metric("mean", relevant=0.02)
_LENGTH = _metric("mean", percent=False, relevant=0.1)
_PERPLEXITY = _metric("perplexity", percent=False, higher=False)
_F1 = _metric("macro_f1")
_MEAN_PPL, _COMMON, _RARE = math.exp(NATS), (0.55, 0.34, 0.11), (0.6, 0.37, 0.03)
CELLS = (
    Cell("accuracy", _SHARE, accuracy, 0.5, 0.05),
    Cell("share .02", _SHARE, _extreme(0.02), 0.02, 0.05, population=True),
    Cell("share .98", _SHARE, _extreme(0.98), 0.98, 0.05, population=True),
    Cell("repeats .98", _SHARE, _repeated(0.98), 0.98, 0.05, population=True),
    Cell("repeats .5", _SHARE, _repeated(0.5), 0.5, 0.05, population=True),
    Cell("clusters .98", _SHARE, _clustered_answers(0.98), 0.98, 0.05, flags=50, population=True),
    Cell("clusters .5", _SHARE, _clustered_answers(0.5), 0.5, 0.05, flags=50, population=True),
    Cell("clusters, uneven", _SHARE, _uneven(1), 0.6, 0.05, flags=100, population=True),
    Cell("normal", _LENGTH, normal, 3.0, 0.3),
    Cell("ties", _BOUNDED, ties, 1.2 / 7.2, 0.02),
    Cell("lognormal", _LENGTH, lognormal, math.exp(0.5), 0.1 * math.exp(0.5), flags=None),
    Cell("tenth", _BOUNDED, tenth, 0.0, 0.02, flags=None),
    Cell("clusters", _LENGTH, clustered, 5.0, 0.5, flags=50),
    Cell("repeats", _LENGTH, repeats, 5.0, 0.5),
    Cell("perplexity", _PERPLEXITY, _documents(0), _MEAN_PPL, 0.05 * _MEAN_PPL),
    Cell("perplexity, long document", _PERPLEXITY, _documents(10), _MEAN_PPL, 0.05 * _MEAN_PPL, flags=None),
    Cell("macro-F1", _F1, _labels(_COMMON, 0.5), 0.0, 0.05, flags=200, population=True),
    Cell("macro-F1, label of 3 %", _F1, _labels(_RARE, 0.5), 0.0, 0.05, flags=500, population=True),
    Cell("macro-F1, clusters, uneven", _F1, _uneven(3), 0.0, 0.05, flags=200, population=True),
    Cell("macro-F1 near 1", _F1, _labels(_COMMON, 0.9), 0.0, 0.05, flags=200, population=True),
)


class _Adapters:
    """A base and adapters that are as good as it, in three metrics of the same items."""

    metrics = {"accuracy": _SHARE, "rouge": _BOUNDED, "macro_f1": _F1}  # noqa: RUF012

    def __call__(
        self, generator: np.random.Generator, items: int, count: int
    ) -> tuple[dict[str, list[Any]], list[dict[str, list[Any]]]]:
        gold = generator.choice(3, items, p=_COMMON)
        shared = generator.beta(1.2, 6, items)

        def model(name: str) -> dict[str, list[Any]]:
            right = generator.random(items) < 0.6  # noqa: PLR2004
            predicted = np.where(right, gold, generator.choice(3, items, p=_COMMON))
            values = {
                "accuracy": (predicted == gold) * 1.0,
                "rouge": np.where(generator.random(items) < 0.5, shared, generator.beta(1.2, 6, items)),  # noqa: PLR2004
                "macro_f1": np.stack([gold, predicted], 1) * 1.0,
            }
            return {key: _samples(Drawn(value, value), value, name) for key, value in values.items()}

        return model("base"), [model(f"adapter{number}") for number in range(count)]


adapters = _Adapters()
