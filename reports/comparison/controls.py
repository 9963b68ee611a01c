"""Whether a gain on the target exceeds the gain on a control, where nothing can be known: fictional medicine.

Target and control are different questions. Each gain is paired, the two are independent, so their difference is twice
the mean of the one and the negated other, with the interval of `reports.comparison.strata`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reports.comparison.adapter_cost import Effect, effects
from reports.comparison.compare_models import Tested, finite, judge
from reports.comparison.counts import scaled, score_test
from reports.comparison.inference import Inference
from reports.comparison.strata import difference_stratum, mean_of_differences
from reports.document.schema import Comparison, Results
from reports.document.suites import MEAN_ACCURACY

NO_GAIN = "no gain on the target is shown"
MORE = "more than style and format explain"
STYLE = "style or format, not knowledge"
NOT_DECIDED = "not decided"


@dataclass(frozen=True)
class Controlled:
    """A gain on the target beside that on a control.

    Attributes:
        target: The effect on the target.
        control: The effect on the control.
        excess: The gain on the target minus that on the control; corrected over all such pairs of a document.
    """

    target: Effect
    control: Effect
    excess: Comparison

    @property
    def conclusion(self) -> str:
        """What the intervals say.

        Style or format is the word only if the control gains too, and a gain on the target that is larger by the
        smallest relevant difference is ruled out.
        """
        low, high, margin = self.excess.low, self.excess.high, self.excess.relevant
        if self.target.pair.outcome != "better":
            return NO_GAIN
        if low is None or high is None or margin is None:
            return NOT_DECIDED
        if low > 0:
            return MORE
        return STYLE if self.control.pair.outcome == "better" and high < margin else NOT_DECIDED


def controlled_gains(results: Results) -> list[Controlled]:
    """Every gain in right answers on the target beside each control that was scored, by model."""
    drawn = list(_pairs(results))
    judged = judge([tested for _, _, tested in drawn], plan=False)
    return [Controlled(target, control, pair) for (target, control, _), pair in zip(drawn, judged, strict=True)]


def _pairs(results: Results) -> Iterator[tuple[Effect, Effect, Tested]]:
    for model in results.models:
        listed = effects(results, model.name)
        for target in listed:
            gain = _inference(results, target) if target.purpose == "target" else None
            for control in listed if gain else ():
                control_gain = _inference(results, control) if control.purpose == "control" else None
                if gain and control_gain:
                    yield target, control, _tested(target, control, gain, control_gain)


def _inference(results: Results, effect: Effect) -> Inference | None:
    """The inference about a paired difference of right answers; None for other metrics and clustered items."""
    if not effect.is_mean:
        discordant = effect.pair.discordant
        return None if discordant is None else score_test(*discordant, effect.pair.n)
    suite = next(suite for suite in results.suites if suite.name == effect.pair.task)
    pairs = results.comparisons_by_key()
    parts = [pairs.get((effect.pair.candidate, task, metric)) for task, metric in suite.parts.items()]
    tests = [score_test(*part.discordant, part.n) for part in parts if part is not None and part.discordant is not None]
    return mean_of_differences([difference_stratum(test) for test in tests]) if len(tests) == len(parts) else None


def _tested(target: Effect, control: Effect, gain: Inference, control_gain: Inference) -> Tested:
    """The gain on the target minus that on the control, before the correction."""
    strata = [difference_stratum(gain), difference_stratum(control_gain.mirrored())]
    excess = scaled(mean_of_differences(strata), 2.0)
    draft = Comparison(
        task=target.pair.task,
        metric=target.pair.metric,
        baseline=target.pair.baseline,
        candidate=target.pair.candidate,
        n=target.pair.n + control.pair.n,
        difference=finite(excess.estimate),
        outcome="inconclusive",
        differing=(target.pair.differing or 0) + (control.pair.differing or 0),
        relevant=target.pair.relevant,
    )
    return Tested(draft, MEAN_ACCURACY, excess)
