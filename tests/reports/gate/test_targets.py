"""Which metrics and items a rule is about, what its results are called, and which items moved it."""

from dataclasses import replace

import numpy as np
import pytest

from reports.comparison.sums import Clusters
from reports.document.evidence import HUMAN_RATING
from reports.document.schema import MetricInfo, Sample, TaskInfo
from reports.gate.inputs import ItemScore, slice_hashes
from reports.gate.outcome import MovedSample
from reports.gate.policy import Policy
from reports.gate.selecting import select
from reports.gate.targets import CannotJudgeError, Selected, expand, moved, sample_moved, score_of_item
from tests.reports.gate.examples import ACCURACY, LENGTH, PERPLEXITY, ROUGE, first, inputs, with_items

VALUES = [0.2, 0.4, 0.6, 0.8]


def rule_of(**fields):
    (rule,) = Policy.model_validate({"rules": [{"rule": "no_regression", "metric": "t/m"} | fields]}).rules
    return rule


def candidate_of(*tasks):
    """A candidate whose run has these tasks."""
    _, candidate = inputs(ROUGE, VALUES, VALUES)
    return replace(candidate, results=candidate.results.model_copy(update={"tasks": list(tasks)}))


def task(name, *keys, **facts):
    metrics = [MetricInfo(key=key, title=key, higher_is_better=True, percent=True, **facts) for key in keys]
    return TaskInfo(name=name, title=name, metrics=metrics)


TASKS = (
    task("qa", "acc", "f1"),
    task("qa_cot", "acc"),
    task("text", "secondary", secondary=True),
    TaskInfo(name="long", title="long", metrics=[LENGTH]),
    task(HUMAN_RATING, "acc"),
)


def names(**fields):
    return [(target.task, target.metric.key, target.name) for target in expand(rule_of(**fields), candidate_of(*TASKS))]


def test_a_metric_named_in_full_is_one_target_whatever_it_is():
    assert names(metric="qa/f1") == [("qa", "f1", "no regression: qa/f1")]
    assert names(metric="text/secondary") == [("text", "secondary", "no regression: text/secondary")]
    assert names(metric="long/m") == [("long", "m", "no regression: long/m")]
    assert names(metric="qa/f1", name="mine") == [("qa", "f1", "mine")]
    rating = f"{HUMAN_RATING}/acc"
    assert names(metric=rating) == [(HUMAN_RATING, "acc", f"no regression: {rating}")]


def test_a_pattern_takes_all_primary_metrics_with_a_direction_but_no_ratings_by_people():
    assert names(metric="*/*") == [
        ("qa", "acc", "no regression: qa/acc"),
        ("qa", "f1", "no regression: qa/f1"),
        ("qa_cot", "acc", "no regression: qa_cot/acc"),
    ]
    assert names(metric="qa*/acc", name="mine") == [
        ("qa", "acc", "mine: qa/acc"),
        ("qa_cot", "acc", "mine: qa_cot/acc"),
    ]
    assert names(metric="qa_*/acc", name="mine") == [("qa_cot", "acc", "mine: qa_cot/acc")]
    bounded = [place[:2] for place in names(rule="bound", min=0, metric="*/*")]
    assert bounded == [("qa", "acc"), ("qa", "f1"), ("qa_cot", "acc"), ("text", "secondary"), ("long", "m")]
    changed = [place[:2] for place in names(rule="change", min=0, metric="[tl]*/?*")]
    assert changed == [("text", "secondary"), ("long", "m")]


def test_ratings_by_people_take_part_in_patterns_that_name_their_task():
    assert names(metric=f"{HUMAN_RATING}/a*") == [(HUMAN_RATING, "acc", f"no regression: {HUMAN_RATING}/acc")]


def test_a_rule_without_any_metric_fails_with_those_that_there_are():
    result = expand(rule_of(metric="qa/bleu"), candidate_of(*TASKS))
    assert (result.name, result.rule, result.verdict) == ("no regression: qa/bleu", "no_regression", "fail")
    assert result.reason == (
        "the candidate's run has no metric qa/bleu; it has qa/acc, qa/f1, qa_cot/acc, text/secondary, long/m,"
        f" {HUMAN_RATING}/acc"
    )
    assert expand(rule_of(), candidate_of()).reason == "the candidate's run has no metric t/m; it has none"
    many = expand(rule_of(), candidate_of(task("qa", *(f"metric {n:04}" for n in range(100)))))
    assert len(many.reason) == len("the candidate's run has no metric t/m; it has ") + 600


def target_of(metric=ROUGE, **fields):
    (target,) = expand(rule_of(**fields), candidate_of(TaskInfo(name="t", title="T", metrics=[metric])))
    return target


def test_margins_are_relative_unless_the_metric_is_a_share_or_the_rule_says_so():
    assert [target_of(metric).is_relative for metric in (ROUGE, ACCURACY, LENGTH, PERPLEXITY)] == [
        False,
        False,
        True,
        True,
    ]
    assert target_of(ROUGE, relative=True).is_relative is True
    assert target_of(LENGTH, relative=False).is_relative is False
    assert target_of(LENGTH, rule="must_pass", ids=["0"], at_least=0).is_relative is True


def test_a_result_has_the_names_of_its_target():
    result = target_of(where={"class": "yes"}, ids=["0"]).result("pass", "because", value=0.5)
    facts = (result.rule, result.verdict, result.reason, result.task, result.metric, result.value)
    assert facts == ("no_regression", "pass", "because", "t", "m", 0.5)
    assert result.slice
    assert result.slice == result.slice.strip(" []")
    assert target_of().result("fail", "").slice == ""


def selected(metric=ROUGE, before=VALUES, after=VALUES, *, compares=True, **fields):
    baseline, candidate = inputs(metric, before, after)
    return select(target_of(metric, **fields), candidate, baseline, compares=compares)


def test_both_models_values_are_those_of_the_same_items_in_one_order():
    found = selected(after=[0.3, 0.5, 0.7, 0.9])
    assert found.before.tolist() == [[value, 1.0] for value in VALUES]
    assert found.after.tolist() == [[value, 1.0] for value in (0.3, 0.5, 0.7, 0.9)]
    assert ([item.id for item in found.samples], [item.model for item in found.others]) == (
        ["0", "1", "2", "3"],
        ["base"] * 4,
    )
    assert (found.kind, found.items, found.as_items(9)) == ("mean", 4, 9)
    alone = selected(after=[0.3, 0.5, 0.7, 0.9], compares=False)
    assert (alone.others, alone.before.tolist()) == ([], alone.after.tolist())


def test_right_or_wrong_is_a_mean_where_units_are_not_single_answers():
    baseline, candidate = inputs(ACCURACY, [1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0])
    assert select(target_of(ACCURACY), candidate, baseline, compares=True).kind == "proportion"
    sides = [
        with_items(side, lambda item: item.model_copy(update={"cluster": f"c{int(item.id) // 2}"}))
        for side in (candidate, baseline)
    ]
    grouped = select(target_of(ACCURACY), *sides, compares=True)
    assert (grouped.kind, grouped.items, grouped.as_items(3)) == ("mean", 4, 6)
    assert (grouped.before.tolist(), grouped.after.tolist()) == ([[1.0, 2.0], [1.0, 2.0]], [[2.0, 2.0], [0.0, 2.0]])


def test_units_are_rounded_up_to_items():
    units = Clusters(np.ones((3, 2)), np.ones((4, 2)), np.array([0, 0, 1, 2]), 1)
    assert Selected("mean", [], [], units, units, 4).as_items(2) == 3


def test_labels_that_one_model_alone_gives_have_columns_for_both():
    metric = MetricInfo(key="m", title="F1", kind="macro_f1", higher_is_better=True, percent=True)
    found = selected(metric, [(0.0, 0.0), (1.0, 1.0)], [(0.0, 2.0), (1.0, 1.0)])
    assert (found.before.shape, found.after.shape) == ((2, 9), (2, 9))
    assert selected(metric, [(0.0, 2.0), (1.0, 1.0)], [(0.0, 0.0), (1.0, 1.0)]).after.shape == (2, 9)


@pytest.mark.parametrize(
    ("fields", "ids"),
    [
        ({"ids": ["2", "0", "2"]}, ["0", "2"]),
        ({"where": {"class": "maybe"}}, ["0", "3"]),
        ({"where": {"class": ["maybe", "yes"]}}, ["0", "1", "2", "3"]),
        ({"where": {"class": "yes", "speciality": "cardiology"}}, ["1", "2"]),
        ({"where": {"class": "yes"}, "ids": ["0", "1"]}, ["1"]),
    ],
)
def test_slices_keep_the_items_that_they_name(fields, ids):
    assert [item.id for item in selected(**fields).samples] == ids


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"ids": ["0", "x", "y"]}, "2 of the 3 listed items were not scored (x, y)"),
        ({"ids": ["d", "c", "b", "a", "a"]}, "4 of the 4 listed items were not scored (a, b, c)"),
        ({"ids": ["z" * 50]}, f"1 of the 1 listed items were not scored ({'z' * 40})"),
        ({"where": {"class": "no"}}, "no item has the class no; there are maybe, yes"),
        ({"where": {"class": ["no", "never"]}}, "no item has the class never or no; there are maybe, yes"),
        ({"where": {"ward": "B2"}}, "no item has the ward B2, and none has a ward at all"),
    ],
)
def test_slices_without_items_cannot_be_judged(fields, reason):
    with pytest.raises(CannotJudgeError) as error:
        selected(**fields)
    assert str(error.value) == reason


def test_the_values_that_there_are_are_cut_short():
    def in_wards(name):
        both = inputs(ROUGE, [0.1] * 12, [0.1] * 12)
        return [
            with_items(side, lambda item: item.model_copy(update={"fields": {"ward": name(item)}})) for side in both
        ]

    baseline, candidate = in_wards(lambda item: f"w{int(item.id):02}")
    with pytest.raises(CannotJudgeError, match=r"there are w00, w01, w02, w03, w04, w05, w06, w07$"):
        select(target_of(where={"ward": "x"}), candidate, baseline, compares=False)
    baseline, candidate = in_wards(lambda item: item.id + "w" * 150)
    with pytest.raises(CannotJudgeError) as error:
        select(target_of(where={"ward": "x"}), candidate, baseline, compares=False)
    assert len(str(error.value)) == len("no item has the ward x; there are ") + 200


def stored(side, **changes):
    """A model's items as a stored baseline has them."""
    keep = set(ItemScore.model_fields)
    scores = {
        key: ItemScore(**(item.model_dump(include=keep) | {"slices": slice_hashes(item)} | changes))
        for key, item in side.items["t"].items()
    }
    return replace(side, items={"t": scores})


@pytest.mark.parametrize("as_baseline", [lambda side: side, stored], ids=["run", "stored"])
@pytest.mark.parametrize(
    ("change", "fields", "reason"),
    [
        ({"gold": "yes"}, {"where": {"class": "maybe"}}, "1 items have another class than in the baseline (0)"),
        (
            {"fields": {}},
            {"where": {"speciality": "surgery"}},
            "1 items have another speciality than in the baseline (0)",
        ),
        ({"doc_hash": "x"}, {"ids": ["0", "1"]}, "1 items have another text than in the baseline (0)"),
    ],
)
def test_no_item_is_moved_into_or_out_of_a_slice(as_baseline, change, fields, reason):
    baseline, candidate = inputs(ROUGE, VALUES, VALUES)
    assert select(target_of(where={"class": "yes"}), candidate, as_baseline(baseline), compares=False).items == 2
    with pytest.raises(CannotJudgeError) as error:
        select(target_of(**fields), with_items(candidate, first(change)), as_baseline(baseline), compares=False)
    assert str(error.value) == reason


def test_a_stored_baseline_of_an_earlier_version_records_no_slices():
    baseline, candidate = inputs(ROUGE, VALUES, VALUES)
    with pytest.raises(CannotJudgeError, match="the baseline does not record the class of its items; set it again"):
        select(target_of(where={"class": "yes"}), candidate, stored(baseline, slices={}), compares=False)


def test_values_that_cannot_be_compared_are_refused_only_where_they_are():
    baseline, candidate = inputs(ROUGE, VALUES, VALUES)
    faulty = replace(baseline, faults={"t": "the samples are missing"})
    assert select(target_of(), candidate, faulty, compares=False).items == 4
    with pytest.raises(CannotJudgeError, match=r"^base of r: the samples are missing$"):
        select(target_of(), candidate, faulty, compares=True)
    with pytest.raises(CannotJudgeError, match=r"^adapter of r: broken$"):
        select(target_of(), replace(candidate, faults={"t": "broken"}), faulty, compares=True)
    no_metric = replace(baseline, results=baseline.results.model_copy(update={"tasks": [task("t", "n")]}))
    with pytest.raises(CannotJudgeError, match=r"^the baseline has no t/m$"):
        select(target_of(), candidate, no_metric, compares=True)


def test_a_metric_without_values_of_items_cannot_be_sliced():
    metric = MetricInfo(key="m", title="BLEU", kind="other", higher_is_better=True)
    with pytest.raises(CannotJudgeError) as error:
        selected(metric)
    assert str(error.value) == "only lm-eval's own value of t/m is known, without values of single items"


def test_the_items_that_moved_a_difference_come_worst_first_with_their_share_of_it():
    found = selected(after=[0.1, 0.4, 0.9, 0.2])
    worst = moved(target_of(), found, 1)
    assert [item.id for item in worst] == ["3", "0"]
    assert [item.weight for item in worst] == pytest.approx([-0.15, -0.025])
    assert [(item.baseline, item.candidate) for item in worst] == [(0.8, 0.2), (0.2, 0.1)]
    assert [item.id for item in moved(target_of(), found, -1)] == ["2"]


def test_the_items_that_moved_a_value_are_below_its_mean():
    worst = moved(target_of(), selected(compares=False), 1)
    assert [(item.id, item.baseline) for item in worst] == [("0", None), ("1", None)]
    assert [item.weight for item in worst] == pytest.approx([-0.3 / 4, -0.1 / 4])


def test_ten_items_are_shown_and_of_a_group_those_that_differ():
    many = selected(before=[0.9] * 15, after=[0.1] * 15)
    assert [item.id for item in moved(target_of(), many, 1)] == sorted(map(str, range(15)))[:10]
    sides = [
        with_items(side, lambda item: item.model_copy(update={"cluster": f"c{int(item.id) // 2}"}))
        for side in inputs(ROUGE, VALUES, [0.2, 0.1, 0.6, 0.8])
    ]
    grouped = select(target_of(), sides[1], sides[0], compares=True)
    assert [item.id for item in moved(target_of(), grouped, 1)] == ["1"]


def test_an_item_is_shown_with_the_start_of_its_texts():
    sample = Sample(
        id="a",
        doc_hash="a",
        model="x",
        task="t",
        prompt="q" * 210,
        output="o" * 210,
        gold="g" * 210,
        metrics={"m": 0.5},
    )
    score = ItemScore(id="a", doc_hash="a", metrics={"m": 0.7})
    assert sample_moved(sample, target_of(), score, -0.1) == MovedSample(
        id="a",
        task="t",
        baseline=0.7,
        candidate=0.5,
        baseline_score=0.7,
        candidate_score=0.5,
        weight=-0.1,
        question="q" * 200,
        answer="o" * 200,
        gold="g" * 200,
    )
    assert sample_moved(score, target_of()) == MovedSample(id="a", task="t", candidate=0.7, candidate_score=0.7)
    both = sample_moved(sample, target_of(), sample.model_copy(update={"output": "before"}))
    assert (both.baseline_answer, both.answer) == ("before", "o" * 200)


@pytest.mark.parametrize(
    ("kind", "value", "score"),
    [
        ("proportion", 1.0, 1.0),
        ("mean", 0.25, 0.25),
        ("perplexity", (-20.0, 10.0), 7.38905609893065),
        ("bits_per_byte", (-6.931471805599453, 5.0), 2.0),
        ("ratio", (3.0, 4.0), 0.75),
        ("macro_f1", (2.0, 2.0), 1.0),
        ("macro_f1", (2.0, 0.0), 0.0),
        ("ece", (0.9, 1.0), None),
        ("batch_calibrated", (0.0, -1.0, -2.0), None),
        ("other", 3.0, None),
        ("mean", None, None),
    ],
)
def test_an_item_has_a_score_in_the_unit_of_its_metric(kind, value, score):
    metric = MetricInfo(key="m", title="M", kind=kind)
    item = ItemScore(id="a", doc_hash="a", metrics={"m": value})
    assert score_of_item(metric, item) == (None if score is None else pytest.approx(score))
