"""Parts of the results document: a metric, a score with its interval, and the comparison of two models."""

from __future__ import annotations

from typing import Literal

from reports.document.evidence import Noise
from reports.strict import Strict

MetricKind = Literal[
    "mean", "proportion", "perplexity", "bits_per_byte", "macro_f1", "ece", "ratio", "batch_calibrated", "other"
]
Outcome = Literal[
    "better", "worse", "different", "equivalent", "identical", "inconclusive", "not tested", "not compared"
]


class MetricInfo(Strict):
    """A metric and how models may be compared by it.

    Attributes:
        key: Name in lm-eval and in the samples.
        title: Display name.
        kind: How the score is computed from sample values: the mean of numbers; the share of ones; perplexity from
            (log-likelihood, tokens); bits per byte from (log-likelihood, bytes); macro-F1 from (gold, predicted)
            labels; ECE from (confidence, right or wrong); the ratio of the sums of two numbers; the share of right
            labels after batch calibration from (gold, log-likelihood of each label); `other` if only lm-eval's own
            score is known.
        higher_is_better: None if neither direction is better in itself, such as for the length of the reasoning.
        percent: Whether it is displayed as a percentage.
        description: One sentence.
        secondary: Whether it only explains the others; primary and secondary metrics are corrected separately.
        descriptive: Whether it is shown but not tested, since another metric tests the same thing or no test of it
            holds its level.
        relevant: The smallest relevant difference: absolute for shares, else as a share of the baseline's score.
    """

    key: str
    title: str
    kind: MetricKind = "mean"
    higher_is_better: bool | None = None
    percent: bool = False
    description: str = ""
    secondary: bool = False
    descriptive: bool = False
    relevant: float = 0.05

    @property
    def sign(self) -> int:
        """1 if higher is better, -1 if lower is, 0 if neither."""
        return {True: 1, False: -1, None: 0}[self.higher_is_better]

    @property
    def is_main(self) -> bool:
        """Whether it decides: neither secondary nor descriptive."""
        return not (self.secondary or self.descriptive)

    @property
    def is_share(self) -> bool:
        """Whether it lies between 0 and 1, so that relevant differences are absolute rather than relative."""
        return self.percent or self.kind in ("proportion", "macro_f1", "ece", "batch_calibrated")


class Score(Strict):
    """One metric of one model on one task, with a 95 % interval if the samples allow one.

    Attributes:
        n: Number of items, regardless of repeats.
        repeats: Number of answers per item, or adapters of a pool, that it is the mean of.
        spread: Standard deviation of the score between these.
        caution: Why the interval is unreliable; empty if it is reliable.
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
    caution: str = ""


class Comparison(Strict):
    """One metric of two models on the same items: `candidate` minus `baseline`.

    Attributes:
        difference: Candidate's score minus the baseline's.
        low: Lower end of the interval of the difference at `level`, which inverts the test; the outcome is read off it.
        high: Upper end.
        level: Two-sided level of test and interval after the correction for the other comparisons: 0.01 belongs to a
            99 % interval.
        p_value: Two-sided, from the test named in `test`.
        p_adjusted: After the correction over the primary or the secondary metrics of all compared models (Holm 1979,
            without hypotheses that these items cannot reject, Tarone 1990).
        outcome: Read off the interval: `better`, `worse`, `different` (no direction is better), `equivalent` (the
            interval lies inside the smallest relevant difference) or `inconclusive`; `identical` if no item differs;
            `not tested` for descriptive metrics; `not compared` if the two have no values of the same items.
        differing: Number of items whose values differ between the two models.
        units: Number of independent units: items, or clusters of items that share a source.
        standard_error: Standard error of the difference.
        degrees_of_freedom: Degrees of freedom of the standard error; None for score tests.
        discordant: Items that only the candidate and only the baseline got right, for right/wrong metrics.
        effect_size: Cohen's g (the candidate's share of the discordant items, minus a half) for right/wrong metrics,
            else Cohen's d of the paired differences; the sign is the difference's.
        relevant: The smallest relevant difference, in the metric's unit.
        items_needed: For an inconclusive comparison, how many items detect a relevant difference with 80 % power or,
            where these do already, show that equal models are equivalent.
        caution: Why interval and test are unreliable; empty if they are reliable.
        noise: Numerical noise of the difference, an annotation that no outcome depends on.
    """

    task: str
    metric: str
    baseline: str
    candidate: str
    n: int
    difference: float | None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    test: str = ""
    outcome: Outcome
    differing: int | None = None
    units: int | None = None
    standard_error: float | None = None
    degrees_of_freedom: float | None = None
    discordant: tuple[int, int] | None = None
    effect_size: float | None = None
    relevant: float | None = None
    items_needed: int | None = None
    caution: str = ""
    noise: Noise | None = None

    @property
    def is_within_noise(self) -> bool:
        """Whether the difference is not distinguishable from numerical noise; an annotation, never an outcome."""
        return self.noise is not None and self.noise.explains(self.difference)
