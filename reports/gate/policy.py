"""The policy of a gate as a strict pydantic model: which rules a candidate has to keep, and the default one.

A metric is named `TASK/METRIC`; either part may be a pattern such as `*`. Differences are candidate minus baseline.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Text = Annotated[str, Field(min_length=1, max_length=300)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Margin = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Confidence = Annotated[float, Field(ge=0.5, lt=1)]


_Bounded = TypeVar("_Bounded", bound="_OnMetric")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Named(_Section):
    """Any rule.

    Attributes:
        name: For people and CI; made from the rule where it is not given.
    """

    name: Text | None = None


class _OnMetric(_Named):
    """A rule over a metric, on all items or on some.

    Attributes:
        metric: `TASK/METRIC`.
        where: Only items with these values: `class` is the gold label, other names are fields of the item.
        ids: Only these items.
    """

    metric: Annotated[str, Field(pattern=r"^[^/]+/[^/]+$", max_length=200)]
    where: dict[Text, Text | list[Text]] = {}
    ids: list[Text] = []

    @field_validator("where", mode="before")
    @classmethod
    def _texts(cls, where: object) -> object:
        """YAML reads an unquoted yes or 3 as something else than the label that was meant."""
        for name, wanted in where.items() if isinstance(where, dict) else ():
            for each in wanted if isinstance(wanted, list) else [wanted]:
                if isinstance(each, bool | int | float):
                    shown = {True: "yes", False: "no"}[each] if isinstance(each, bool) else each
                    raise ValueError(  # noqa: TRY004 - pydantic reports only these
                        f'write the value of {name} in quotes, such as "{shown}"'
                    )
        return where


class Bound(_OnMetric):
    """The candidate's figure is at least `min` and at most `max`; with a `confidence`, so is its one-sided bound."""

    rule: Literal["bound"] = "bound"
    min: Finite | None = None
    max: Finite | None = None
    confidence: Confidence | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        return _need_bounds(self, self.min, self.max)


class Change(_OnMetric):
    """The difference is at least `min` and at most `max`; if `relative`, as a share of the baseline's figure."""

    rule: Literal["change"] = "change"
    min: Finite | None = None
    max: Finite | None = None
    relative: bool = False
    confidence: Confidence | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        return _need_bounds(self, self.min, self.max)


class Superiority(_OnMetric):
    """The candidate is shown to be better, by more than `margin`.

    Attributes:
        margin: Zero, or what it has to gain at least.
        relative: Whether margin and `detect` are shares of the baseline's figure; where it is not given, they are for
            all metrics but shares.
        detect: The gain that enough items would show; if these would have shown it and did not, the rule fails. Where
            it is not given, the smallest difference worth telling of the metric.
        confidence: One-sided.
    """

    rule: Literal["superiority"] = "superiority"
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    relative: bool | None = None
    detect: Margin | None = None
    confidence: Confidence = 0.95


class NonInferiority(_OnMetric):
    """The candidate is shown to lose less than `margin` (relative as above), at a one-sided `confidence`."""

    rule: Literal["non_inferiority"] = "non_inferiority"
    margin: Margin
    relative: bool | None = None
    confidence: Confidence = 0.95


class NoRegression(_OnMetric):
    """A loss of `margin` (relative as above) is ruled out, and the candidate is not shown to be worse at all.

    Attributes:
        margin: Where it is not given, the smallest difference worth telling of the metric.
        confidence: One-sided, of both; 0.975 calls worse what a two-sided test at 5 % does. What is called worse is
            corrected over all rules of this kind in a policy (Holm); ruling a loss out needs no correction, as all
            rules have to pass.
    """

    rule: Literal["no_regression"] = "no_regression"
    margin: Margin | None = None
    relative: bool | None = None
    confidence: Confidence = 0.975


class MustPass(_Named):
    """Each of these items has a value of at least `at_least` or at most `at_most`."""

    rule: Literal["must_pass"] = "must_pass"
    metric: Annotated[str, Field(pattern=r"^[^/*?\[]+/[^/*?\[]+$", max_length=200)]
    ids: Annotated[list[Text], Field(min_length=1)]
    at_least: Finite | None = None
    at_most: Finite | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least or at_most")
        return self


class PeakMemory(_Named):
    """Training took at most so many GiB (2^30 bytes) at its peak."""

    rule: Literal["peak_memory"] = "peak_memory"
    max_gib: Margin


class Throughput(_Named):
    """At least so many tokens a second: of training, or generated while scoring."""

    rule: Literal["throughput"] = "throughput"
    min_tokens_per_second: Margin
    of: Literal["training", "scoring"] = "training"


class AdapterSize(_Named):
    """The adapter's weights are at most so many MiB (2^20 bytes)."""

    rule: Literal["adapter_size"] = "adapter_size"
    max_mib: Margin


class Truncated(_Named):
    """At most this share of the generated answers was cut off at the token limit."""

    rule: Literal["truncated"] = "truncated"
    max_share: Annotated[float, Field(ge=0, le=1)] = 0.0


class Leakage(_Named):
    """At most so many test items are (nearly) equal to a row that the candidate was trained on."""

    rule: Literal["leakage"] = "leakage"
    max_items: Annotated[int, Field(ge=0)] = 0


class Contamination(_Named):
    """At most so many test items share a long run of words with a row that the candidate was trained on."""

    rule: Literal["contamination"] = "contamination"
    max_items: Annotated[int, Field(ge=0)] = 0


class Complete(_Named):
    """Every task was finished: all items answered, every metric has a figure."""

    rule: Literal["complete"] = "complete"


OnMetric = Bound | Change | Superiority | NonInferiority | NoRegression
Operational = PeakMemory | Throughput | AdapterSize | Truncated | Leakage | Contamination | Complete
AnyRule = OnMetric | MustPass | Operational
Rule = Annotated[AnyRule, Field(discriminator="rule")]


class Policy(_Section):
    """What a candidate has to keep to be released.

    Attributes:
        version: Of this format.
        inconclusive: Whether a rule that cannot be decided blocks.
        power: Probability with which the number of items that the gate asks for shows what a rule looks for.
        rules: All have to pass.
    """

    version: Literal[1] = 1
    inconclusive: Literal["block", "pass"] = "block"
    power: Annotated[float, Field(ge=0.5, le=0.99)] = 0.8
    rules: Annotated[list[Rule], Field(min_length=1)]

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        names = [rule.name for rule in self.rules if rule.name]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the name {twice[0]} is given to two rules")
        return self


DEFAULT = Policy(rules=[Complete(), Leakage(), Contamination(), NoRegression(metric="*/*")])


def rule_name(rule: AnyRule) -> str:
    """A rule's own name, or one made from what it says."""
    if rule.name:
        return rule.name
    words = rule.rule.replace("_", " ")
    if not isinstance(rule, OnMetric | MustPass):
        return words
    limits = {
        key: value
        for key, value in rule.model_dump(exclude_defaults=True).items()
        if key not in ("rule", "name", "metric", "where", "ids")
    }
    found = f"{words}: {rule.metric}"
    if limits:
        found += f" ({', '.join(f'{key} {value}' for key, value in limits.items())})"
    return found + slice_text(rule)


def slice_text(rule: OnMetric | MustPass) -> str:
    """Which items a rule looks at, in brackets; empty for all."""
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
