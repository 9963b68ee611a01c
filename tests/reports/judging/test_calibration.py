"""Simulation of the whole calibration: the draw by the judge's thirds, people's marks, and the interval's coverage."""

import numpy as np
import pytest

from reports.document.judging import JudgedReply, JudgeInfo, JudgingInfo
from reports.document.schema import MetricInfo
from reports.judging.calibration import calibrate, draw_items, make_strata

METRIC = MetricInfo(key="fluency", title="Fluency", higher_is_better=True, relevant=0.1)
INFO = JudgingInfo(
    judge=JudgeInfo(name="judge", kind="served", source="", sha256="", seed=0),
    rubric="own",
    rubric_sha256="",
    title="",
    kind="scores",
    task="medbench_generation",
    prompts_sha256="",
    metrics=[METRIC],
)
TRUTH = 0.3  # people's mean difference over all questions there are
RATED, JUDGED = 36, 150


def simulated(random, judge):
    """(judge's ratings, people's marks) by model: the judge's are made from the quality and the model."""
    shift = random.choice([0, 1], size=JUDGED, p=[1 - TRUTH, TRUTH])
    base = random.integers(1, 5, size=JUDGED)
    marks = {"base": base, "adapter": base + shift}
    return {model: np.clip(judge(random, marks[model], model), 1, 5) for model in marks}, marks


JUDGES = {
    "noisy": lambda random, marks, model: marks + random.integers(-1, 2, size=len(marks)),
    "biased": lambda random, marks, model: marks + (model == "adapter") + (marks > 3),
    "useless": lambda random, marks, model: random.integers(1, 6, size=len(marks)),
}


@pytest.mark.parametrize(
    ("name", "repetitions"),
    [("biased", 80), *(pytest.param(name, 400, marks=pytest.mark.slow) for name in JUDGES)],
)
def test_calibrated_intervals_hold_their_level_however_bad_the_judge_is(name, repetitions):
    random = np.random.default_rng(17)
    covered = uncorrected = 0
    for number in range(repetitions):
        judged, marks = simulated(random, JUDGES[name])
        replies = [
            JudgedReply(
                id=str(item),
                doc_hash="",
                models=[model],
                outputs=[""],
                characters=[1],
                prompt_sha256="",
                status="unparsed" if random.random() < 0.05 else "rated",
                ratings={"fluency": float(judged[model][item])},
            )
            for model in judged
            for item in range(JUDGED)
        ]
        replies = [one.model_copy(update={"ratings": {}}) if one.status == "unparsed" else one for one in replies]
        draw = make_strata(INFO, replies, ("base", "adapter"), seed=number)
        drawn = draw_items(draw, RATED // 2, (), seed=number)
        drawn += draw_items(draw, RATED - RATED // 2, drawn, seed=number)
        given = {
            model: {item: {"fluency": float(marks[model][int(item)])} for item in drawn}
            for model in ("base", "adapter")
        }
        (one,) = calibrate(INFO, replies, given, baseline="base", draw=draw)
        assert (one.rated, one.others) == (RATED, JUDGED - RATED)
        covered += one.low <= TRUTH <= one.high
        shift = judged["adapter"] - judged["base"]
        half = 1.96 * shift.std(ddof=1) / np.sqrt(JUDGED)
        uncorrected += abs(shift.mean() - TRUTH) <= half
    error = np.sqrt(0.95 * 0.05 / repetitions)
    assert 0.93 - 2 * error <= covered / repetitions <= 0.97 + 2 * error
    if name == "biased":
        assert uncorrected / repetitions < 0.1  # the judge alone would be wrong
