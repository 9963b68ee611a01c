"""Rows of results: main metrics first, themes, remarks, marks of leakage, and ends in smallest relevant differences."""

import pytest

from reports.document.evidence import OverlapCheck, OverlapMatch
from reports.document.schema import Comparison, MetricInfo, ModelInfo, Score, TaskInfo
from reports.result_rows import make_row, row_groups, rows_table
from tests.reports.skeleton import results_of

ACCURACY = MetricInfo(key="accuracy", title="Accuracy", kind="proportion", higher_is_better=True, percent=True)
PERPLEXITY = MetricInfo(key="perplexity", title="Perplexity", kind="perplexity", higher_is_better=False)
BRIER = MetricInfo(key="brier", title="Brier score", higher_is_better=False, secondary=True)
BITS = MetricInfo(key="bits_per_byte", title="Bits per byte", higher_is_better=False, secondary=True, descriptive=True)
OWN = MetricInfo(key="of_other_people", title="Theirs", higher_is_better=True, secondary=True)


def comparison(metric, difference, low, high, outcome, candidate="new", **more):
    facts = {"task": "quiz", "metric": metric.key, "baseline": "base", "candidate": candidate, "n": 50, "level": 0.01}
    return Comparison(**facts, difference=difference, low=low, high=high, outcome=outcome, p_adjusted=0.0004, **more)


def scored(metric, value, model="base", task="quiz"):
    return Score(model=model, task=task, metric=metric.key, value=value, low=value / 2, high=value * 1.5, n=50)


def results(*metrics, models=("base", "new"), **parts):
    infos = [ModelInfo(name=name, kind="adapter", source=name, sha256=name, weights="float32") for name in models]
    scores = [scored(metric, 0.5, model) for metric in metrics for model in models]
    tasks = [TaskInfo(name="quiz", title="Quiz", metrics=list(metrics))]
    return results_of(**({"models": infos, "tasks": tasks, "scores": scores} | parts))


def test_main_metrics_come_first_and_the_others_by_theme():
    groups = row_groups(results(BRIER, ACCURACY, OWN, BITS, PERPLEXITY))
    assert [(group.title, group.is_main, [row.title for row in group.rows]) for group in groups] == [
        ("Main metrics", True, ["Accuracy ↑", "Perplexity ↓"]),
        ("Probabilities and calibration", False, ["Brier score ↓"]),
        ("Further metrics", False, ["Theirs ↑"]),
        ("Likelihood of the gold texts", False, ["Bits per byte ↓"]),
    ]


def test_main_metrics_of_tasks_beside_the_target_have_groups_of_their_own():
    tasks = [
        TaskInfo(name=purpose, title=purpose, metrics=[ACCURACY], purpose=purpose)
        for purpose in ("control", "retention", "target", "languages")
    ]
    groups = row_groups(results(tasks=tasks, scores=[scored(ACCURACY, 0.5, "new", task.name) for task in tasks]))
    assert [group.title for group in groups] == ["Main metrics", "General knowledge", "Other languages", "Controls"]


def test_each_model_has_a_row_of_a_metric_and_outcomes_are_counted():
    pairs = [comparison(ACCURACY, 0.1, 0.02, 0.2, "better"), comparison(ACCURACY, -0.1, -0.2, -0.02, "worse", "two")]
    (group,) = row_groups(results(ACCURACY, models=("base", "new", "two"), comparisons=pairs))
    assert [(row.model, row.outcome, row.change) for row in group.rows] == [
        ("new", "better", "+10.0 pp"),
        ("two", "worse", "-10.0 pp"),
    ]
    assert group.counts == [("better", 1), ("worse", 1)]


def test_right_is_better_and_one_is_the_smallest_relevant_difference():
    for metric, base, pair, ends in (
        (ACCURACY, 0.5, comparison(ACCURACY, 0.1, 0.05, 0.2, "better", relevant=0.05), (2, 1, 4)),
        (PERPLEXITY, 100.0, comparison(PERPLEXITY, -10.0, -20.0, 5.0, "better", relevant=5.0), (2, -1, 4)),
        (PERPLEXITY, 100.0, comparison(PERPLEXITY, 10.0, 5.0, 20.0, "worse"), (-2, -4, -1)),
        (
            BRIER.model_copy(update={"higher_is_better": None}),
            1.0,
            comparison(BRIER, 1.0, 0.5, 2, "different"),
            (20, 10, 40),
        ),
    ):
        assert make_row("x", metric, (scored(metric, base), None), pair).ends == pytest.approx(ends)
    assert make_row("x", ACCURACY, (None, None), comparison(ACCURACY, 0.1, None, None, "not tested")).ends is None


@pytest.mark.parametrize(
    ("pair", "remark"),
    [
        (comparison(ACCURACY, 0.0, -0.1, 0.1, "inconclusive", items_needed=1507), "about 1,507 items needed"),
        (comparison(ACCURACY, 0.0, -0.1, 0.1, "inconclusive"), ""),
        (comparison(ACCURACY, 0.0, -0.1, 0.1, "identical"), "on all 50 items"),
        (comparison(ACCURACY, 0.3, 0.1, 0.4, "better", caution="few items"), "unreliable: few items"),
        (comparison(ACCURACY, None, None, None, "not compared", caution="no shared items"), "no shared items"),
    ],
)
def test_a_remark_says_what_limits_an_outcome(pair, remark):
    row = make_row("x", ACCURACY, (None, None), pair)
    assert row.remark == remark
    assert row.outcome_text.endswith(f"({remark})" if remark else pair.outcome)


def test_scores_on_items_that_a_model_was_trained_on_are_marked():
    match = OverlapMatch(
        task="quiz", item="1", row="r", role="train", kind="exact", part="question", share=1.0, rows=1, models=["new"]
    )
    check = OverlapCheck(method="m", models=["new"], rows=9, items={"quiz": 50}, matches=[match])
    (group,) = row_groups(results(ACCURACY, overlap=check))
    assert (group.rows[0].base[0], group.rows[0].own[0]) == ("50.0 %", "50.0 % †")


def test_the_table_of_one_model_names_it_and_that_of_several_has_a_column():
    pair = comparison(ACCURACY, 0.1, 0.02, 0.2, "better")
    (group,) = row_groups(results(ACCURACY, comparisons=[pair]))
    table = rows_table(group.rows, "base")
    assert table.columns == ("Metric", "Outcome", "Change", "base", "new", "Confidence", "p", "n")
    assert table.rows[0][:3] == ("Accuracy ↑", "▲ better", "+10.0 pp [+2.0, +20.0]")
    assert table.rows[0][5:] == ("99 %", "< 0.001", "50")
    two = results(ACCURACY, models=("base", "new", "two"), comparisons=[pair])
    assert rows_table(row_groups(two)[0].rows, "base").columns[:2] == ("Metric", "Model")


def test_a_base_alone_has_scores_without_outcomes():
    (group,) = row_groups(results(ACCURACY, models=("base",)))
    assert rows_table(group.rows, "base").columns == ("Metric", "base", "n")
    assert group.counts == []
    assert rows_table([], "base") is None
