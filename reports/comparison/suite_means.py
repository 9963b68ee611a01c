"""The row of a suite: the unweighted mean of one metric of each of its tasks, by model, and its paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.comparison import compare_models
from reports.comparison.compare_models import Tested, finite, finite_ends
from reports.comparison.counts import share_of_clusters
from reports.comparison.inference import LEVEL
from reports.comparison.metric_inference import SHARES
from reports.comparison.strata import difference_stratum, mean_of_differences, mean_of_shares, share_stratum
from reports.comparison.sums import ScoredItem, clusters_from_samples, value_of_clusters, with_value
from reports.document.schema import Comparison, MetricInfo, Score
from reports.document.suites import MEAN_ACCURACY


@dataclass(frozen=True)
class SuitePart:
    """One task of a suite, with its metric and the samples of all models.

    Attributes:
        metric: The metric that counts, a share of right answers.
        samples: By model.
    """

    metric: MetricInfo
    samples: Mapping[str, Sequence[ScoredItem]]

    @property
    def is_share(self) -> bool:
        """Whether the metric is a share of right answers, so that it has a place in the mean."""
        return self.metric.kind in SHARES


def suite_score(suite: str, model: str, parts: Sequence[SuitePart]) -> Score:
    """A model's mean over the parts, with its 95 % interval.

    Args:
        suite: Name of the suite.
        model: Name of the model.
        parts: The parts, all shares; each has samples of the model.
    """
    clusters = [clusters_from_samples(part.metric, with_value(part.metric, part.samples[model])) for part in parts]
    strata = [share_stratum(share_of_clusters(own), len(own.table)) for own in clusters]
    mean = mean_of_shares(strata)
    low, high = finite_ends(mean, LEVEL)
    values = [value_of_clusters(part.metric.kind, own.table) for part, own in zip(parts, clusters, strict=True)]
    return Score(
        model=model,
        task=suite,
        metric=MEAN_ACCURACY.key,
        value=finite(sum(values) / len(values)),
        low=low,
        high=high,
        n=sum(own.items for own in clusters),
        caution=mean.caution,
    )


def compare_suite(suite: str, baseline: str, candidate: str, parts: Sequence[SuitePart], *, seed: int) -> Tested:
    """The mean of the parts' paired differences, before the correction over all comparisons.

    Args:
        suite: Name of the suite.
        baseline: Name of one model.
        candidate: Name of the other.
        parts: The parts, all shares; each has samples of both models.
        seed: Seed of the bootstrap.
    """
    tested = [
        compare_models.compare(part.metric, part.samples[baseline], part.samples[candidate], seed=seed)[0]
        for part in parts
    ]
    pairs = [test.comparison for test in tested]
    inferences = [test.inference for test in tested if test.inference is not None]
    draft = Comparison(
        task=suite,
        metric=MEAN_ACCURACY.key,
        baseline=baseline,
        candidate=candidate,
        n=sum(pair.n for pair in pairs),
        difference=None,
        outcome="not compared",
    )
    if len(inferences) < len(parts):
        return Tested(draft, MEAN_ACCURACY)
    mean = mean_of_differences([difference_stratum(part) for part in inferences])
    update = {
        "outcome": "inconclusive",
        "difference": finite(mean.estimate),
        "differing": sum(pair.differing or 0 for pair in pairs),
        "units": sum(pair.units or 0 for pair in pairs),
        "relevant": MEAN_ACCURACY.relevant,
    }
    return Tested(draft.model_copy(update=update), MEAN_ACCURACY, mean)
