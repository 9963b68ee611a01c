"""Suites by name: what they stand for, and that their catalogue and its page agree."""

import re

import pytest

from benchmarks.catalogue import generated
from tasks.benchmarks import BENCHMARKS
from tasks.catalog import CONFIG_FOLDER
from tasks.suites import SUITES, expand, named_suites, purpose_of


def test_a_suite_stands_for_its_tasks_among_others_once_each():
    assert expand(["arc_easy", "control", "glianorex_en"]) == [
        "arc_easy",
        "glianorex_en",
        "medbench_glianorex_shuffled",
        "medbench_glianorex_no_question",
    ]
    assert [suite.name for suite in named_suites(["retention", "arc_easy", "control", "retention"])] == [
        "retention",
        "control",
    ]


def test_the_medical_suite_is_the_leaderboards_row():
    medical = SUITES["medical"]
    assert [task for task, _ in medical.mean_of] == medical.tasks
    assert len(medical.tasks) == 9
    sizes = {member.task: member.items or 0 for member in medical.members}
    assert sum(sizes.values()) == 7045
    assert sum(size for task, size in sizes.items() if task.startswith("mmlu_")) == 1089


def test_the_row_of_retention_is_the_mean_of_its_accuracies():
    assert SUITES["retention"].mean_of == (
        ("medbench_retention_hellaswag", "acc"),
        ("medbench_retention_arc_easy", "acc"),
        ("medbench_retention_mmlu", "acc"),
    )
    assert [name for name, suite in SUITES.items() if suite.mean_of] == ["medical", "retention"]


def test_a_task_is_a_target_unless_its_suite_measures_something_beside_it():
    tasks = ("medmcqa", "my_own", "medbench_retention_mmlu", "ifeval", "careqa_es", "kormedmcqa_nurse", "glianorex_en")
    assert [purpose_of(task) for task in tasks] == [
        *("target", "target", "retention", "retention", "languages", "languages", "control"),
    ]


def test_no_suite_holds_what_forbids_commercial_use():
    assert [member.task for suite in SUITES.values() for member in suite.members if member.non_commercial] == []
    assert {one.task for one in BENCHMARKS.values() if "-NC" in one.licence} == {
        one.task for one in BENCHMARKS.values() if one.non_commercial
    }


@pytest.mark.parametrize("tables", generated(), ids=lambda tables: tables.page.name)
def test_the_pages_are_the_catalogues(tables):
    text = tables.page.read_text(encoding="utf-8")
    assert tables.filled(text) == text, "run python -m benchmarks.catalogue"


def test_every_task_of_ours_is_in_the_page_of_metrics():
    (page,) = [tables.markdown for tables in generated() if tables.page.name == "metrics.md"]
    assert {path.stem for path in CONFIG_FOLDER.glob("*.yaml")} <= set(re.findall(r"^- `(\w+)`", page, re.MULTILINE))
    assert "| Perplexity ↓ | `perplexity` | main | 5 % |" in page
    assert "| ROUGE-L ↑ | `rouge_l` | main | 2 pp |" in page


@pytest.mark.slow  # lm-eval reads 14,000 files
def test_lm_eval_knows_every_task_and_nothing_by_the_name_of_a_suite():
    from harness.planning.task_names import lm_eval_tasks

    shipped = {path.stem for path in CONFIG_FOLDER.glob("*.yaml")}
    assert BENCHMARKS.keys() - shipped <= lm_eval_tasks().keys()
    assert SUITES.keys() & (lm_eval_tasks().keys() | shipped) == set()
