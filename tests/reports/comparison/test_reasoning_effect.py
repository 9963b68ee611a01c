"""Accuracy with reasoning minus accuracy by log-likelihood, paired by item; samples by hand."""

import pytest

from reports.choice_tables import reasoned_table
from reports.comparison.proportions import score_interval
from reports.comparison.reasoning_effect import reasoning_effect
from reports.document.schema import Results, Sample, TaskInfo
from tests.reports.comparison.handmade import model


def samples(task, key, values, first=0, **more):
    return [
        Sample(
            id=str(number),
            doc_hash=f"{task} {number}",
            model="base",
            task=task,
            prompt="",
            output="",
            gold="",
            metrics={key: float(value)},
            **more,
        )
        for number, value in enumerate(values, first)
    ]


BY_LIKELIHOOD = samples("exam", "acc", [1] * 40 + [0] * 60)
REASONED = samples("exam_reasoned", "accuracy", [1] * 30 + [0] * 10 + [1] * 25 + [0] * 35)
SAME = {str(number): str(number) for number in range(100)}


def test_the_difference_is_paired_and_has_the_score_interval():
    effect = reasoning_effect(BY_LIKELIHOOD, REASONED, SAME, seed=0)
    assert (effect.model, effect.task, effect.by_likelihood) == ("base", "exam_reasoned", "exam")
    assert (effect.items, effect.unpaired) == (100, 0)
    assert (effect.likelihood_accuracy, effect.reasoned_accuracy) == (0.4, 0.55)
    assert effect.difference == pytest.approx(0.15)
    assert (effect.low, effect.high) == pytest.approx(score_interval(25, 10, 100, 0.05))
    assert (effect.low, effect.high) == pytest.approx((0.0358, 0.2630), abs=5e-4)


def test_items_that_only_one_way_was_asked_are_counted_and_left_out():
    effect = reasoning_effect(BY_LIKELIHOOD, REASONED[:60], {str(n): str(n) for n in range(50)}, seed=0)
    assert (effect.items, effect.unpaired) == (50, 50 + 10)
    assert (effect.likelihood_accuracy, effect.reasoned_accuracy) == (0.8, 0.8)
    nothing = reasoning_effect(BY_LIKELIHOOD, REASONED, {}, seed=0)
    assert (nothing.items, nothing.unpaired, nothing.difference, nothing.low) == (0, 200, None, None)


def test_repeats_of_an_item_are_averaged():
    again = samples("exam_reasoned", "accuracy", [0] * 100, repeat=1)
    effect = reasoning_effect(BY_LIKELIHOOD, [*REASONED, *again], SAME, seed=0)
    assert (effect.items, effect.reasoned_accuracy) == (100, 0.275)


def document(*effects, tasks=(), **more):
    tasks = tasks or [
        TaskInfo(name="exam", title="Exam"),
        TaskInfo(name="exam_reasoned", title="", by_likelihood="exam"),
    ]
    facts = {"medbench_version": "1", "name": "", "created": "", "command": "", "seed": 7, "baseline": "base"}
    facts |= {"recipe": {"scoring": {"max_new_tokens": 512}}, "environment": {}, "data": []}
    return Results(models=[model("base", "base")], tasks=tasks, reasoning=list(effects), **facts, **more)


def test_the_table_has_the_difference_with_its_interval_and_what_is_left_out():
    effect = reasoning_effect(BY_LIKELIHOOD, REASONED, SAME, seed=0)
    (row,) = reasoned_table(document(effect)).rows
    assert list(row[:-1]) == ["base, Exam", "40.0 %", "55.0 %", "+15.0 pp [+3.6, +26.3]", "100"]
    fewer = effect.model_copy(update={"unpaired": 7, "low": None})
    ((_, _, _, difference, items, _),) = reasoned_table(document(fewer)).rows
    assert (difference, items) == ("+15.0 pp", "100 (without 7 that only one has)")
