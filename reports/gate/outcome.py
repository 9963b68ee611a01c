"""What a gate found, as pydantic models: `gate.json`.

`schema_version` follows semantic versioning. A number that could not be had is null, never NaN.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reports.gate.policy import Policy
from reports.strict import Strict

SCHEMA_VERSION = "1.1"

Verdict = Literal["pass", "fail", "inconclusive"]
Outcome = Literal["better", "worse", "equivalent", "different", "inconclusive", "identical"]
EXIT_CODES: dict[Verdict, int] = {"pass": 0, "fail": 1, "inconclusive": 3}


class MovedSample(Strict):
    """An item that moved a rule, with its values: a number, or a pair as the metric's kind wants it.

    Attributes:
        weight: How much it moved the rule's figure; more negative is worse.
        answer: The start of the candidate's answer.
        gold: The start of the gold answer.
    """

    id: str
    task: str
    baseline: float | tuple[float, ...] | None = None
    candidate: float | tuple[float, ...] | None = None
    weight: float | None = None
    answer: str = ""
    gold: str = ""


class RuleResult(Strict):
    """One rule on one metric.

    Attributes:
        name: Unique in the document.
        rule: Its kind.
        task: None for rules over no task.
        slice: Which items it looks at; empty for all.
        verdict: `inconclusive` where the items are too few for what the rule asks.
        reason: One sentence.
        value: The candidate's figure.
        baseline: The baseline's figure.
        difference: Candidate minus baseline.
        outcome: The difference in a word, read off `low` and `high`: `better` or `worse` where 0 is outside
            (`different` where neither direction is better), `equivalent` where both are closer to 0 than the margin,
            else `inconclusive`; `identical` where no item differs. None where nothing is compared.
        low: Lower end of the difference at the rule's one-sided confidence, of the figure itself for `bound`.
        high: Upper end, likewise.
        limit: What the figure or the difference is held against.
        p_value: One-sided, of what lets the rule pass: that the limit is exceeded. Of `no_regression`, of what makes it
            fail: that the candidate is worse.
        p_adjusted: The same after Holm's correction over all `no_regression` rules.
        n: Items that it rests on.
        items_needed: How many items it takes, with the policy's power; None where these are enough, or no number is.
        moved: The items that moved it most, worst first; empty where it passed.
    """

    name: str
    rule: str
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


class Party(Strict):
    """The candidate or the baseline: the run, the model in it, and the hash of its weights."""

    run: str
    model: str
    sha256: str = ""
    created: str = ""


class GateReport(Strict):
    """The whole finding.

    Attributes:
        verdict: `fail` if any rule failed; else `inconclusive` if any was and the policy blocks those; else `pass`.
        exit_code: What the command ends with.
        reason: One sentence.
    """

    schema_version: str = SCHEMA_VERSION
    medbench_version: str
    policy: Policy
    policy_sha256: str
    candidate: Party
    baseline: Party
    verdict: Verdict
    exit_code: Literal[0, 1, 3]
    reason: str
    rules: list[RuleResult]
