"""The verdict says what the comparisons say: collapse first, then each outcome in its own words."""

import pytest

from reports.comparison.label_use import label_use
from reports.comparison.verdict import sentences
from reports.document.evidence import Flips, Noise, Shift
from reports.document.reading import read_results
from reports.document.schema import Comparison, MetricInfo

METRICS = [
    MetricInfo(key="accuracy", title="Accuracy", kind="proportion", higher_is_better=True, percent=True),
    MetricInfo(key="rouge_l", title="ROUGE-L", higher_is_better=True, percent=True, relevant=0.02),
    MetricInfo(key="ended", title="Ended", kind="proportion", higher_is_better=True, percent=True, secondary=True),
]


@pytest.fixture
def run(tiny_run):
    """Results of one task that is not synthetic, and no comparison yet."""
    results = read_results(tiny_run)
    task = results.tasks[0].model_copy(update={"metrics": METRICS, "synthetic": False})
    return results.model_copy(
        update={"tasks": [task], "comparisons": [], "overlap": None, "label_use": [], "baseline": "base"}
    )


def pair(run, key, outcome, **options):
    names = {"task": run.tasks[0].name, "baseline": "base", "candidate": "adapter", "metric": key, "outcome": outcome}
    return Comparison(**{"n": 60, "difference": 0.031, "relevant": 0.05, "items_needed": 1234} | options | names)


def say(run, *pairs, **parts):
    return sentences(run.model_copy(update={"comparisons": list(pairs)} | parts))


def test_better_and_worse_are_named_with_their_size(run):
    pairs = [pair(run, "accuracy", "better"), pair(run, "rouge_l", "worse"), pair(run, "ended", "better")]
    assert say(run, *pairs) == [
        (
            "Compared with base, adapter is better in Accuracy (+3.1 pp) and worse in ROUGE-L (+3.1 pp)."
            " In the secondary metrics it is better in Ended (+3.1 pp)."
        )
    ]


def test_a_difference_that_is_not_relevant_or_not_reliable_says_so(run):
    small = pair(run, "accuracy", "better", low=0.001, high=0.049)
    flagged = pair(run, "rouge_l", "worse", low=-0.06, high=-0.01, caution="only 8 independent groups of items")
    assert say(run, small, flagged) == [
        (
            "Compared with base, adapter is better in Accuracy (+3.1 pp, below the relevant 5.0 pp) and worse in"
            " ROUGE-L (+3.1 pp, unreliable: only 8 independent groups of items)."
        )
    ]
    (at_margin,) = say(run, pair(run, "accuracy", "better", low=0.001, high=0.05))
    assert at_margin == "Compared with base, adapter is better in Accuracy (+3.1 pp)."


def test_equivalent_identical_and_inconclusive_are_three_things(run):
    pairs = [pair(run, "accuracy", "equivalent"), pair(run, "rouge_l", "inconclusive")]
    assert say(run, *pairs) == [
        (
            "Compared with base, adapter is shown to be better or worse in no main metric; equivalent within the"
            " relevant difference in Accuracy; inconclusive in ROUGE-L (about 1,234 items decide 5.0 pp)."
        )
    ]
    pairs = [pair(run, "accuracy", "identical"), pair(run, "rouge_l", "inconclusive", items_needed=None)]
    assert say(run, *pairs) == [
        (
            "Compared with base, adapter is shown to be better or worse in no main metric; identical on all 60 items in"
            " Accuracy; inconclusive in ROUGE-L."
        )
    ]


def test_noise_is_an_annotation_beside_the_outcome(run):
    flips = Flips(changed=3, items=200, low=0.0, high=0.1, limit=0.1)
    shift = Shift(value=-0.04, low=-0.06, high=-0.02, items=200)
    explained = pair(run, "accuracy", "better", noise=Noise(baseline=flips, candidate=flips, shift=shift))
    other_way = shift.model_copy(update={"value": 0.04, "low": 0.02, "high": 0.06})
    plain = pair(run, "accuracy", "better", noise=Noise(baseline=flips, candidate=flips, shift=other_way))
    assert say(run, plain) == ["Compared with base, adapter is better in Accuracy (+3.1 pp)."]
    (said,) = say(run, explained)
    assert said.startswith("Compared with base, adapter is better in Accuracy (")
    assert said.endswith("; not distinguishable from numerical noise in Accuracy.")


def test_a_label_collapse_comes_first(run):
    gold = ["yes"] * 55 + ["no"] * 45
    answers = {("adapter", run.tasks[0].name): [(label, "yes") for label in gold]}
    said = say(run, pair(run, "accuracy", "better"), label_use=label_use(answers))
    assert said[0] == (
        f"Label collapse: adapter gives 'yes' to 100.0 % of the 100 items of {run.tasks[0].short_title}, where 55.0 %"
        " have it in gold; its accuracy is equivalent to always giving 'yes' (55.0 %)."
    )
    assert said[1].startswith("Compared with base, adapter is better in Accuracy")
    answers = {("adapter", run.tasks[0].name): [(label, "no") for label in gold]}
    worse = label_use({("adapter", run.tasks[0].name): [*answers["adapter", run.tasks[0].name]] * 10})
    assert "its accuracy is worse than always giving 'yes' (55.0 %)" in say(run, label_use=worse)[0]


def test_a_model_without_shared_items_and_a_run_of_one_model_have_nothing_to_compare(run):
    nothing = pair(run, "accuracy", "not compared", difference=None)
    assert say(run, nothing) == ["adapter cannot be compared with base: the two have no values of the same items."]
    alone = run.model_copy(update={"models": [model for model in run.models if model.name == "base"]})
    assert sentences(alone) == ["Only base was scored, so there is nothing to compare it with."]


def test_metrics_of_one_name_are_told_apart_by_their_task(run):
    tasks = [
        run.tasks[0].model_copy(update={"name": name, "label": label, "metrics": METRICS[:1]})
        for name, label in (("one", "PubMedQA"), ("two", "PubMedQA, question only"))
    ]
    pairs = [
        pair(run, "accuracy", "better" if change > 0 else "worse", difference=change).model_copy(
            update={"task": task.name}
        )
        for task, change in zip(tasks, (0.031, -0.05), strict=True)
    ]
    assert say(run, *pairs, tasks=tasks) == [
        (
            "Compared with base, adapter is better in Accuracy [PubMedQA] (+3.1 pp) and worse in Accuracy"
            " [PubMedQA, question only] (-5.0 pp)."
        )
    ]
