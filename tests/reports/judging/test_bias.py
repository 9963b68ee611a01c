"""Biases and faults of a judge from replies by hand: correlations, positions, and where a fault begins."""

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from reports.comparison.proportions import wilson_interval
from reports.document.judging import JudgedReply, JudgeInfo, JudgingInfo
from reports.document.schema import MetricInfo
from reports.judging.summary import summarise

ASPECTS = [
    MetricInfo(key="accuracy", title="Accuracy", higher_is_better=True),
    MetricInfo(key="harm", title="Harm", higher_is_better=False),
]
PREFERRED = MetricInfo(key="preferred", title="Preferred", higher_is_better=True, percent=True)


def info(kind="scores", metrics=ASPECTS, **judge):
    return JudgingInfo(
        judge=JudgeInfo(name="judge", kind="served", source="there", sha256="", seed=0, **judge),
        rubric="own",
        rubric_sha256="",
        title="Own",
        kind=kind,
        task="medbench_generation",
        prompts_sha256="",
        metrics=metrics,
    )


def reply(item, models, ratings, *, characters=(10, 20), status="rated"):
    return JudgedReply(
        id=str(item),
        doc_hash=f"hash {item}",
        models=[*models],
        outputs=[f"{model} {item}" for model in models],
        characters=[*characters][: len(models)],
        prompt_sha256="",
        status=status,
        ratings=ratings if status == "rated" else {},
    )


def summary(replies, about=None, changed=()):
    outputs = {(name, one.id): f"{name} {one.id}" for one in replies for name in one.models}
    outputs |= dict.fromkeys(changed, "another answer")
    return summarise(about or info(), replies, outputs, baseline="base", seed=1)


def score(item, value, harm=0, *, model="base", characters=10, status="rated"):
    return reply(item, [model], {"accuracy": value, "harm": harm}, characters=[characters], status=status)


def pair(item, first_wins, second_wins, *, lengths=(10, 20)):
    """Verdicts on a pair for the answer shown first, in the order base and new, then in the other."""
    return [
        reply(item, ["base", "new"], {"preferred": first_wins}, characters=lengths),
        reply(item, ["new", "base"], {"preferred": second_wins}, characters=lengths[::-1]),
    ]


def preferences(*pairs):
    return summary([one for two in pairs for one in two], info("preference", [PREFERRED]))


def test_the_correlation_with_length_is_spearmans_with_an_interval_around_it():
    random = np.random.default_rng(3)
    lengths = random.integers(1, 500, size=40)
    values = np.clip(lengths // 100 + random.integers(-1, 2, size=40), 1, 5)
    length = summary(
        [score(n, v, characters=int(c)) for n, (v, c) in enumerate(zip(values, lengths, strict=True))]
    ).length
    wanted = spearmanr(values, lengths).statistic
    assert length.correlation == pytest.approx(wanted)
    assert wanted - 0.3 < length.low < wanted < length.high < 1
    assert length.items == 40


def test_the_interval_is_that_of_spearmans_correlation_over_resampled_items_with_all_their_answers():
    random = np.random.default_rng(4)
    lengths = random.integers(1, 30, size=(25, 2))
    values = np.clip(lengths // 6 + random.integers(-2, 3, size=(25, 2)), 1, 5)
    length = summary(
        [
            score(n, int(values[n, k]), model=model, characters=int(lengths[n, k]))
            for n in range(25)
            for k, model in enumerate(("base", "new"))
        ]
    ).length
    drawn = random.integers(25, size=(20_000, 25))
    ranks = [rankdata(side[drawn].reshape(len(drawn), -1), axis=1) for side in (lengths, values)]
    left, right = (side - side.mean(axis=1, keepdims=True) for side in ranks)
    resampled = (left * right).sum(axis=1) / np.sqrt((left**2).sum(axis=1) * (right**2).sum(axis=1))
    assert length.correlation == pytest.approx(spearmanr(lengths.ravel(), values.ravel()).statistic)
    assert (length.low, length.high) == pytest.approx(tuple(np.quantile(resampled, (0.025, 0.975))), abs=0.02)


def test_the_interval_of_few_ties_holds_the_correlation():
    few = [score(n, v, characters=c) for n, (v, c) in enumerate(zip([1, 2, 1, 1, 1, 1], range(1, 7), strict=True))]
    length = summary(few).length
    assert length.low <= length.correlation <= length.high


def test_aspects_that_are_better_when_low_count_towards_their_better_end():
    harmful = [score(n, 3, harm=n, characters=n + 1) for n in range(10)]
    assert summary(harmful).length.correlation == pytest.approx(-1)


def test_a_preference_for_length_is_the_same_in_both_orders():
    length = preferences(*(pair(n, 0, 1, lengths=(10, 20 + n)) for n in range(12))).length
    assert (length.longer, length.verdicts) == (24, 24)
    against = preferences(*(pair(n, 1, 0, lengths=(10, 20 + n)) for n in range(12)))
    assert (against.length.longer, against.length.verdicts) == (0, 24)
    assert against.faults == []


def test_both_orders_are_averaged_and_a_pair_without_the_other_order_is_left_out():
    judging = preferences(pair(1, 1, 1), pair(2, 0, 1), pair(3, 0.5, 0.5), pair(4, 0, 1)[:1])
    (own,) = [one for one in judging.scores if one.model == "new"]
    assert (own.value, own.n) == (pytest.approx((0.5 + 1 + 0.5) / 3), 3)
    assert judging.comparisons[0].difference == pytest.approx(2 * own.value - 1)
    position = judging.position
    assert (position.changed, position.pairs) == (1, 3)
    assert (position.low, position.high) == pytest.approx(wilson_interval(1, 3))
    assert (position.first, position.verdicts) == (3, 5)


@pytest.mark.parametrize(
    ("pairs", "fault"),
    [
        ([(1, 1)] * 9 + [(0, 0)], "it prefers the answer shown first in 18 of 20 verdicts"),
        ([(1, 1)] * 8 + [(0, 0)] * 2, "its preference changes with the order in 10 of 10 pairs"),
        ([(0, 0)] * 9 + [(1, 1)], "it prefers the answer shown second in 18 of 20 verdicts"),
        ([(1, 1)] * 3 + [(0, 0)] * 3 + [(0.5, 0.5)] * 4, "its preference changes with the order in 6 of 10 pairs"),
        ([(1, 1)] * 3 + [(0, 0)] * 2 + [(0.5, 0.5)] * 5, None),
        ([(1, 1)] * 4, None),  # too few to say
    ],
)
def test_where_a_fault_of_position_begins(pairs, fault):
    judging = preferences(*(pair(n, *verdicts, lengths=(10, 10)) for n, verdicts in enumerate(pairs)))
    assert judging.faults == ([] if fault is None else [fault])


@pytest.mark.parametrize(("count", "total", "is_fault"), [(9, 10, True), (8, 10, False), (9, 9, False)])
def test_nearly_always_the_same_rating_is_a_fault_from_ten_answers_on(count, total, is_fault):
    replies = [score(n, 5 if n < count else 1, harm=n % 5) for n in range(total)]
    faults = summary(replies).faults
    assert [fault.startswith(f"it gives 5 to {count} of {total} answers for Accuracy") for fault in faults] == (
        [True] * is_fault
    )


def test_a_share_that_is_always_zero_is_no_fault_of_the_judge():
    share = [MetricInfo(key="accuracy", title="Red flag missing", kind="proportion", percent=True)]
    replies = [reply(n, ["base"], {"accuracy": 0}) for n in range(20)]
    assert summary(replies, info(metrics=share)).faults == []


@pytest.mark.parametrize(("lost", "is_fault"), [(2, False), (3, True)])
@pytest.mark.parametrize("status", ["unparsed", "refused", "failed"])
def test_more_than_two_in_a_hundred_lost_replies_are_a_fault(lost, is_fault, status):
    replies = [score(n, n % 5, n % 3, status=status if n < lost else "rated") for n in range(100)]
    judging = summary(replies)
    assert [fault.partition(" replies")[0] for fault in judging.faults] == [f"{lost} of 100"] * is_fault
    assert getattr(judging.replies[0], status) == lost
    assert judging.replies[0].total == 100


def test_a_judge_of_itself_or_its_family_is_always_disclosed():
    judging = summary([score(1, 3)], info(same_as=["base", "new"], is_base=True))
    assert judging.faults == [
        "judge judges its own answers: it is the same model as base and new",
        "judge judges its own family: it is the base of the adapters",
    ]


def test_replies_about_answers_that_changed_do_not_count():
    replies = [score(n, n, model=model) for n in range(4) for model in ("base", "new")]
    judging = summary(replies, changed=[("new", "2")])
    assert judging.outdated == 1
    assert {one.model: one.n for one in judging.scores if one.metric == "accuracy"} == {"base": 4, "new": 3}
    assert {one.n for one in judging.comparisons} == {3}
