"""The rule `no_bad_slice`: what blocks, what is corrected, and whose columns count."""

import numpy as np
import pytest

from reports.document.schema import TaskInfo
from reports.gate.inputs import ItemScore, slice_hashes
from reports.gate.judging import judge
from reports.gate.policy import Policy, rule_name
from tests.reports.gate.examples import ACCURACY, PERPLEXITY, inputs, perplexities, verdict, with_items

BY_SPECIALITY = {"rule": "no_bad_slice", "metric": "t/m", "by": "speciality"}
EQUAL = ([1.0, 0.0] * 5 + [1.0] * 40, [0.0, 1.0] * 5 + [1.0] * 40)  # gained, lost: 5, 5


def sliced(*parts, column="speciality", metric=ACCURACY, named="abcdefghijklmnopqrstuvwxyz"):
    """Baseline and candidate with the values of each slice, (before, after)."""
    values = [[value for part in parts for value in part[side]] for side in (0, 1)]
    names = [name for name, part in zip(named, parts, strict=False) for _ in part[0]]
    return tuple(
        with_items(side, lambda item: item.model_copy(update={"fields": {column: names[int(item.id)]}}))
        for side in inputs(metric, *values)
    )


def loss(lost, items):
    return [1.0] * items, [0.0] * lost + [1.0] * (items - lost)


def test_a_bad_slice_blocks_and_is_named_with_interval_size_and_items():
    baseline, candidate = sliced(*[EQUAL] * 7, loss(15, 50))
    rule, report = verdict(BY_SPECIALITY, baseline, candidate)
    assert (rule.verdict, report.exit_code, rule.slice) == ("fail", 1, "speciality h")
    assert rule.name == "no bad slice: t/m (by speciality)"
    assert rule.reason == "speciality h is shown to be worse: -30.0 pp, worse on 50 items (corrected p < 0.001)"
    assert (rule.n, rule.difference, rule.outcome) == (50, pytest.approx(-0.3), "worse")
    assert rule.low < -0.3 < rule.high < 0
    assert rule.p_adjusted == pytest.approx(8 * rule.p_value)
    assert {sample.id for sample in rule.moved} <= {str(n) for n in range(350, 365)}
    overall, _ = verdict({"rule": "no_regression", "metric": "t/m", "margin": 0.2}, baseline, candidate)
    assert overall.verdict == "pass"  # the whole hides it


def test_equal_slices_pass_and_the_reason_says_what_was_tested():
    rule, report = verdict(BY_SPECIALITY, *sliced(*[EQUAL] * 8, loss(4, 9)))
    assert (rule.verdict, report.exit_code) == ("pass", 0)
    assert rule.reason == (
        "none of 8 slices is shown to be worse (smallest corrected p 0.500) (no test of 1 slice with too few items or"
        " labels)"
    )
    assert (rule.n, rule.limit, rule.moved) == (409, "no slice is shown to be worse", [])


def test_only_losses_block():
    assert verdict(BY_SPECIALITY, *sliced(EQUAL, tuple(reversed(loss(20, 50)))))[0].verdict == "pass"
    before, after = perplexities(40, 0.5)
    better = sliced((before, before), (after, before), metric=PERPLEXITY)
    worse = sliced((before, before), (before, after), metric=PERPLEXITY)
    assert verdict(BY_SPECIALITY, *better)[0].verdict == "pass"
    assert verdict(BY_SPECIALITY, *worse)[0].slice == "speciality b"


@pytest.mark.parametrize(("margin", "wanted"), [(0.0, "fail"), (0.1, "fail"), (0.2, "pass"), (0.3, "pass")])
def test_the_loss_has_to_be_shown_to_be_larger_than_the_margin(margin, wanted):
    rule, _ = verdict(BY_SPECIALITY | {"margin": margin}, *sliced(EQUAL, loss(15, 50)))
    assert rule.verdict == wanted
    if margin:
        assert rule.limit == f"no slice is shown to lose more than {margin:.1%}".replace("%", " pp")
    assert ("by more than the margin" in rule.reason) == (margin == 0.1)


def test_margins_of_other_metrics_are_shares_of_the_baseline():
    before, after = perplexities(60, 0.5)
    pair = sliced((before, before), (before, after), metric=PERPLEXITY)
    rule, _ = verdict(BY_SPECIALITY | {"margin": 0.3}, *pair)
    assert (rule.verdict, rule.limit) == ("fail", "no slice is shown to lose more than 30.0% of the baseline's value")
    assert verdict(BY_SPECIALITY | {"margin": 0.7}, *pair)[0].verdict == "pass"


def test_the_correction_is_over_the_slices_of_all_rules_of_the_policy_and_advisory_ones_are_apart():
    parts = [EQUAL] * 3 + [loss(9, 50)]
    assert verdict(BY_SPECIALITY, *sliced(*parts))[0].verdict == "fail"
    more = [EQUAL] * 20 + [loss(9, 50)]
    assert verdict(BY_SPECIALITY, *sliced(*more))[0].verdict == "pass"
    pair = sliced(*parts)

    def verdicts(**others):
        rules = [BY_SPECIALITY] + [BY_SPECIALITY | {"ids": [str(n) for n in range(150)], **others}] * 6
        return judge(Policy.model_validate({"rules": rules}), pair[1], [pair[0]]).rules[0].verdict

    assert (verdicts(), verdicts(advisory=True)) == ("pass", "fail")


def test_several_columns_and_the_length_of_questions():
    baseline, candidate = sliced(*[EQUAL] * 2)
    lengths = {str(n): "x" * (n + 1) for n in range(100)}
    pair = [
        with_items(side, lambda item: item.model_copy(update={"question": lengths[item.id]}))
        for side in (baseline, candidate)
    ]
    rule, _ = verdict(BY_SPECIALITY | {"by": ["speciality", "length", "class"]}, *pair)
    assert rule.reason.startswith("none of 8 slices is")
    assert rule.name == "no bad slice: t/m (by speciality and length and class)"
    rows = [[1.0] * 100, [1.0] * 75 + [0.0] * 25]
    bad = [
        with_items(side, lambda item: item.model_copy(update={"question": lengths[item.id]}))
        for side in inputs(ACCURACY, *rows)
    ]
    assert verdict(BY_SPECIALITY | {"by": "length"}, *bad)[0].slice == "length 76 to 100"


def test_a_column_that_no_item_has_fails_and_names_the_columns():
    rule, report = verdict(BY_SPECIALITY | {"by": ["speciality", "yaer"]}, *sliced(EQUAL, EQUAL))
    assert (rule.verdict, report.exit_code) == ("fail", 1)
    assert rule.reason == "no item has a yaer; the columns are class, length, speciality"


def test_a_task_without_the_column_is_reported_if_another_has_it():
    pair = sliced(EQUAL, EQUAL)
    tasks = [TaskInfo(name=name, title=name, metrics=[ACCURACY]) for name in "tu"]
    pair = [
        type(side)(
            run=side.run,
            model=side.model,
            results=side.results.model_copy(
                update={
                    "tasks": tasks,
                    "scores": [
                        *side.results.scores,
                        *(score.model_copy(update={"task": "u"}) for score in side.results.scores),
                    ],
                }
            ),
            items={
                "t": side.items["t"],
                "u": {
                    key: item.model_copy(update={"fields": {}, "task": "u"}) for key, item in side.items["t"].items()
                },
            },
        )
        for side in pair
    ]
    report = judge(Policy.model_validate({"rules": [BY_SPECIALITY | {"metric": "*/*"}]}), pair[1], [pair[0]])
    assert [(rule.task, rule.verdict) for rule in report.rules] == [("t", "pass"), ("u", "pass")]
    assert report.rules[1].reason == "there are no slices (the items have no speciality)"


def test_slices_too_small_for_a_test_are_inconclusive():
    rule, report = verdict(BY_SPECIALITY, *sliced(loss(9, 9), loss(9, 9)))
    assert (rule.verdict, report.exit_code) == ("inconclusive", 3)
    assert rule.reason == "no slice is large enough for a test (no test of 2 slices with too few items or labels)"


def test_items_may_not_move_to_another_slice():
    baseline, candidate = sliced(EQUAL, loss(15, 50))
    moved = with_items(candidate, lambda item: item.model_copy(update={"fields": {"speciality": "a"}}))
    rule, _ = verdict(BY_SPECIALITY, baseline, moved)
    assert rule.verdict == "fail"
    assert rule.reason.startswith("50 items have another speciality than in the baseline")
    without = with_items(candidate, lambda item: item.model_copy(update={"fields": {}}))
    assert verdict(BY_SPECIALITY, baseline, without)[0].verdict == "fail"


def test_a_stored_baseline_has_hashes_of_the_columns():
    baseline, candidate = sliced(EQUAL, loss(15, 50))

    def stored(item):
        keep = {"id", "doc_hash", "metrics", "finish_reason", "cluster", "repeat"}
        return ItemScore(**item.model_dump(include=keep), slices=slice_hashes(item))

    assert verdict(BY_SPECIALITY, with_items(baseline, stored), candidate)[0].slice == "speciality b"


def test_rows_of_suites_have_no_slices_and_selected_items_have():
    assert rule_name(Policy.model_validate({"rules": [BY_SPECIALITY]}).rules[0]).endswith("(by speciality)")
    rule, _ = verdict(BY_SPECIALITY | {"where": {"class": "maybe"}}, *sliced(EQUAL, loss(50, 50)))
    assert (rule.verdict, rule.slice) == ("fail", "class maybe, speciality b")


@pytest.mark.slow  # many draws
@pytest.mark.parametrize("discordance", [0.1, 0.4])
def test_equal_slices_block_rarely(discordance):
    """The one-sided level is 2.5 %: 200 draws of 20 slices; 12 blocks or more would happen in 0.6 %."""
    generator, blocked = np.random.default_rng(3), 0
    for _ in range(200):
        parts = []
        for size in (10, 12, 16, 20, 30) * 4:
            change = generator.random(size) < discordance
            side = generator.random(size) < 0.5
            parts.append((np.where(change, side, 1.0).tolist(), np.where(change, ~side, 1.0).tolist()))
        blocked += verdict(BY_SPECIALITY, *sliced(*parts))[0].verdict == "fail"
    assert blocked < 12
