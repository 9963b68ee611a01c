"""The gate report as pydantic models: the schema of `gate.json`.

`schema_version` follows semantic versioning. A missing number is null, never NaN.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reports.gate.policy import Policy
from reports.strict import Strict

SCHEMA_VERSION = "1.5"

Verdict = Literal["pass", "fail", "inconclusive"]
Outcome = Literal["better", "worse", "equivalent", "different", "inconclusive", "identical"]
EXIT_CODES: dict[Verdict, int] = {"pass": 0, "fail": 1, "inconclusive": 3}


class MovedSample(Strict):
    """An item that moved a rule, with the values of both models: numbers or pairs, depending on the metric's kind.

    Attributes:
        weight: How much it moved the rule's value; more negative is worse.
        answer: Start of the candidate's answer.
        gold: Start of the gold answer.
    """

    id: str
    task: str
    baseline: float | tuple[float, ...] | None = None
    candidate: float | tuple[float, ...] | None = None
    weight: float | None = None
    answer: str = ""
    gold: str = ""


class RuleResult(Strict):
    """The result of one rule on one metric.

    Attributes:
        name: Unique in the document.
        rule: Its kind.
        advisory: Whether it is only reported and never blocks.
        against: The baseline that it compares with, if there are several; else empty.
        task: None for rules that are not about a task.
        slice: Which items it covers; empty for all. Of a failed `no_bad_slice`, the slice that the numbers are of.
        verdict: `inconclusive` if there are too few items to decide the rule.
        reason: One sentence.
        value: The candidate's value.
        baseline: The baseline's value.
        difference: Candidate minus baseline.
        outcome: The difference in a word, read off `low` and `high`: `better` or `worse` if 0 is outside (`different`
            if neither direction is better), `equivalent` if both are closer to 0 than the margin, else
            `inconclusive`; `identical` if no item differs. None if nothing is compared.
        low: Lower bound of the difference (for `bound`: of the value) at the rule's one-sided confidence.
        high: Upper bound, likewise.
        limit: What the value or the difference is compared with.
        p_value: One-sided p-value of what makes the rule pass: that the limit is exceeded. For `no_regression` and
            `no_bad_slice`, of what makes it fail: that the candidate is worse (by more than the margin).
        p_adjusted: The same after Holm's correction over all `no_regression` rules, or over all slices of all
            `no_bad_slice` rules (Benjamini and Hochberg); the smallest of these if none fails.
        n: Number of items.
        items_needed: Number of items that decide the rule with the policy's power; None if there are enough already,
            or no number is enough.
        moved: The items that moved it most, worst first; empty if it passed.
    """

    name: str
    rule: str
    advisory: bool = False
    against: str = ""
    task: str | None = None
    metric: str | None = None
    slice: str = ""
    verdict: Verdict
    reason: str
    value: float | None = None
    baseline: float | None = None
    difference: float | None = None
    outcome: Outcome | None = None
    low: float | None = None
    high: float | None = None
    limit: str = ""
    p_value: float | None = None
    p_adjusted: float | None = None
    n: int = 0
    items_needed: int | None = None
    moved: list[MovedSample] = Field(default_factory=list)


class GateInputInfo(Strict):
    """The candidate or the baseline: the run, the model in it, and the hash of its weights.

    Attributes:
        has_weights: Whether the weights are in the run folder, and are those that were scored.
    """

    run: str
    model: str
    sha256: str = ""
    created: str = ""
    has_weights: bool = False

    @property
    def label(self) -> str:
        """`MODEL of RUN`."""
        return f"{self.model} of {self.run}"


class GateReport(Strict):
    """The whole report.

    Attributes:
        baseline: The first baseline.
        baselines: All baselines.
        verdict: `fail` if any rule failed; else `inconclusive` if any was and the policy blocks those; else `pass`.
            Advisory rules do not count.
        exit_code: Exit code of the command.
        reason: One sentence.
    """

    schema_version: str = SCHEMA_VERSION
    medbench_version: str
    policy: Policy
    policy_sha256: str
    candidate: GateInputInfo
    baseline: GateInputInfo
    baselines: list[GateInputInfo]
    verdict: Verdict
    exit_code: Literal[0, 1, 3]
    reason: str
    rules: list[RuleResult]

    def blocks(self, rule: RuleResult) -> bool:
        """Whether a rule keeps the candidate from passing."""
        undecided = rule.verdict == "inconclusive" and self.policy.inconclusive == "block"
        return not rule.advisory and (rule.verdict == "fail" or undecided)
