"""Margins of equivalence: the policy's, else the defaults with their reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reports.document.schema import MetricInfo
from reports.gate.deployed import main_metrics, margin_of
from reports.gate.policy import DeployedEquals, Policy

# A probability changes by 2 % of itself. Rounding to 8 bits and another kernel in 16 bits stay below, or are explained;
# another scale of the adapter, 4 bits and another template change log-likelihoods by more.
NATS_PER_TOKEN = 0.02
STOPPING = 0.05  # of the share of answers that end by themselves, as the smallest relevant difference of shares


@dataclass(frozen=True)
class Margins:
    """Largest differences that count as equivalent.

    Attributes:
        metrics: By `TASK/METRIC`, of which either part may be a pattern: absolute for shares, else as a share of the
            reference's score. Metrics without one have their smallest relevant difference.
        nats_per_token: Of the log-likelihoods' mean absolute difference, beyond what is explained.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    nats_per_token: float = NATS_PER_TOKEN

    def of(self, task: str, metric: MetricInfo, reference: float) -> float:
        """The margin of a metric, in its unit."""
        return margin_of(self.metrics, task, metric, reference)


DEFAULT = Margins()
__all__ = ["DEFAULT", "NATS_PER_TOKEN", "STOPPING", "Margins", "main_metrics", "margins_of"]


def margins_of(policy: Policy | None) -> Margins:
    """The margins of a policy's first `deployed_equals` rule; the defaults without one."""
    rules = [rule for rule in (policy.rules if policy else ()) if isinstance(rule, DeployedEquals)]
    if not rules:
        return DEFAULT
    most = rules[0].max_nats_per_token
    return Margins(rules[0].margins, NATS_PER_TOKEN if most is None else min(most, NATS_PER_TOKEN))
