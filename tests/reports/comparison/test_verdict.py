"""The verdict says what the comparisons say: collapse first, then each outcome in its own words."""

import pytest

from reports.comparison.label_use import label_use
from reports.comparison.verdict import sentences
from reports.document.evidence import Flips, Noise, OverlapCheck, OverlapMatch, Shift
from reports.document.schema import Comparison, MetricInfo, TaskInfo
from tests.reports.comparison.handmade import write_run

METRICS = [
    MetricInfo(key="accuracy", title="Accuracy", kind="proportion", higher_is_better=True, percent=True),
    MetricInfo(key="rouge_l", title="ROUGE-L", higher_is_better=True, percent=True, relevant=0.02),
    MetricInfo(key="ended", title="Ended", kind="proportion", higher_is_better=True, percent=True, secondary=True),
]


@pytest.fixture
def run(tmp_path):
    """Results of a base and an adapter on one task, and no comparison yet."""
    task = TaskInfo(name="pubmedqa", title="PubMedQA, official 500 test ids", metrics=METRICS)
    return write_run(tmp_path, {"base": [0, 1], "adapter": [1, 1]}, tasks=[task], scores=[])


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


def test_models_that_collapse_alike_share_a_sentence(run):
    given = {"base": "no", "adapter": "no", "c": "maybe"}
    answers = {(name, "pubmedqa"): [("yes", label)] * 10 for name, label in given.items()}
    first, second, *_ = say(run, label_use=label_use(answers))
    assert first.startswith("Label collapse: base and adapter give 'no' to 100.0 % of the 10 items")
    assert "; their accuracy is " in first
    assert second.startswith("Label collapse: c gives 'maybe' to 100.0 % of the 10 items")


def test_a_model_without_shared_items_and_a_run_of_one_model_have_nothing_to_compare(run):
    nothing = pair(run, "accuracy", "not compared", difference=None)
    assert say(run, nothing) == ["adapter cannot be compared with base: the two have no values of the same items."]
    alone = run.model_copy(update={"models": [model for model in run.models if model.name == "base"]})
    assert sentences(alone) == ["Only base was scored, so there is nothing to compare it with."]


def test_a_collapse_without_a_label_or_without_a_conclusion_says_so(run):
    answers = {("adapter", "pubmedqa"): [("yes", "none")] * 6 + [("no", "none")] * 4}
    (use,) = label_use(answers)
    unclear = use.model_copy(update={"outcome": "inconclusive", "task": "unknown"})
    assert say(run, label_use=[unclear])[0] == (
        "Label collapse: adapter gives no label to 100.0 % of the 10 items of unknown, where 0.0 % have it in gold; its"
        " accuracy is not shown to differ from always giving 'yes' (60.0 %)."
    )


@pytest.mark.parametrize(
    ("outcome", "words"),
    [("better", "is still better than"), ("identical", "is that of"), ("equivalent", "is equivalent to")],
)
def test_a_collapse_is_compared_with_the_majority_label(run, outcome, words):
    (use,) = label_use({("adapter", "pubmedqa"): [("yes", "yes")] * 6 + [("no", "yes")] * 4})
    (said, _) = say(run, label_use=[use.model_copy(update={"outcome": outcome})])
    assert f"; its accuracy {words} always giving 'yes' (60.0 %)." in said


def test_test_items_that_were_trained_on_are_named_with_the_models(run):
    names = {"task": "pubmedqa", "row": "r", "role": "train", "kind": "exact", "part": "question", "share": 1.0}
    matches = [OverlapMatch(item=item, rows=1, **names) for item in ("1", "2")]
    check = OverlapCheck(method="", models=["adapter", "other"], rows=9, items={"pubmedqa": 500}, matches=matches)
    assert say(run, pair(run, "accuracy", "better"), overlap=check) == [
        (
            "Trained on test items: 2 of the 500 items of pubmedqa share text with rows that adapter and other trained"
            " on, so the scores there, marked \N{DAGGER}, are not a fair measure."
        ),
        "Compared with base, adapter is better in Accuracy (+3.1 pp).",
    ]
    own = check.model_copy(update={"matches": [match.model_copy(update={"models": ["other"]}) for match in matches]})
    assert "share text with rows that other trained on, so" in say(run, overlap=own)[0]
    clean = check.model_copy(update={"matches": []})
    assert len(say(run, pair(run, "accuracy", "better"), overlap=clean)) == 1


def test_every_model_gets_a_sentence_and_synthetic_items_are_called_so(run):
    models = [*run.models, run.models[1].model_copy(update={"name": "other"})]
    pairs = [pair(run, "accuracy", "better"), pair(run, "rouge_l", "better")]
    pairs[1] = pairs[1].model_copy(update={"candidate": "other"})
    tasks = [run.tasks[0].model_copy(update={"synthetic": True})]
    assert say(run, *pairs, models=models, tasks=tasks) == [
        "Compared with base, adapter is better in Accuracy (+3.1 pp).",
        "Compared with base, other is better in ROUGE-L (+3.1 pp).",
        (
            "The sample data that ships with medbench is synthetic: its scores are a demonstration, not a benchmark"
            " result."
        ),
    ]


@pytest.mark.parametrize(
    ("labels", "titles"),
    [
        (("PubMedQA, 500 items", "Other, 500 items"), ("PubMedQA", "Other")),
        (("PubMedQA, 500 items", "Other, 300 items"), ("PubMedQA, 500 items", "Other, 300 items")),
        (("PubMedQA", "PubMedQA, generated"), ("PubMedQA", "PubMedQA, generated")),
    ],
)
def test_labels_lose_the_end_that_all_share(run, labels, titles):
    names = ("one", "two")
    tasks = [
        run.tasks[0].model_copy(update={"name": name, "label": label, "metrics": METRICS[:1]})
        for name, label in zip(names, labels, strict=True)
    ]
    pairs = [pair(run, "accuracy", "equivalent").model_copy(update={"task": name}) for name in names]
    (said,) = say(run, *pairs, tasks=tasks)
    assert said.endswith(f"in Accuracy [{titles[0]}] and Accuracy [{titles[1]}].")


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
