"""The gain on the target beside the gain on fictional medicine, from right and wrong answers with given counts."""

import math

import numpy as np
import pytest

from reports.comparison.compare_models import compare, judge, score
from reports.comparison.controls import controlled_gains
from reports.comparison.counts import scaled, score_test
from reports.comparison.strata import difference_stratum, mean_of_differences
from reports.cost_tables import controls_table, cost_table
from reports.document.schema import TaskInfo
from tests.reports.comparison.test_adapter_cost import ACC, answers, results


def with_control(target, control):
    """A run with a target and one control, from (gained, lost, items) of each."""
    run = results(target)
    given = {"quiz": answers("quiz", *target), "fiction": answers("fiction", *control)}
    tested = [compare(ACC, sides["base"], sides["adapter"], seed=0)[0] for sides in given.values()]
    return run.model_copy(
        update={
            "tasks": [*run.tasks, TaskInfo(name="fiction", title="Fiction", metrics=[ACC], purpose="control")],
            "scores": [score(ACC, given[task][name], None, seed=0) for task in given for name in ("base", "adapter")],
            "comparisons": judge(tested),
        }
    )


@pytest.mark.parametrize(
    ("target", "control", "conclusion"),
    [
        ((180, 60, 1000), (12, 12, 264), "more than style and format explain"),
        ((180, 60, 1000), (120, 6, 1000), "style or format, not knowledge"),
        ((180, 60, 1000), (30, 5, 264), "not decided"),
        ((70, 60, 1000), (40, 5, 264), "no gain on the target is shown"),
        ((60, 20, 1000), (30, 25, 264), "not decided"),  # no gain on the control is shown
    ],
)
def test_a_gain_is_called_style_only_if_the_intervals_say_so(target, control, conclusion):
    (one,) = controlled_gains(with_control(target, control))
    assert one.conclusion == conclusion


def test_the_difference_of_the_gains_has_the_variance_of_both():
    (one,) = controlled_gains(with_control((180, 60, 1000), (40, 5, 264)))
    errors = [score_test(*counts).standard_error for counts in ((180, 60, 1000), (40, 5, 264))]
    assert one.excess.difference == pytest.approx(0.12 - 35 / 264)
    assert one.excess.standard_error == pytest.approx(math.hypot(*errors))


def test_the_table_shows_both_gains_and_the_cost_has_no_controls():
    run = with_control((180, 60, 1000), (12, 12, 264))
    (row,) = controls_table(run).rows
    assert row == (
        "adapter",
        "Accuracy (Quiz)",
        "Accuracy (Fiction)",
        "+12.0 pp (44.0 % to 56.0 %)",
        "0.0 pp (50.0 % to 50.0 %)",
        "+12.0 pp [+7.3, +17.0]",
        "95 %",
        "more than style and format explain",
    )
    assert cost_table(run) is None
    assert controls_table(results((180, 60, 1000))) is None


@pytest.mark.parametrize(
    ("target", "control"),
    [((500, 0.15, 0.05), (264, 0.15, 0.05)), ((500, 0.12, 0.02), (40, 0.1, 0.0)), ((60, 0.2, 0.1), (264, 0.12, 0.02))],
)
def test_equal_gains_are_rarely_called_different(target, control):
    """Of 1,000 simulated runs; 5 % and two standard errors of the simulation are 6.4 %."""
    generator, called = np.random.default_rng(5), 0
    for _ in range(1000):
        gains = []
        for items, gained, lost in (target, control):
            up, down, _ = generator.multinomial(items, [gained, lost, 1 - gained - lost])
            gains.append(score_test(int(up), int(down), items))
        strata = [difference_stratum(gains[0]), difference_stratum(gains[1].mirrored())]
        called += scaled(mean_of_differences(strata), 2.0).p_value() < 0.05
    assert called / 1000 <= 0.064
