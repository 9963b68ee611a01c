"""The policy of a gate as a strict pydantic model: the rules that a candidate has to pass, and the default policy.

A metric is named `TASK/METRIC`; either part may be a pattern such as `*`. Differences are candidate minus baseline.
Longer than other files, so that all rules are in one place.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from reports.names import PlainName

Text = Annotated[str, Field(min_length=1, max_length=300)]
Margin = Annotated[float, Field(gt=0)]
Confidence = Annotated[float, Field(ge=0.5, lt=1)]
MetricName = Annotated[str, Field(pattern=r"^[^/]+/[^/]+$", max_length=200)]


_Bounded = TypeVar("_Bounded", bound="MetricRule")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NamedRule(_Section):
    """Any rule.

    Attributes:
        name: Shown in reports and CI; made from the rule if not given.
        advisory: Whether it is only reported and never blocks.
    """

    name: Text | None = None
    advisory: bool = False


class MetricRule(NamedRule):
    """A rule about a metric, on all items or on some.

    Attributes:
        metric: `TASK/METRIC`.
        where: Only items with these values: `class` is the gold label, other names are fields of the item.
        ids: Only these items.
    """

    metric: MetricName
    where: dict[Text, Text | list[Text]] = {}
    ids: list[Text] = []

    @field_validator("where", mode="before")
    @classmethod
    def _texts(cls, where: object) -> object:
        """Reject unquoted values such as yes or 3, which YAML does not read as text."""
        for name, wanted in where.items() if isinstance(where, dict) else ():
            for value in wanted if isinstance(wanted, list) else [wanted]:
                if isinstance(value, bool | int | float):
                    shown = {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
                    raise ValueError(  # noqa: TRY004 - pydantic reports only these
                        f'write the value of {name} in quotes, such as "{shown}"'
                    )
        return where


class Bound(MetricRule):
    """The candidate's value is at least `min` and at most `max`; with a `confidence`, so is its one-sided bound.

    Attributes:
        min: Smallest value.
        max: Largest value.
        confidence: One-sided; the value itself is compared if not given.
    """

    rule: Literal["bound"] = "bound"
    min: float | None = None
    max: float | None = None
    confidence: Confidence | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        return _need_bounds(self, self.min, self.max)


class Change(MetricRule):
    """The difference is at least `min` and at most `max`; if `relative`, as a share of the baseline's value.

    Attributes:
        min: Smallest difference.
        max: Largest difference.
        relative: Whether both are shares of the baseline's value.
        confidence: One-sided; the difference itself is compared if not given.
    """

    rule: Literal["change"] = "change"
    min: float | None = None
    max: float | None = None
    relative: bool = False
    confidence: Confidence | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        return _need_bounds(self, self.min, self.max)


class Superiority(MetricRule):
    """The candidate is shown to be better by more than `margin`.

    Attributes:
        margin: Zero, or the smallest gain required.
        relative: Whether margin and `detect` are shares of the baseline's value; if not given, they are for all
            metrics that are not shares themselves.
        detect: The gain beyond the margin to look for; the rule fails if there are enough items to show it and they
            do not. The metric's smallest relevant difference if not given.
        confidence: One-sided.
    """

    rule: Literal["superiority"] = "superiority"
    margin: Annotated[float, Field(ge=0)] = 0.0
    relative: bool | None = None
    detect: Margin | None = None
    confidence: Confidence = 0.95


class NonInferiority(MetricRule):
    """The candidate is shown to lose less than `margin` (relative as above), at a one-sided `confidence`.

    Attributes:
        margin: The smallest loss that matters.
        relative: As for `superiority`.
        confidence: One-sided.
    """

    rule: Literal["non_inferiority"] = "non_inferiority"
    margin: Margin
    relative: bool | None = None
    confidence: Confidence = 0.95


class NoRegression(MetricRule):
    """A loss of `margin` (relative as above) is ruled out, and the candidate is not shown to be worse at all.

    Attributes:
        margin: The metric's smallest relevant difference if not given.
        relative: As for `superiority`.
        confidence: One-sided, of both tests; 0.975 calls a candidate worse where a two-sided test at 5 % does. That
            test is corrected over all rules of this kind in a policy (Holm); ruling a loss out needs no correction,
            as all rules have to pass.
    """

    rule: Literal["no_regression"] = "no_regression"
    margin: Margin | None = None
    relative: bool | None = None
    confidence: Confidence = 0.975


class NoBadSlice(MetricRule):
    """No slice of the items is shown to lose more than `margin` (relative as above).

    It shows losses and rules none out: slices of fewer than ten items are not tested, and small ones show little.

    Attributes:
        by: Columns of the data; `class` is the gold label, `length` the characters of the question where no column has
            that name. Columns of numbers are divided into quarters.
        margin: Zero blocks every slice that is shown to be worse at all.
        relative: As for `superiority`.
        confidence: One-sided; the tests are corrected over all slices of all rules of this kind in a policy (Benjamini
            and Hochberg).
    """

    rule: Literal["no_bad_slice"] = "no_bad_slice"
    by: Annotated[list[Text], Field(min_length=1)]
    margin: Annotated[float, Field(ge=0)] = 0.0
    relative: bool | None = None
    confidence: Confidence = 0.975

    @field_validator("by", mode="before")
    @classmethod
    def _listed(cls, by: object) -> object:
        return [by] if isinstance(by, str) else by


class MustPass(NamedRule):
    """Each of these items has a value of at least `at_least` and at most `at_most`.

    Attributes:
        metric: `TASK/METRIC`, no pattern.
        ids: The items.
        at_least: Smallest value of an item.
        at_most: Largest value of an item.
    """

    rule: Literal["must_pass"] = "must_pass"
    metric: Annotated[str, Field(pattern=r"^[^/*?\[]+/[^/*?\[]+$", max_length=200)]
    ids: Annotated[list[Text], Field(min_length=1)]
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least or at_most")
        return self


class PeakMemory(NamedRule):
    """Peak memory of training, at most `max_gib` GiB (2^30 bytes).

    Attributes:
        max_gib: Largest peak.
    """

    rule: Literal["peak_memory"] = "peak_memory"
    max_gib: Margin


class Throughput(NamedRule):
    """Tokens per second of training, or generated while scoring.

    Attributes:
        min_tokens_per_second: Smallest number.
        of: Which of the two.
    """

    rule: Literal["throughput"] = "throughput"
    min_tokens_per_second: Margin
    of: Literal["training", "scoring"] = "training"


class AdapterSize(NamedRule):
    """Size of the adapter's weights, at most `max_mib` MiB (2^20 bytes).

    Attributes:
        max_mib: Largest size.
    """

    rule: Literal["adapter_size"] = "adapter_size"
    max_mib: Margin


class Truncated(NamedRule):
    """Share of the generated answers that were cut off at the token limit.

    Attributes:
        max_share: Largest share, from 0 to 1.
    """

    rule: Literal["truncated"] = "truncated"
    max_share: Annotated[float, Field(ge=0, le=1)] = 0.0


class _Overlap(NamedRule):
    """A rule about test items among the training data.

    Attributes:
        max_items: Largest number of such items.
        unknown: Verdict if the candidate's training data is unknown.
    """

    max_items: Annotated[int, Field(ge=0)] = 0
    unknown: Literal["fail", "pass"] = "fail"


class Leakage(_Overlap):
    """Number of test items that are (nearly) equal to a row that the candidate was trained on."""

    rule: Literal["leakage"] = "leakage"


class Contamination(_Overlap):
    """Number of test items that share a long run of words with a row that the candidate was trained on."""

    rule: Literal["contamination"] = "contamination"


class Complete(NamedRule):
    """Every task is finished: all items are answered, every metric has a value."""

    rule: Literal["complete"] = "complete"


class DeployedEquals(NamedRule):
    """A certificate of `verify` in the run folder says that the deployed model equals the candidate.

    Attributes:
        file: Name of the certificate.
        margins: Largest differences by `TASK/METRIC`, of which either part may be a pattern: absolute for shares, else
            as a share of the candidate's value. The metric's smallest relevant difference if not given.
        max_nats_per_token: Largest mean absolute difference of log-likelihoods, explained or not.
        tasks: Tasks that the certificate has to cover; all that the candidate is judged on if empty.
    """

    rule: Literal["deployed_equals"] = "deployed_equals"
    file: PlainName = "verify.json"
    margins: dict[MetricName, Margin] = {}
    max_nats_per_token: Margin | None = None
    tasks: list[Text] = []


OnMetric = Bound | Change | Superiority | NonInferiority | NoRegression | NoBadSlice
Operational = PeakMemory | Throughput | AdapterSize | Truncated | Leakage | Contamination | Complete | DeployedEquals
AnyRule = OnMetric | MustPass | Operational
Rule = Annotated[AnyRule, Field(discriminator="rule")]


class Policy(_Section):
    """The rules that a candidate has to pass to be released.

    Attributes:
        version: Version of this format.
        inconclusive: Whether a rule that cannot be decided blocks.
        power: Power that the number of items asked for gives each rule.
        required: Tasks that the candidate has to be scored on, with a value of every primary metric.
        rules: All that are not advisory have to pass.
    """

    version: Annotated[int, Field(ge=1, le=1)] = 1  # a literal 1 would accept true
    inconclusive: Literal["block", "pass"] = "block"
    power: Annotated[float, Field(ge=0.5, le=0.99)] = 0.8
    required: list[Text] = []
    rules: Annotated[list[Rule], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if pattern := next((task for task in self.required if "/" in task or is_pattern(task)), None):
            raise ValueError(f"required lists the names of tasks, and {pattern} is none")
        names = [rule.name for rule in self.rules if rule.name]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the name {twice[0]} is given to two rules")
        return self


DEFAULT = Policy(rules=[Complete(), Leakage(), Contamination(), NoRegression(metric="*/*")])


def is_pattern(metric: str) -> bool:
    """Whether a rule's metric has wildcards."""
    return bool(set("*?[") & set(metric))


def rule_name(rule: AnyRule) -> str:
    """A rule's own name, or one made from its settings."""
    if rule.name:
        return rule.name
    kind = rule.rule.replace("_", " ")
    if not isinstance(rule, OnMetric | MustPass):
        return kind
    limits = {
        key: value
        for key, value in rule.model_dump(exclude_defaults=True).items()
        if key not in ("metric", "where", "ids", "advisory")
    }
    text = f"{kind}: {rule.metric}"
    if limits:
        shown = {key: " and ".join(value) if isinstance(value, list) else value for key, value in limits.items()}
        text += f" ({', '.join(f'{key} {value}' for key, value in shown.items())})"
    return text + slice_text(rule)


def slice_text(rule: OnMetric | MustPass) -> str:
    """The items that a rule covers, in brackets; empty for all."""
    parts = []
    for name, wanted in (rule.where if not isinstance(rule, MustPass) else {}).items():
        parts.append(f"{name} {' or '.join([wanted] if isinstance(wanted, str) else wanted)}")
    if rule.ids:
        parts.append(f"{len(rule.ids)} listed item{'s' if len(rule.ids) > 1 else ''}")
    return f" [{', '.join(parts)}]" if parts else ""


def _need_bounds(rule: _Bounded, low: float | None, high: float | None) -> _Bounded:
    if low is None and high is None:
        raise ValueError("give min, max or both")
    if low is not None and high is not None and low > high:
        raise ValueError(f"min {low:g} is above max {high:g}")
    return rule
