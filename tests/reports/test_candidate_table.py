"""One model beside the baseline: main metrics first, outcomes in words with a mark, labels only where needed."""

from pathlib import Path

import pytest

from reports.candidate_table import candidate_table
from reports.document.evidence import OverlapCheck, OverlapMatch
from reports.document.reading import read_results
from reports.document.suites import SuiteInfo
from tests.reports.page.curves import curve_results

QUICKSTART = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "quickstart" / "results.json"


@pytest.fixture
def results():
    return read_results(QUICKSTART)


def test_main_metrics_come_first_with_outcomes_of_the_report(results):
    table, outcomes = candidate_table(results, "adapter")
    assert table.columns == ("Metric", "base", "adapter", "Difference", "n", "Outcome")
    assert table.rows[:5] == (
        ("Accuracy ↑", "43.9 %", "34.8 %", "-9.1 pp [-25.1, +6.9]", "66", "? inconclusive"),
        ("Macro-F1 ↑", "30.7 %", "17.2 %", "-13.5 pp [-36.4, +10.6]", "66", "? inconclusive"),
        ("Perplexity ↓", "113.5", "45.95", "-67.54 [-78.29, -57.42]", "36", "▲ better"),
        ("ROUGE-L ↑", "6.3 %", "10.1 %", "+3.9 pp [-0.0, +6.4]", "20", "? inconclusive"),
        ("Format compliance ↑", "0.0 %", "65.0 %", "+65.0 pp [+25.8, +85.0]", "20", "▲ better"),
    )
    assert outcomes[:5] == ["inconclusive", "inconclusive", "better", "inconclusive", "better"]
    assert [row[0] for row in table.rows[5:7]] == ["Accuracy after calibration ↑", "Brier score ↓"]
    others = {row[0]: row[5] for row in table.rows[5:]}
    assert others["Log score ↓"] == "▼ worse"
    assert others["Empty answers ↓"] == "= identical on all 20 items"
    assert others["Reasoning length (tokens)"] == "◆ different"
    assert others["Bits per byte ↓"] == "- not tested"


def test_without_intervals(results):
    table, _ = candidate_table(results, "adapter", intervals=False)
    assert [row[3] for row in table.rows[:3]] == ["-9.1 pp", "-13.5 pp", "-67.54"]


def test_metrics_that_several_tasks_share_have_the_task_s_label(results):
    first = results.tasks[0]
    second = first.model_copy(update={"name": "medqa", "label": "MedQA, synthetic items"})
    table, _ = candidate_table(results.model_copy(update={"tasks": [*results.tasks, second]}), "adapter")
    titles = [row[0] for row in table.rows]
    assert titles[:2] == ["Accuracy [PubMedQA] ↑", "Macro-F1 [PubMedQA] ↑"]
    assert "Accuracy [MedQA] ↑" in titles
    assert table.rows[titles.index("Accuracy [MedQA] ↑")][1:] == ("n/a", "n/a", "n/a", "n/a", "")


def test_the_baseline_alone_has_its_scores():
    results = curve_results()
    table, outcomes = candidate_table(results, "base")
    assert table.columns == ("Metric", "base", "n")
    assert table.rows[0] == ("Accuracy ↑", "40.0 % [30.9, 49.8]", "100")
    assert candidate_table(results, "base", intervals=False)[0].rows[0][1] == "40.0 %"
    assert outcomes == [None, None]


def test_a_suite_has_a_row_among_the_main_metrics():
    results = curve_results()
    score = results.scores[0].model_copy(update={"task": "medical", "metric": "mean_accuracy", "n": 300})
    suite = SuiteInfo(name="medical", tasks=["quiz"], title="Mean of medical", scores=[score])
    table, _ = candidate_table(results.model_copy(update={"suites": [suite]}), "base")
    assert [row[0] for row in table.rows] == ["Accuracy ↑", "Mean of medical ↑", "Length"]
    assert table.rows[1][1:] == ("40.0 % [30.9, 49.8]", "300")


def test_scores_on_items_of_the_training_are_marked():
    match = OverlapMatch(task="quiz", item="1", row="r", role="train", kind="exact", part="question", share=1.0, rows=1)
    overlap = OverlapCheck(method="", models=["adapter-step-20"], rows=1, items={"quiz": 100}, matches=[match])
    table, _ = candidate_table(curve_results().model_copy(update={"overlap": overlap}), "adapter-step-20")
    assert table.rows[0][1:3] == ("40.0 %", "50.0 % †")
