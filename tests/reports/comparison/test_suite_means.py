"""The row of a suite, from the samples of its parts."""

import pytest

from reports.comparison.compare_models import judge
from reports.comparison.suite_means import SuitePart, compare_suite, suite_score
from reports.document.schema import MetricInfo, Results, Sample, SuiteInfo
from reports.frames import comparisons_frame, scores_frame
from reports.tables import scores_table, suites_note
from tests.reports.documents import results_value

ACC = MetricInfo(key="acc", title="Accuracy", kind="proportion", higher_is_better=True, percent=True)


def samples(model, task, values, cluster=None):
    return [
        Sample(
            id=str(number),
            doc_hash="same",
            model=model,
            task=task,
            prompt="",
            output="",
            gold="",
            metrics={"acc": float(value)},
            cluster=cluster(number) if cluster else None,
        )
        for number, value in enumerate(values)
    ]


def part(task, before, after, cluster=None):
    sides = {"base": samples("base", task, before, cluster), "adapter": samples("adapter", task, after, cluster)}
    return SuitePart(ACC, sides)


LARGE = part("large", [0] * 100 + [1] * 100, [0] * 80 + [1] * 120)  # 50 % to 60 %
SMALL = part("small", [0, 0, 1, 1], [1, 0, 0, 1])  # 50 % both


def test_the_mean_is_of_the_parts_however_many_items_they_have():
    score = suite_score("suite", "adapter", [LARGE, SMALL])
    assert (score.task, score.metric, score.n) == ("suite", "mean_accuracy", 204)
    assert score.value == pytest.approx(0.55)
    assert [score.low, score.high] == pytest.approx([0.1619546, 0.8854513], abs=1e-6)


def test_the_difference_is_paired_within_each_part():
    tested = compare_suite("suite", "base", "adapter", [LARGE, SMALL], seed=0)
    (judged,) = judge([tested])
    assert judged.difference == pytest.approx(0.05)
    assert judged.standard_error == pytest.approx(((0.1 - 0.01) / 200 + 0.5 / 4) ** 0.5 / 2)
    assert (judged.differing, judged.units, judged.n, judged.outcome) == (22, 204, 204, "inconclusive")
    assert judge([compare_suite("suite", "base", "adapter", [LARGE, LARGE], seed=0)])[0].outcome == "better"


def test_identical_answers_are_identical():
    same = part("same", [0, 1] * 20, [0, 1] * 20)
    assert judge([compare_suite("suite", "base", "adapter", [same, same], seed=0)])[0].outcome == "identical"


def test_items_that_share_a_source_count_as_one():
    apart = part("apart", [0, 0, 1, 1] * 30, [1, 1, 1, 1] * 15 + [0, 0, 1, 1] * 15)
    shared = part("apart", [0, 0, 1, 1] * 30, [1, 1, 1, 1] * 15 + [0, 0, 1, 1] * 15, cluster=lambda n: f"c{n // 4}")
    errors = [compare_suite("s", "base", "adapter", [one], seed=0).inference.standard_error for one in (apart, shared)]
    assert errors == pytest.approx([0.0395285, 0.0464238], rel=1e-4)


@pytest.fixture
def results():
    document = Results.model_validate(results_value(lambda name: name))
    tested = compare_suite("suite", "base", "adapter", [LARGE, LARGE], seed=0)
    names = [model.name for model in document.models]
    suite = SuiteInfo(
        name="suite",
        tasks=["quiz"],
        title="Mean of two",
        scores=[suite_score("suite", "base", [LARGE, LARGE]), suite_score("suite", "adapter", [LARGE, LARGE])],
        comparisons=judge([tested]),
    )
    missing = SuiteInfo(name="other", tasks=["quiz"], title="Mean of three", missing={"quiz": "not scored"})
    assert "adapter" in names
    return document.model_copy(update={"suites": [suite, missing], "baseline": "base"})


def test_tables_show_the_row_beside_the_tasks_and_say_what_is_missing(results):
    row = scores_table(results).rows[-1]
    assert row[0] == "Mean of two \N{UPWARDS ARROW}"
    assert any("60.0 %" in cell for cell in row)
    assert any("+10.0 pp" in cell for cell in row)
    assert suites_note(results) == (
        "Mean of three: no value, since parts of the suite other are missing: quiz (not scored)."
    )


def test_frames_have_the_row(results):
    scores = scores_frame(results)
    assert scores[scores.task == "suite"].value.tolist() == pytest.approx([0.5, 0.6])
    pairs = comparisons_frame(results)
    assert pairs[pairs.task == "suite"].difference.tolist() == pytest.approx([0.1])


def test_documents_from_before_suites_are_read():
    value = results_value(lambda name: name)
    del value["suites"]
    assert Results.model_validate(value).suites == []
