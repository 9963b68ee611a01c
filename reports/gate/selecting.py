"""Selects the items of a target, by ids, labels and columns that are those of the baseline, with their values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from reports.comparison.sums import label_count
from reports.document.schema import MetricKind, Sample
from reports.gate.comparable import have_same_weights, incomparable, some, unusable
from reports.gate.inputs import GateInput, ItemScore, slice_hash, slice_value
from reports.gate.policy import MustPass
from reports.gate.targets import CannotJudgeError, Selected, Target
from reports.gate.units import units_of


def select(target: Target, candidate: GateInput, baseline: GateInput, *, compares: bool) -> Selected:
    """Select the items of a target with their values.

    Raises:
        CannotJudgeError: There are none, or the values cannot be judged or compared.
    """
    samples = select_items(target, candidate, baseline, compares=compares)
    return select_values(target, samples, candidate, baseline, compares=compares)


def select_items(
    target: Target, candidate: GateInput, baseline: GateInput, *, compares: bool
) -> dict[str, ItemScore | Sample]:
    """The candidate's items that a rule selects.

    Raises:
        CannotJudgeError: As `select`.
    """
    task, metric = target.task, target.metric
    reason = unusable(candidate, task, metric)
    if compares and not reason:
        reason = unusable(baseline, task, metric) or incomparable(candidate, baseline, task, metric)
    if reason:
        raise CannotJudgeError(reason)
    if metric.kind == "other":
        raise CannotJudgeError(
            f"only lm-eval's own value of {task}/{metric.key} is known, without values of single items"
        )
    return _slice(target, candidate.items[task], baseline)


def select_values(
    target: Target,
    samples: Mapping[str, ItemScore | Sample],
    candidate: GateInput,
    baseline: GateInput,
    *,
    compares: bool,
) -> Selected:
    """The values of items of a target, by their keys."""
    task, metric = target.task, target.metric
    others = [baseline.items[task][key] for key in samples] if compares else []
    ours = list(samples.values())
    labels = label_count(metric, ours, others)
    after = units_of(metric, ours, labels=labels)
    before = units_of(metric, others, ours, labels=labels) if compares else after
    kind: MetricKind = "mean" if metric.kind == "proportion" and not after.are_right_or_wrong else metric.kind
    same = compares and have_same_weights(candidate, baseline) and np.array_equal(before.table, after.table)
    return Selected(kind, ours, others, before, after, after.items, same)


def _slice(
    target: Target, items: Mapping[str, ItemScore | Sample], baseline: GateInput
) -> dict[str, ItemScore | Sample]:
    """The items that a rule selects, by ids and by labels and fields that are those of the baseline."""
    rule, samples = target.rule, dict(items)
    trusted = baseline.items.get(target.task, {})
    if rule.ids:
        missing = sorted(set(rule.ids) - {sample.id for sample in samples.values()})
        if missing:
            shown = ", ".join(item[:40] for item in missing[:3])
            raise CannotJudgeError(f"{len(missing)} of the {len(set(rule.ids))} listed items were not scored ({shown})")
        samples = {key: sample for key, sample in samples.items() if sample.id in set(rule.ids)}
        texts = ({key: item.doc_hash for key, item in items.items()} for items in (samples, trusted))
        check_same("text", *texts)
    for name, wanted in ({} if isinstance(rule, MustPass) else rule.where).items():
        labels = ({key: slice_hash(item, name) for key, item in items.items()} for items in (samples, trusted))
        check_same(name, *labels)
        values = {key: slice_value(sample, name) for key, sample in samples.items()}
        allowed = {wanted} if isinstance(wanted, str) else set(wanted)
        samples = {key: sample for key, sample in samples.items() if values[key] in allowed}
        if not samples:
            available = sorted({value for value in values.values() if value is not None})
            has = f"; there are {', '.join(available[:8])[:200]}" if available else f", and none has a {name} at all"
            raise CannotJudgeError(f"no item has the {name} {' or '.join(sorted(allowed))}{has}")
    return samples


def check_same(what: str, ours: Mapping[str, str | None], theirs: Mapping[str, str | None]) -> None:
    """Check that something of the candidate's items is the same in the baseline, so that none is moved into a slice.

    Raises:
        CannotJudgeError: It is not.
    """
    others = [key for key, value in ours.items() if value != theirs.get(key)]
    if others and not any(theirs.values()):
        raise CannotJudgeError(f"the baseline does not record the {what} of its items; set it again")
    if others:
        raise CannotJudgeError(f"{len(others)} items have another {what} than in the baseline{some(others)}")
