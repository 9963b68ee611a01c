"""The gate report as pydantic models: the schema of `gate.json`.

`schema_version` follows semantic versioning. A missing number is null, never NaN.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reports.document.schema import MetricInfo
from reports.gate.policy import Policy
from reports.strict import Strict

SCHEMA_VERSION = "1.6"

SHARE = "share"  # unit of values between 0 and 1

Verdict = Literal["pass", "fail", "inconclusive"]
Outcome = Literal["better", "worse", "equivalent", "different", "inconclusive", "identical"]
EXIT_CODES: dict[Verdict, int] = {"pass": 0, "fail": 1, "inconclusive": 3}


class MovedSample(Strict):
    """An item that moved a rule, with the values of both models: numbers or pairs, depending on the metric's kind.

    Attributes:
        baseline: The baseline's values of the item.
        candidate: The candidate's.
        baseline_score: What they come to in the metric's unit, such as the perplexity of this text.
        candidate_score: The same for the candidate.
        weight: How much it moved the rule's value; more negative is worse.
        question: Start of the question.
        baseline_answer: Start of the baseline's answer; empty if the baseline is stored without texts.
        answer: Start of the candidate's answer.
        gold: Start of the gold answer.
    """

    id: str
    task: str
    baseline: float | tuple[float, ...] | None = None
    candidate: float | tuple[float, ...] | None = None
    baseline_score: float | None = None
    candidate_score: float | None = None
    weight: float | None = None
    question: str = ""
    baseline_answer: str = ""
    answer: str = ""
    gold: str = ""


class RuleResult(Strict):
    """The result of one rule on one metric.

    Attributes:
        name: Unique in the document.
        label: The name that the policy gives the rule; empty if it gives none.
        rule: Its kind.
        advisory: Whether it is only reported and never blocks.
        against: The baseline that it compares with, if there are several; else empty.
        task: None for rules that are not about a task.
        subject: What is judged, such as `Accuracy (PubMedQA)`; empty for rules that are not about a metric.
        info: The metric; None for other rules.
        slice: Which items it covers; empty for all. Of a failed `no_bad_slice`, the slice that the numbers are of.
        verdict: `inconclusive` if there are too few items to decide the rule.
        reason: One sentence.
        value: The candidate's value, in the unit of `info`, else in `unit`.
        unit: Unit of the value of a rule that is not about a metric; `SHARE` for shares.
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
    label: str = ""
    rule: str
    advisory: bool = False
    against: str = ""
    task: str | None = None
    metric: str | None = None
    subject: str = ""
    info: MetricInfo | None = None
    slice: str = ""
    verdict: Verdict
    reason: str
    value: float | None = None
    unit: str = ""
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
        source: Hub id, built-in name or folder's name of the model.
        base: The same of the base of an adapter; empty for other models.
        trained_on: Source and number of the rows that the run trained it on; empty if the run did not train it.
    """

    run: str
    model: str
    source: str = ""
    base: str = ""
    trained_on: str = ""
    sha256: str = ""
    created: str = ""
    has_weights: bool = False

    @property
    def label(self) -> str:
        """`MODEL of RUN`."""
        return f"{self.model} of {self.run}"


class ChangedItem(Strict):
    """A question that one of the two models answered better, with the start of its texts.

    Attributes:
        baseline: The baseline's value.
        candidate: The candidate's.
        baseline_answer: Empty if the baseline is stored without texts.
    """

    id: str
    question: str
    gold: str
    baseline: float
    candidate: float
    baseline_answer: str = ""
    candidate_answer: str = ""


class SliceChange(Strict):
    """How many questions of a slice, such as one speciality, were answered better and worse than by the baseline."""

    column: str
    value: str
    items: int
    gained: int
    lost: int


class TaskChanges(Strict):
    """The questions of a task whose answers are better or worse than the first baseline's.

    Attributes:
        title: Short title of the task.
        metric: The metric that says which of two answers is better.
        items: Number of questions that both answered.
        gained: Number of questions with a better answer.
        lost: Number of questions with a worse one.
        changed: The questions that changed most, worse ones first.
        slices: Gains and losses by gold label and by the short columns of the data.
    """

    task: str
    title: str
    metric: MetricInfo
    items: int
    gained: int
    lost: int
    changed: list[ChangedItem] = Field(default_factory=list)
    slices: list[SliceChange] = Field(default_factory=list)


class GateReport(Strict):
    """The whole report.

    Attributes:
        baseline: The first baseline.
        baselines: All baselines.
        verdict: `fail` if any rule failed; else `inconclusive` if any was and the policy blocks those; else `pass`.
            Advisory rules do not count.
        exit_code: Exit code of the command.
        reason: One sentence.
        prompts: What the candidate was prompted with otherwise than a baseline; empty if nothing differs.
        data: Title and setting of the candidate's tasks.
        advice: What to change, by setting, so that rules without a decision get one.
        changes: The questions that changed, by task.
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
    prompts: str = ""
    data: list[str] = Field(default_factory=list)
    advice: list[str] = Field(default_factory=list)
    changes: list[TaskChanges] = Field(default_factory=list)

    def blocks(self, rule: RuleResult) -> bool:
        """Whether a rule keeps the candidate from passing."""
        undecided = rule.verdict == "inconclusive" and self.policy.inconclusive == "block"
        return not rule.advisory and (rule.verdict == "fail" or undecided)
