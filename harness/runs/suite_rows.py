"""The rows of the suites that a run named: means over their tasks by model, and their paired differences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reports.comparison.suite_means import SuitePart, compare_suite, suite_score
from reports.document.schema import Comparison, SuiteInfo

if TYPE_CHECKING:
    from harness.planning.run_plan import Plan
    from harness.scoring.kept_answers import Scored
    from reports.comparison.compare_models import Tested
    from reports.comparison.sums import ScoredItem
    from tasks.suites import Suite

_NOT_SCORED = "not scored"
_SYNTHETIC = "scored on synthetic items; name the real ones in data.pubmedqa"


@dataclass(frozen=True)
class SuiteRows:
    """The suites of a run before the correction over all compared models."""

    suites: list[SuiteInfo] = field(default_factory=list)
    tested: list[Tested] = field(default_factory=list)

    def with_comparisons(self, judged: Sequence[Comparison]) -> list[SuiteInfo]:
        """The suites with their comparisons, which are in the order of `tested`."""
        own: dict[str, list[Comparison]] = defaultdict(list)
        for comparison in judged:
            own[comparison.task].append(comparison)
        return [suite.model_copy(update={"comparisons": own[suite.name]}) for suite in self.suites]


def suite_rows(plan: Plan, scored: Sequence[Scored]) -> SuiteRows:
    """The suites that the run named; those with a row have it if every part was scored on real items.

    Pools of adapters have no row: their seeds are shared by all parts, which are not independent for them.
    """
    rows = SuiteRows()
    samples: dict[str, dict[str, Sequence[ScoredItem]]] = defaultdict(dict)
    for answers in scored:
        samples[answers.task.name][answers.model] = answers.samples
    for suite in plan.suites:
        parts, missing = _parts(suite, scored, samples)
        info = SuiteInfo(
            name=suite.name,
            tasks=suite.tasks,
            title=suite.mean_title,
            parts=dict(suite.mean_of),
            missing=missing,
        )
        if suite.mean_of and not missing:
            seed, baseline = plan.recipe.seed, plan.baseline.name
            info.scores = [suite_score(suite.name, model.name, parts) for model in plan.models]
            rows.tested.extend(
                compare_suite(suite.name, baseline, model.name, parts, seed=seed)
                for model in plan.models
                if model.name != baseline
            )
        rows.suites.append(info)
    return rows


def _parts(
    suite: Suite, scored: Sequence[Scored], samples: Mapping[str, Mapping[str, Sequence[ScoredItem]]]
) -> tuple[list[SuitePart], dict[str, str]]:
    """The parts of a suite's row, and why others are missing, by task."""
    metrics = {(one.task.name, metric.key): metric for one in scored for metric in one.metrics}
    synthetic = {one.task.name for one in scored if one.task.info.synthetic}
    parts, missing = [], {}
    for task, key in suite.mean_of:
        metric = metrics.get((task, key))
        part = None if metric is None else SuitePart(metric, samples[task])
        if part is None or not part.is_share:
            missing[task] = _NOT_SCORED if part is None else f"its metric {key} is no share of right answers"
        elif task in synthetic:
            missing[task] = _SYNTHETIC
        else:
            parts.append(part)
    return parts, missing
