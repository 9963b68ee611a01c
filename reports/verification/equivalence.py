"""Equivalence of a deployed model to the evaluated one: metrics, log-likelihoods, answers, prompts and ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reports.document.schema import Sample, TaskInfo
from reports.document.verification import EndsPart, PromptsPart, VerificationParts
from reports.gate.policy import Policy

NATS_PER_TOKEN = 0.02

Answers = Mapping[str, Sequence[Sample]]  # by task


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


@dataclass(frozen=True)
class Explanation:
    """Answers that show how large a difference rounding or another kernel makes.

    Attributes:
        kind: `rounding` or `kernel`, as in `ExplainedPart`.
        description: One sentence for the certificate.
        before: For rounding the reference's answers, for a kernel the base's through the engine of the run.
        after: For rounding those of our own weights rounded the same way, for a kernel the base's through the target's.
        is_exact: Whether `after` predicts the target's log-likelihoods item by item, so that the target is compared
            with it; else only the size of the difference is explained.
    """

    kind: str
    description: str
    before: Answers
    after: Answers
    is_exact: bool = False


def margins_of(policy: Policy | None) -> Margins:
    """The margins of a policy's first `deployed_equals` rule; the defaults without one."""
    raise NotImplementedError


def judge(
    tasks: Sequence[TaskInfo],
    reference: Answers,
    target: Answers,
    *,
    margins: Margins = Margins(),
    explained: Sequence[Explanation] = (),
    prompts: PromptsPart | None = None,
    ends: EndsPart | None = None,
) -> VerificationParts:
    """Compare both models' answers to the same items.

    Args:
        tasks: The tasks to compare, with their metrics.
        reference: The evaluated model's samples.
        target: The deployed model's; a task or item that it lacks is an error of the caller's.
        margins: Largest differences that count as equivalent.
        explained: What explains differences, at most one of each kind.
        prompts: Comparison of the prompts; the caller sees their tokens.
        ends: End tokens of both; the numbers of answers that ended are filled in here.

    Raises:
        UserError: The two have no items in common, or their items differ.
    """
    raise NotImplementedError
