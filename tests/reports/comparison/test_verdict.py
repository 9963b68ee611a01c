"""The verdict says what the comparisons say, with how many items would settle the rest."""

import pytest

from reports.comparison.verdict import sentences
from reports.document.reading import read_results
from reports.document.schema import Comparison, MetricInfo

METRICS = [
    MetricInfo(key="accuracy", title="Accuracy", kind="proportion", higher_is_better=True, percent=True),
    MetricInfo(key="rouge_l", title="ROUGE-L", higher_is_better=True, percent=True, relevant=0.02),
    MetricInfo(key="ended", title="Ended", kind="proportion", higher_is_better=True, percent=True, secondary=True),
]


@pytest.fixture
def verdict(tiny_run):
    """The sentence on `adapter` for given outcomes by metric."""
    results = read_results(tiny_run)
    task = results.tasks[0].model_copy(update={"metrics": METRICS, "synthetic": False})
    names = {"task": task.name, "baseline": "base", "candidate": "adapter", "n": 60, "difference": 0.031}

    def say(**outcomes):
        pairs = [
            Comparison(**names, metric=key, outcome=outcome, relevant=0.05, items_needed=1234)
            for key, outcome in outcomes.items()
        ]
        return sentences(results.model_copy(update={"tasks": [task], "comparisons": pairs, "overlap": None}))[0]

    return say


def test_better_and_worse_are_named_with_their_size(verdict):
    said = verdict(accuracy="better", rouge_l="worse", ended="better")
    assert said == (
        "Against base, adapter is better in Accuracy (+3.1 pp) and worse in ROUGE-L (+3.1 pp)."
        " Of the further metrics it is better in Ended (+3.1 pp)."
    )


def test_metrics_of_one_name_are_told_apart_by_their_task(tiny_run):
    results = read_results(tiny_run)
    tasks = [
        results.tasks[0].model_copy(update={"name": name, "label": label, "metrics": METRICS[:1], "synthetic": False})
        for name, label in (("one", "PubMedQA"), ("two", "PubMedQA, question only"))
    ]
    pairs = [
        Comparison(
            task=task.name,
            metric="accuracy",
            baseline="base",
            candidate="adapter",
            n=60,
            difference=change,
            outcome="better" if change > 0 else "worse",
        )
        for task, change in zip(tasks, (0.031, -0.05), strict=True)
    ]
    said = sentences(results.model_copy(update={"tasks": tasks, "comparisons": pairs, "overlap": None}))[0]
    assert said == (
        "Against base, adapter is better in Accuracy [PubMedQA] (+3.1 pp) and worse in Accuracy"
        " [PubMedQA, question only] (-5.0 pp)."
    )


def test_no_difference_is_not_too_few_items(verdict):
    said = verdict(accuracy="too few items", rouge_l="no detectable difference")
    assert said == (
        "Against base, adapter is better or worse in no main metric, as far as these items can tell; no difference"
        " could be detected in ROUGE-L; these items are too few to tell for Accuracy (1,234 would show a difference of"
        " 5.0 pp)."
    )
