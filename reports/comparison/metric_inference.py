"""The kind of interval and test that each kind of metric has."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from reports.comparison.counts import difference_of_clusters, scaled, share_of_clusters, sign_p
from reports.comparison.inference import Inference
from reports.comparison.label_f1 import macro_f1_difference, macro_f1_of_clusters
from reports.comparison.ratios import Ratios, infer
from reports.comparison.sums import MAX_LOG, Clusters
from reports.document.schema import MetricInfo, MetricKind

MIN_CLUSTERS = 2  # for means and ratios; fewer have no interval
SHARES = ("proportion", "batch_calibrated")
_LINKS = {"perplexity": "exp", "bits_per_byte": "bits"}
_MAX_HIGH_LOG = 690.0  # more than that of the value, so that a capped interval keeps its width
_FAR = math.log(1000)


def one_model(metric: MetricInfo, clusters: Clusters, *, seed: int) -> Inference | None:
    """The inference about one model's score; None for ECE and for means of a single unit.

    Wilson's interval for shares (on effective numbers where items share a source or were asked several times), MOVER
    for macro-F1, else the studentised bootstrap joined with t; of the logarithm, for perplexity.
    """
    if metric.kind in SHARES:
        return share_of_clusters(clusters)
    if metric.kind == "macro_f1":
        return macro_f1_of_clusters(clusters)
    if metric.kind == "ece" or len(clusters.table) < MIN_CLUSTERS or not clusters.table[:, 1].any():
        return None
    if metric.kind == "perplexity":
        nats = _ratios(clusters.table * (-1.0, 1.0))
        logs = _infer(nats, seed=seed, lowest=0.0, highest=math.inf, clustered=clusters.is_clustered)
        return None if logs is None else _exponential(logs)
    lowest = 0.0 if metric.is_share or (clusters.table >= 0).all() else -math.inf
    highest = 1.0 if metric.is_share else math.inf
    ratios = _ratios(clusters.table, kind=metric.kind)
    return _infer(ratios, seed=seed, lowest=lowest, highest=highest, clustered=clusters.is_clustered)


def _infer(ratios: Ratios, *, seed: int, lowest: float, highest: float, clustered: bool) -> Inference | None:
    """The inference about a quantity; None where its sums overflow or all weight lies on one unit."""
    with np.errstate(all="ignore"):
        inference = infer(ratios, seed=seed, lowest=lowest, highest=highest, clustered=clustered)
    return inference if math.isfinite(inference.standard_error) else None


def _ratios(*tables: Any, kind: MetricKind = "mean") -> Ratios:
    """The ratio of one table's sums, or the second's minus the first's."""
    columns = [np.stack([table[:, place] for table in tables], axis=1) for place in (0, 1)]
    weights = (1.0,) if len(tables) == 1 else (-1.0, 1.0)
    return Ratios(columns[0], columns[1], weights, _LINKS.get(kind, "identity"))


def _exponential(logs: Inference) -> Inference:
    def ends(level: float) -> tuple[float, float]:
        low, high = logs.ends(level)
        return math.exp(min(low, MAX_LOG)), math.exp(min(high, _MAX_HIGH_LOG))

    estimate = math.exp(min(logs.estimate, MAX_LOG))
    return replace(logs, estimate=estimate, ends=ends, standard_error=estimate * logs.standard_error)


def difference(metric: MetricInfo, before: Clusters, after: Clusters, *, seed: int) -> Inference | None:
    """The inference about the second model's score minus the first's, over the same units.

    Right/wrong metrics: Tango's score interval (1998), which at a difference of 0 is McNemar's test; on effective
    numbers where items share a source or were asked several times. Macro-F1: MOVER joined with t. Means and ratios: the
    studentised bootstrap joined with t. Perplexities of which one is more than a thousand times the other: the interval
    of the greater one. None for ECE, whose tests do not hold their level, below two units, and for sums that overflow.
    """
    if metric.kind in SHARES:
        return difference_of_clusters(before, after)
    if metric.kind == "macro_f1":
        inference = macro_f1_difference(before, after)
        differing = int((before.by_item != after.by_item).any(1).sum())
        return inference.with_least_p(min(2.0 ** (1 - differing), sign_p(differing)))
    if metric.kind == "ece" or len(before.table) < MIN_CLUSTERS:
        return None
    if not before.table[:, 1].any() or not after.table[:, 1].any():
        return None
    if metric.kind == "perplexity" and (far_apart := _far_apart(metric, before, after, seed)):
        return far_apart
    reach = 1.0 if metric.is_share else math.inf
    ratios = _ratios(before.table, after.table, kind=metric.kind)
    return _infer(ratios, seed=seed, lowest=-reach, highest=reach, clustered=before.is_clustered)


def _far_apart(metric: MetricInfo, before: Clusters, after: Clusters, seed: int) -> Inference | None:
    """A perplexity minus another whose own variation does not matter beside it; None where they are not far apart."""
    logs = [-float(side.table[:, 0].sum() / side.table[:, 1].sum()) for side in (before, after)]
    if logs[0] - logs[1] > _FAR:
        swapped = _far_apart(metric, after, before, seed)
        return None if swapped is None else swapped.mirrored()
    greater = one_model(metric, after, seed=seed) if logs[1] - logs[0] > _FAR else None
    if greater is None:
        return None
    shifted = scaled(greater, 1.0, -math.exp(min(logs[0], MAX_LOG)))
    return shifted.with_least_p(2.0 ** (1 - len(after.table)))
