"""Confidence of answers in a run: from the probabilities of choices, and from the agreement of repeated answers."""

from types import SimpleNamespace

import pytest

from harness.runs.confident_answers import confident_answers
from harness.scoring.tally import Tally
from reports.choice_tables import confidence_table, confident_table
from reports.document.reading import read_results
from reports.document.schema import MetricInfo, Sample

LABELS = MetricInfo(key="macro_f1", title="Macro-F1", kind="macro_f1")


def scored(model, samples, repeats=1):
    """Answers of a model as a run holds them."""
    tally = Tally()
    for sample in samples:
        tally.add(sample)
    task = SimpleNamespace(name="t", answers=repeats)
    return SimpleNamespace(model=model, task=task, metrics=[LABELS], samples=tally.values)


def sample(item, repeat=0, pair=(0, 0), choices=None, output="yes"):
    """An answer with the numbers of its gold and its given label."""
    return Sample(
        id=item,
        doc_hash=item,
        model="base",
        task="t",
        prompt="",
        output=output,
        gold="yes",
        metrics={"macro_f1": tuple(map(float, pair))},
        choices=choices,
        repeat=repeat,
    )


def test_choices_have_the_probability_of_the_chosen_label():
    choices = {"yes": -1.0, "no": -2.0}
    given = [sample("a", choices=choices), sample("b", choices={"yes": -3.0, "no": -1.0}, output="no")]
    (result,) = confident_answers([scored("base", given)], "base", seed=0)
    assert (result.source, result.items, result.accuracy) == ("probability", 2, 0.5)
    assert [(level.least, level.items) for level in result.levels][:4] == [(0.5, 2), (0.6, 2), (0.7, 2), (0.8, 1)]


def test_repeats_agree_on_the_most_frequent_label():
    labels = {"a": (0, 0, 1, 0), "b": (1, 1, 1, 1), "c": (2, 1, 0, 0)}  # gold is 0
    given = [sample(item, n, (0, label)) for item, of in labels.items() for n, label in enumerate(of)]
    (result,) = confident_answers([scored("base", given, repeats=4)], "base", seed=0)
    assert (result.source, result.items) == ("repeats", 3)
    assert [(level.items, level.accuracy) for level in result.levels] == [
        (3, pytest.approx(2 / 3)),
        (2, 0.5),
        (1, 0.0),
    ]


def test_answers_without_a_confidence_are_left_out():
    assert confident_answers([scored("base", [sample("a")])], "base", seed=0) == []


def test_a_run_reports_risk_and_coverage(tiny_run):
    results = read_results(tiny_run)
    by = {(one.model, one.task): one for one in results.answer_confidence}
    assert set(by) == {("base", "medbench_pubmedqa"), ("adapter", "medbench_pubmedqa")}
    base, adapter = by["base", "medbench_pubmedqa"], by["adapter", "medbench_pubmedqa"]
    assert (base.items, base.difference, base.outcome) == (6, None, None)
    assert adapter.difference == pytest.approx(adapter.area - base.area)
    accuracy = results.scores_by_key()["adapter", "medbench_pubmedqa", "accuracy"]
    assert adapter.accuracy == pytest.approx(accuracy.value)
    assert confidence_table(results).rows[0][0].startswith("base, PubMedQA")
    assert confident_table(results).columns[:3] == ("Model and items", "All answers", "Confidence from 0.5")
    page = (tiny_run / "report.html").read_text(encoding="utf-8")
    assert "Confidence of answers" in page
    assert "Risk and coverage on PubMedQA" in page
