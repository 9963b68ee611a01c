"""Synthetic raters and a synthetic judge of answers, whose marks follow a hidden quality that is drawn by a fixed seed.

Nobody reads an answer: the quality follows from its hash and its model, so that the true difference of two models is
known, and says nothing about them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import NormalDist

from reports.rating_sheet import MARKS
from tests.harness.judging.fake_judge import FakeJudge, answers_of, scores

SEED = 42
RATERS = {"ada": 0.3, "bo": 0.4}  # noise of each rater's marks
JUDGE_NOISE, JUDGE_LENIENCY, JUDGE_FAVOUR = 0.3, 0.3, 0.5  # the last for the adapter's answers only


@dataclass(frozen=True)
class Aspect:
    """The hidden quality of answers in one aspect, on the scale of marks.

    Attributes:
        level: Mean of the base's answers.
        shift: How much better those of the adapter are.
        spread: Standard deviation among answers.
    """

    level: float
    shift: float
    spread: float

    def expected_mark(self, *, is_adapter: bool) -> float:
        """Mean mark of all raters over all answers that a model could give."""
        level = self.level + self.shift * is_adapter
        noises = [math.hypot(self.spread, noise) for noise in RATERS.values()]
        above = [NormalDist(level, noise).cdf(mark - 0.5) for noise in noises for mark in MARKS[1:]]
        return len(MARKS) - sum(above) / len(noises)

    @property
    def truth(self) -> float:
        """The true difference, which intervals should cover: adapter minus base, in marks."""
        return self.expected_mark(is_adapter=True) - self.expected_mark(is_adapter=False)


ASPECTS = {
    "medical_accuracy": Aspect(2.6, 0.0, 0.7),
    "completeness": Aspect(2.8, 0.5, 0.5),
    "clinical_relevance": Aspect(4.0, 0.2, 0.25),
    "fluency": Aspect(4.2, 0.15, 0.2),
    "safety_and_caution": Aspect(3.2, -0.4, 0.5),
}


def normal(*names: str) -> float:
    """A draw from the standard normal distribution that follows from seed and names."""
    digest = hashlib.sha256("/".join([str(SEED), *names]).encode()).hexdigest()
    return NormalDist().inv_cdf((int(digest[:13], 16) + 0.5) / 16**13)


def mark(who: str, model: str, answer: str, aspect: str, noise: float, bias: float = 0.0) -> int:
    """The mark that a synthetic rater or judge gives an answer.

    Args:
        who: The rater.
        model: Whose answer it is.
        answer: Hash of the answer.
        aspect: Key of the aspect.
        noise: Standard deviation of the rater's error.
        bias: Added to the hidden quality.
    """
    hidden = ASPECTS[aspect]
    quality = hidden.level + hidden.shift * (model == "adapter") + hidden.spread * normal(model, answer, aspect)
    return min(max(round(quality + bias + noise * normal(who, model, answer, aspect)), MARKS[0]), MARKS[-1])


@contextmanager
def synthetic_judge(answers: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """Serve the synthetic judge; gives its address.

    Args:
        answers: Model and hash of each answer by its text, which the blinded prompt shows alone.
    """

    def reply(prompt: str) -> str:
        model, answer = answers[answers_of(prompt)[0]]
        bias = JUDGE_LENIENCY + JUDGE_FAVOUR * (model == "adapter")
        return scores(0, **{key: mark("judge", model, answer, key, JUDGE_NOISE, bias) for key in ASPECTS})

    with FakeJudge(reply).running() as address:
        yield address.removeprefix("served=")
