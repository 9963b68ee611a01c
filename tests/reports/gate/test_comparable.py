"""What keeps a value from being judged, and two models from being compared: the reasons, word by word."""

from dataclasses import replace

import pytest

from reports.document.schema import DataInfo, MetricInfo, TaskInfo
from reports.gate.comparable import incomparable, unusable
from tests.reports.gate.examples import ACCURACY, PERPLEXITY, ROUGE, first, inputs, with_items

VALUES = [0.2, 0.4, 0.6, 0.8, 1.0]
TEXTS = [(-20.0, 10.0), (-30.0, 10.0), (-10.0, 8.0)]
LABELS = [(0.0, 0.0), (1.0, 1.0), (1.0, 0.0)]


def metric_of(kind):
    return MetricInfo(key="m", title="M", kind=kind, higher_is_better=True)


def candidate(values=VALUES, metric=ROUGE):
    return inputs(metric, values, values)[1]


def scored(value):
    """The candidate, whose results document says so."""
    source = candidate()
    scores = [score.model_copy(update={"value": value}) for score in source.results.scores]
    return replace(source, results=source.results.model_copy(update={"scores": scores}))


def without_values(*ids):
    """The candidate, without the values of these items."""
    return with_items(candidate(), lambda item: item.model_copy(update={"metrics": {}}) if item.id in ids else item)


def both(values=VALUES, metric=ROUGE, **changes):
    """Candidate and baseline with equal values, the latter's results document with changes."""
    baseline, ours = inputs(metric, values, values)
    return ours, replace(baseline, results=baseline.results.model_copy(update=changes))


def test_a_value_that_its_samples_give_can_be_judged():
    assert unusable(candidate(), "t", ROUGE) == ""
    assert unusable(candidate(TEXTS, PERPLEXITY), "t", PERPLEXITY) == ""
    assert unusable(candidate(), "t", metric_of("other")) == ""


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (replace(candidate(), results=candidate().results.model_copy(update={"tasks": []})), " was not scored on t"),
        (replace(candidate(), faults={"t": "the samples are missing"}), ": the samples are missing"),
        (replace(candidate(), results=candidate().results.model_copy(update={"scores": []})), " has no value of t/m"),
        (scored(None), " has no value of t/m"),
        (without_values("1", "3"), ": 2 items have no value of t/m (1, 3)"),
        (without_values("0", "1", "2"), ": 3 items have no value of t/m (0, 1, 2)"),
        (without_values("0", "1", "2", "3"), ": 4 items have no value of t/m (0, 1, 2, ...)"),
        (replace(candidate(), items={"t": {}}), ": 0 items have no value of t/m"),
        (with_items(candidate(), first({"metrics": {}, "id": 50 * "x"})),
         f": 1 items have no value of t/m ({40 * 'x'})"),
        (scored(0.5), ": results.json says 0.5 for t/m, its samples give 0.6"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_judged(source, reason):
    assert unusable(source, "t", ROUGE) == f"adapter of r{reason}"


@pytest.mark.parametrize(("value", "is_usable"), [(0.6 + 9e-7, True), (0.6 + 2e-6, False)])
def test_a_value_may_differ_from_its_samples_by_a_millionth(value, is_usable):
    assert (unusable(scored(value), "t", ROUGE) == "") is is_usable


@pytest.mark.parametrize(("factor", "is_usable"), [(1 + 9e-7, True), (1 + 2e-6, False)])
def test_a_great_value_may_differ_by_a_millionth_of_it(factor, is_usable):
    source = candidate([1000.0, 3000.0])
    scores = [score.model_copy(update={"value": 2000.0 * factor}) for score in source.results.scores]
    source = replace(source, results=source.results.model_copy(update={"scores": scores}))
    assert (unusable(source, "t", ROUGE) == "") is is_usable


def test_models_of_one_run_can_be_compared():
    for values, metric in ((VALUES, ROUGE), (TEXTS, PERPLEXITY), (LABELS, metric_of("macro_f1"))):
        baseline, ours = inputs(metric, values, values)
        assert incomparable(ours, baseline, "t", metric) == ""


def task_of(metric, **facts):
    return TaskInfo(name="t", title="T", metrics=[metric], **facts)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tasks": []}, "the baseline has no t/m"),
        ({"tasks": [task_of(ROUGE.model_copy(update={"key": "n"}))]}, "the baseline has no t/m"),
        ({"tasks": [task_of(ACCURACY)]}, "t/m is a different metric in the baseline"),
        (
            {"tasks": [task_of(ROUGE.model_copy(update={"higher_is_better": False}))]},
            "t/m is a different metric in the baseline",
        ),
    ],
)
def test_a_metric_that_the_baseline_lacks_or_has_in_another_form(changes, reason):
    ours, baseline = both(**changes)
    assert incomparable(ours, baseline, "t", ROUGE) == reason


def test_a_task_that_the_candidate_lacks():
    baseline, ours = inputs(ROUGE, VALUES, VALUES)
    ours = replace(ours, results=ours.results.model_copy(update={"tasks": []}))
    assert incomparable(ours, baseline, "t", ROUGE) == "the baseline has no t/m"


def data(sha256, role="t"):
    return DataInfo(role=role, source="x", selection="all rows", rows=1, sha256=sha256, synthetic=False)


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"tasks": [task_of(ROUGE, version="2")]}, "the version of t (, baseline 2)"),
        ({"data": [data("b", "train"), data("a" * 20)]}, f"the data of t (None, baseline {'a' * 12})"),
        ({"medbench_version": "9"}, "medbench (0, baseline 9)"),
        ({"environment": {"packages": {"lm_eval": "9"}}}, "lm_eval (None, baseline 9)"),
        ({"environment": {"packages": {"rouge_score": "9"}}}, "rouge_score (None, baseline 9)"),
        ({"recipe": {"scoring": {"base": "4bit"}}}, "scoring.base (None, baseline 4bit)"),
        ({"recipe": {"scoring": {"dtype": "float16"}}}, "scoring.dtype (None, baseline float16)"),
        ({"recipe": {"scoring": {"max_new_tokens": 9}}}, "scoring.max_new_tokens (None, baseline 9)"),
        ({"medbench_version": "9", "environment": {"packages": {"lm_eval": "9"}}},
         "medbench (0, baseline 9); lm_eval (None, baseline 9)"),
    ],
)  # fmt: skip
def test_versions_and_settings_that_change_scores(changes, difference):
    ours, baseline = both(**changes)
    assert incomparable(ours, baseline, "t", ROUGE) == f"scored differently from the baseline: {difference}"


@pytest.mark.parametrize(
    "changes",
    [{"environment": {"packages": "unknown"}}, {"recipe": {"scoring": "unknown"}}, {"data": [data("b", "train")]}],
)
def test_facts_that_do_not_change_scores_may_differ(changes):
    ours, baseline = both(**changes)
    assert incomparable(ours, baseline, "t", ROUGE) == ""


def test_weights_that_are_held_in_another_way():
    ours, baseline = both(medbench_version="0")
    models = [model.model_copy(update={"weights": "NF4"}) for model in baseline.results.models]
    baseline = replace(baseline, results=baseline.results.model_copy(update={"models": models}))
    assert incomparable(ours, baseline, "t", ROUGE) == (
        "scored differently from the baseline: how weights are held while scoring (w, baseline NF4)"
    )


def test_items_that_only_one_was_scored_on_or_whose_text_changed():
    baseline, ours = inputs(ROUGE, VALUES, VALUES)
    fewer = inputs(ROUGE, VALUES[:3], VALUES[:3])
    only = "another item set of t: only one of the two was scored on 2 items (3, 4)"
    assert incomparable(ours, replace(fewer[0], results=ours.results), "t", ROUGE) == only
    assert incomparable(replace(fewer[1], results=baseline.results), baseline, "t", ROUGE) == only
    changed = with_items(baseline, first({"doc_hash": "other"}))
    text = "another item set of t: 1 items had another text for the baseline (0)"
    assert incomparable(ours, changed, "t", ROUGE) == text


@pytest.mark.parametrize(
    ("metric", "values", "other", "reason"),
    [
        (PERPLEXITY, TEXTS, (-20.0, 11.0),
         "1 items of t had a different number of tokens or bytes for the baseline (0)"),
        (PERPLEXITY, TEXTS, (-21.0, 10.0), ""),
        (metric_of("macro_f1"), LABELS, (1.0, 0.0), "1 items of t had a different gold label for the baseline (0)"),
        (metric_of("macro_f1"), LABELS, (0.0, 1.0), ""),
        (metric_of("batch_calibrated"), [(0.0, -1.0, -2.0), (1.0, -2.0, -1.0)], (1.0, -1.0, -2.0),
         "1 items of t had a different gold label for the baseline (0)"),
        (metric_of("ece"), [(0.9, 1.0), (0.8, 0.0)], (0.7, 0.0), ""),
        (metric_of("ratio"), TEXTS, (-20.0, 11.0), ""),
    ],
)  # fmt: skip
def test_the_gold_side_of_a_pair_must_be_the_same(metric, values, other, reason):
    baseline, ours = inputs(metric, values, values)
    changed = with_items(baseline, first({"metrics": {"m": other}}))
    assert incomparable(ours, changed, "t", metric) == reason
