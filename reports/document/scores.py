"""What a metric is, a figure with its interval, and the comparison of two models: parts of the results document."""

from __future__ import annotations

from typing import Literal

from reports.document.evidence import OptionalNoise
from reports.strict import Strict

MetricKind = Literal["mean", "proportion", "perplexity", "bits_per_byte", "macro_f1", "ece", "ratio", "other"]
Outcome = Literal["better", "worse", "different", "no detectable difference", "too few items", "not compared"]


class MetricInfo(Strict):
    """What a metric is and how it may be compared.

    Attributes:
        key: Its name in lm-eval and in the samples.
        title: Its name for people.
        kind: How values of single samples make up the figure: the mean of numbers; the share of ones; perplexity from
            (log-likelihood, tokens); bits per byte from (log-likelihood, bytes); macro-F1 from (gold, predicted)
            labels; ECE from (confidence, right or wrong); the ratio of the sums of two numbers; `other` where only
            lm-eval's own figure is known.
        higher_is_better: None where neither direction is better in itself, such as the length of the reasoning.
        percent: Whether people read it as a percentage.
        description: One sentence.
        secondary: Whether it only explains the others; Holm's correction runs over both groups apart.
        relevant: The smallest difference worth telling: absolute for shares, else as a share of the baseline's figure.
    """

    key: str
    title: str
    kind: MetricKind = "mean"
    higher_is_better: bool | None = None
    percent: bool = False
    description: str = ""
    secondary: bool = False
    relevant: float = 0.05

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is, 0 where neither."""
        return {True: 1, False: -1, None: 0}[self.higher_is_better]

    @property
    def is_share(self) -> bool:
        """Whether it lies between 0 and 1, so that its differences are told as they are and not relative to it."""
        return self.percent or self.kind in ("proportion", "macro_f1", "ece")


class Score(Strict):
    """One metric of one model on one task, with a 95 % interval where the samples allow one.

    Attributes:
        n: Items, however often each was asked.
        repeats: How many answers to each item, or adapters of a pool, it is the mean of.
        spread: Standard deviation of the figure between these.
    """

    model: str
    task: str
    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int
    repeats: int = 1
    spread: float | None = None


class Comparison(Strict):
    """One metric of two models on the same items: `candidate` minus `baseline`.

    Attributes:
        difference: Candidate's figure minus the baseline's.
        low: Lower end of the 95 % interval of the difference.
        high: Upper end.
        p_value: Two-sided, from the test named in `test`.
        p_adjusted: After Holm's correction over the primary or the secondary metrics of this pair of models.
        outcome: One word on it at the 5 % level after the correction: `better`, `worse`; `no detectable difference`
            where these items would have shown a relevant one, else `too few items`; `different` for a metric without a
            better direction; `not compared` where only lm-eval's own figure is known.
        units: Independent units: items, or groups of items that share a source.
        standard_error: Of the difference.
        degrees_of_freedom: Of the standard error; fewer than the units where it rests on a few seeds.
        discordant: Items that only the candidate and that only the baseline got right, for right/wrong metrics.
        effect_size: Cohen's g (the candidate's share of the discordant items, minus a half) for right/wrong metrics,
            else Cohen's d of the paired differences; the sign is the difference's.
        detectable: The smallest difference that these items detect with 80 % power at the corrected level.
        relevant: The smallest difference worth telling, in the metric's unit.
        items_needed: How many items would detect a relevant difference with 80 % power.
        noise: How the difference changes with the arithmetic; an annotation, which changes no outcome.
    """

    task: str
    metric: str
    baseline: str
    candidate: str
    n: int
    difference: float | None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    test: str = ""
    outcome: Outcome
    units: int | None = None
    standard_error: float | None = None
    degrees_of_freedom: float | None = None
    discordant: tuple[int, int] | None = None
    effect_size: float | None = None
    detectable: float | None = None
    relevant: float | None = None
    items_needed: int | None = None
    noise: OptionalNoise = None

    @property
    def is_within_noise(self) -> bool:
        """Whether the difference is not distinguishable from numerical noise; an annotation, never an outcome."""
        return self.noise is not None and self.noise.explains(self.difference)
