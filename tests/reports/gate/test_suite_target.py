"""The row of a suite in the gate: the mean decides about a loss of the margin, its parts about shown losses."""

from dataclasses import replace

import numpy as np
import pytest

from reports.comparison.counts import score_test
from reports.comparison.strata import difference_stratum
from reports.document.evidence import OverlapCheck
from reports.document.schema import Score, TaskInfo
from reports.gate.judging import judge
from reports.gate.policy import DEFAULT, Policy
from reports.gate.suite_target import SuiteDifference
from tests.reports.gate.examples import ACCURACY, inputs, right_and_wrong

TASKS = ("hellaswag", "arc", "mmlu")
SUITES = {"retention": dict.fromkeys(TASKS, "m")}


def suite(*counts, tasks=TASKS, metric=ACCURACY):
    """Baseline and candidate of one run, from (gained, lost, items) of each task."""
    sides = {task: inputs(metric, *right_and_wrong(*part)) for task, part in zip(tasks, counts, strict=True)}
    some = next(iter(sides.values()))[0].results
    results = some.model_copy(
        update={
            "tasks": [TaskInfo(name=task, title=task, metrics=[metric]) for task in tasks],
            "scores": [
                Score(model=score.model, task=task, metric="m", value=score.value, n=score.n)
                for task, (side, _) in sides.items()
                for score in side.results.scores
            ],
            "overlap": OverlapCheck(
                method="",
                models=["adapter"],
                rows=1,
                items={task: part[2] for task, part in zip(tasks, counts, strict=True)},
            ),
        }
    )
    return tuple(
        replace(some, results=results, items={task: pair[place].items["t"] for task, pair in sides.items()})
        for place, some in enumerate(next(iter(sides.values())))
    )


def judged(baseline, candidate, *rules, suites=SUITES):
    policy = Policy.model_validate({"rules": list(rules)}) if rules else DEFAULT
    report = judge(policy, candidate, [baseline], suites=suites)
    return {rule.name: rule for rule in report.rules}, report


def row(baseline, candidate, **rule):
    results, _ = judged(baseline, candidate, {"metric": "retention/mean_accuracy", **rule})
    (result,) = results.values()
    return result


def test_a_forgetter_is_blocked_by_the_mean_and_by_its_parts():
    rules, report = judged(*suite((5, 50, 300), (4, 45, 300), (12, 40, 300)))
    assert (report.verdict, report.exit_code) == ("fail", 1)
    result = rules["no regression: retention/mean_accuracy"]
    assert result.reason == "shown to be worse: -12.7 pp, worse (corrected p < 0.001)"
    assert (result.task, result.metric, result.n) == ("retention", "mean_accuracy", 900)
    assert [result.difference, result.low, result.high] == pytest.approx([-0.126667, -0.154023, -0.100532], abs=1e-6)
    assert [sample.task for sample in result.moved[:3]] == ["hellaswag"] * 3
    assert result.moved[0].weight == pytest.approx(-1 / 900)


def test_the_mean_rules_out_a_loss_that_every_part_leaves_open():
    even = suite((12, 12, 200), (12, 12, 200), (12, 12, 200))
    rules, report = judged(*even)
    assert report.verdict == "pass"
    assert (
        rules["no regression: retention/mean_accuracy"].reason
        == "a loss of the margin is ruled out: 0.0 pp, equivalent"
    )
    assert rules["no regression: arc/m"].reason == (
        "no loss is shown (corrected p 1.000): 0.0 pp, inconclusive; the mean of retention decides whether a loss of"
        " the margin is ruled out"
    )
    _, without = judged(*even, suites={})
    assert without.verdict == "inconclusive"


def test_a_part_that_is_shown_to_be_worse_fails_although_the_mean_is_not():
    rules, report = judged(*suite((0, 30, 300), (20, 5, 300), (20, 15, 300)))
    assert {name: rule.verdict for name, rule in rules.items() if rule.verdict != "pass"} == {
        "no regression: hellaswag/m": "fail"
    }
    assert report.verdict == "fail"


def test_too_few_items_leave_the_mean_open_and_say_how_many_decide():
    rules, report = judged(*suite((5, 5, 40), (5, 5, 40), (5, 5, 40)))
    assert report.verdict == "inconclusive"
    assert rules["no regression: retention/mean_accuracy"].items_needed == 1038


def test_a_policy_can_name_the_row_in_any_rule_with_limits():
    sides = suite((40, 10, 300), (40, 10, 300), (40, 10, 300))
    assert row(*sides, rule="non_inferiority", margin=0.02).verdict == "pass"
    assert row(*sides, rule="superiority", margin=0.05).verdict == "pass"
    assert row(*sides, rule="superiority", margin=0.09).verdict == "fail"
    assert row(*sides, rule="change", min=0.05, confidence=0.95).verdict == "pass"
    assert row(*sides, rule="bound", min=0.54).reason == "Mean accuracy is 55.0 %"
    assert row(*sides, rule="bound", min=0.54, confidence=0.95).items_needed == 8216
    assert row(*sides, rule="bound", max=0.54).verdict == "fail"


def test_what_the_row_cannot_be_is_said():
    sides = suite(*[(5, 5, 300)] * 3)
    assert row(*sides, rule="non_inferiority", margin=0.05, where={"class": "yes"}).reason == (
        "the row of retention is over all its items; name its tasks to judge some of them"
    )
    assert row(*sides, rule="non_inferiority", margin=0.05, relative=True).reason == (
        "the margin of a suite's row is absolute; set relative: false"
    )


def test_retention_that_the_baseline_has_and_the_candidate_lacks_fails_the_row_too():
    baseline, candidate = suite(*[(5, 5, 300)] * 3)
    fewer = candidate.results.model_copy(
        update={
            "tasks": candidate.results.tasks[:2],
            "scores": [s for s in candidate.results.scores if s.task != "mmlu"],
        }
    )
    short = replace(candidate, results=fewer, items={task: candidate.items[task] for task in TASKS[:2]})
    rules, report = judged(baseline, short)
    missing = "adapter of r was not scored on mmlu"
    assert {name: rules[name].reason for name in ("complete", "no regression: retention/mean_accuracy")} == {
        "complete": missing,
        "no regression: retention/mean_accuracy": missing,
    }
    assert report.verdict == "fail"


def test_a_rule_that_names_the_row_needs_all_tasks_of_the_suite():
    sides = suite((5, 5, 300), tasks=("arc",))
    result = row(*sides, rule="non_inferiority", margin=0.05)
    assert (result.verdict, result.reason) == ("fail", "adapter of r was not scored on hellaswag")
    assert "no regression: retention/mean_accuracy" not in judged(*sides)[0]


def test_the_results_cannot_declare_a_row():
    """Else a candidate could have its parts judged by a mean of its own choice."""
    sides = suite((12, 12, 200), (12, 12, 200), tasks=("arc", "other"))
    assert judged(*sides)[1].verdict == "inconclusive"


def test_synthetic_parts_have_a_row_only_if_a_rule_names_it():
    baseline, candidate = suite(*[(5, 5, 300)] * 3)
    tasks = [task.model_copy(update={"synthetic": task.name == "arc"}) for task in candidate.results.tasks]
    results = candidate.results.model_copy(update={"tasks": tasks})
    sides = tuple(replace(side, results=results) for side in (baseline, candidate))
    assert "no regression: retention/mean_accuracy" not in judged(*sides)[0]
    assert row(*sides, rule="non_inferiority", margin=0.05).verdict == "pass"


# The test itself


def difference(*counts):
    return SuiteDifference(
        [difference_stratum(score_test(*part)) for part in counts], sum(up + down for up, down, _ in counts)
    )


def test_bounds_are_the_limits_that_the_tests_do_not_reject():
    for one in (difference((5, 12, 200), (3, 9, 150), (0, 0, 40)), difference((30, 9, 200), (20, 2, 150))):
        low, high = one.bounds(0.95)
        assert one.p_above(low) == pytest.approx(0.05, abs=1e-6)
        assert one.p_below(high) == pytest.approx(0.05, abs=1e-6)


def test_a_small_part_on_which_nothing_differs_may_hide_the_whole_loss():
    assert difference((0, 0, 300), (0, 0, 300), (0, 0, 20)).p_above(-0.05) == pytest.approx(0.85**20)
    assert difference((0, 0, 300), (0, 0, 300), (0, 0, 20)).bounds(0.95)[0] == pytest.approx((0.05 ** (1 / 20) - 1) / 3)


def test_a_part_on_which_nothing_differs_hides_no_loss_that_the_others_show():
    one = difference((0, 23, 60), (1, 24, 60), (0, 0, 48))
    low, high = one.bounds(0.975)
    assert [low, one.value, high] == pytest.approx([-0.330431, -0.255556, -0.189865], abs=1e-6)
    assert one.p_below(0.0) < 1e-7
    assert one.p_below(high) == pytest.approx(0.025, abs=1e-6)
    limits = [one.p_below(limit) for limit in np.linspace(-0.3, 0.3, 13)]
    assert limits == sorted(limits, reverse=True)


MARGIN_CASES: dict[str, tuple] = {
    "every part loses a little": ([300] * 3, 0.025, 0.075),
    "rare, and all of it lost": ([300] * 3, 0.0, 0.05),
    "one part loses all of it, ties elsewhere": ([300] * 3, [0, 0, 0], [0, 0, 0.15]),
    "few items": ([20] * 3, 0.05, 0.10),
    "few items, much discordance": ([30] * 3, 0.25, 0.30),
    "a small part loses all of it": ([300, 300, 20], [0, 0, 0], [0, 0, 0.15]),
    "nine parts, one with all of it": ([60] * 9, [0.0] * 8 + [0.1], [0.0] * 8 + [0.55]),
}


@pytest.mark.parametrize("case", MARGIN_CASES)
def test_a_candidate_that_loses_the_margin_in_the_mean_passes_no_more_often_than_the_level(case):
    """Of 2,000 simulated candidates; the limits are the level and two standard errors of the simulation."""
    sizes, gained, lost = (np.broadcast_to(part, len(MARGIN_CASES[case][0])) for part in MARGIN_CASES[case])
    assert np.mean(gained - lost) == pytest.approx(-0.05)
    generator, passed, results = np.random.default_rng(3), np.zeros(2), {}
    draws = [
        generator.multinomial(n, [up, down, 1 - up - down], size=2000)
        for n, up, down in zip(sizes, gained, lost, strict=True)
    ]
    for drawn in zip(*draws, strict=True):
        counts = tuple((int(up), int(down), int(up + down + same)) for up, down, same in drawn)
        if counts not in results:
            results[counts] = difference(*counts).p_above(-0.05)
        passed += np.array([results[counts] < 0.05, results[counts] < 0.025])
    assert passed[0] / 2000 <= 0.0598
    assert passed[1] / 2000 <= 0.032
