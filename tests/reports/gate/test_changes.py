"""The questions that changed: counts, both answers, gains and losses by slice."""

from dataclasses import replace

import pytest

from reports.gate.changes import task_changes
from reports.gate.inputs import ItemScore, slice_hashes
from tests.reports.gate.examples import ACCURACY, LENGTH, PERPLEXITY, ROUGE, inputs, with_items

BEFORE = [1.0, 1.0, 0.0, 0.0, 1.0, 0.0]
AFTER = [0.0, 1.0, 1.0, 0.0, 0.0, 0.0]  # lost 0 and 4, gained 2


def answering(side, text, **fields):
    """The items with an answer that names the model, and these columns by position."""

    def change(item):
        columns = {name: values[int(item.id)] for name, values in fields.items()}
        return item.model_copy(update={"output": f"{text} {item.id}", "question": f"Q{item.id}?", "fields": columns})

    return with_items(side, change)


def stored(side):
    """The items as a stored baseline has them, without texts."""
    keep = set(ItemScore.model_fields)
    scores = {
        key: ItemScore(**(item.model_dump(include=keep) | {"slices": slice_hashes(item)}))
        for key, item in side.items["t"].items()
    }
    return replace(side, items={"t": scores})


def changes_of(before=BEFORE, after=AFTER, metric=ACCURACY, *, as_baseline=lambda side: side, **fields):
    baseline, candidate = inputs(metric, before, after)
    baseline, candidate = answering(baseline, "old", **fields), answering(candidate, "new", **fields)
    return task_changes(candidate, as_baseline(baseline))


def test_worse_and_better_answers_are_counted_and_shown_with_both_texts():
    (change,) = changes_of()
    assert (change.task, change.title, change.items, change.lost, change.gained) == ("t", "T", 6, 2, 1)
    assert [(item.id, item.baseline, item.candidate) for item in change.changed] == [
        ("0", 1.0, 0.0),
        ("4", 1.0, 0.0),
        ("2", 0.0, 1.0),
    ]
    first = change.changed[0]
    assert (first.question, first.gold, first.baseline_answer, first.candidate_answer) == (
        "Q0?",
        "maybe",
        "old 0",
        "new 0",
    )


def test_slices_are_the_gold_label_and_short_columns():
    (change,) = changes_of(ward=["A", "A", "B", "B", "B", "A"])
    assert [(it.column, it.value, it.items, it.gained, it.lost) for it in change.slices] == [
        ("class", "yes", 4, 1, 1),
        ("class", "maybe", 2, 0, 1),
        ("ward", "A", 3, 0, 1),
        ("ward", "B", 3, 1, 1),
    ]


def test_columns_with_one_value_or_with_many_are_no_slices():
    many = [str(n) for n in range(40)]
    (change,) = changes_of(BEFORE * 5, AFTER * 5, one=["x"] * 40, many=[f"id {n}" for n in many])
    assert {it.column for it in change.slices} == {"class"}


def test_a_column_that_the_baseline_describes_otherwise_is_left_out():
    baseline, candidate = inputs(ACCURACY, BEFORE, AFTER)
    baseline = with_items(baseline, lambda item: item.model_copy(update={"gold": "yes"}))
    (change,) = task_changes(candidate, baseline)
    assert change.slices == []
    assert change.lost == 2


def test_a_stored_baseline_has_no_answers_and_the_same_counts():
    (change,) = changes_of(as_baseline=stored, ward=["A", "A", "B", "B", "B", "A"])
    assert [item.baseline_answer for item in change.changed] == ["", "", ""]
    assert [item.candidate_answer for item in change.changed] == ["new 0", "new 4", "new 2"]
    assert [(it.value, it.gained, it.lost) for it in change.slices] == [
        ("yes", 1, 1), ("maybe", 0, 1), ("A", 0, 1), ("B", 1, 1)
    ]  # fmt: skip


def test_the_largest_changes_come_first_and_five_each_way_are_shown():
    before = [0.5] * 14
    after = [0.4, 0.1, 0.3, 0.2, 0.45, 0.0, 0.49, 0.6, 0.9, 0.7, 0.8, 0.55, 1.0, 0.51]
    (change,) = changes_of(before, after, ROUGE)
    assert (change.lost, change.gained) == (7, 7)
    assert [item.candidate for item in change.changed] == [0.0, 0.1, 0.2, 0.3, 0.4, 1.0, 0.9, 0.8, 0.7, 0.6]


def test_several_answers_to_a_question_are_one_question():
    baseline, candidate = inputs(ROUGE, [0.5, 0.5], [0.9, 0.2])
    repeated = replace(
        candidate,
        items={"t": {
            key: item.model_copy(update={"id": "0", "doc_hash": "0", "repeat": int(key)})
            for key, item in candidate.items["t"].items()
        }},
    )  # fmt: skip
    (change,) = task_changes(repeated, baseline)
    assert (change.items, change.gained, change.lost) == (1, 1, 0)
    assert change.changed[0].candidate == pytest.approx(0.55)


def test_tasks_without_a_value_for_each_answer_and_changed_questions_have_none():
    texts = [(-20.0, 10.0)] * 3
    assert changes_of(texts, texts, PERPLEXITY) == []
    baseline, candidate = inputs(ACCURACY, BEFORE, AFTER)
    others = with_items(baseline, lambda item: item.model_copy(update={"doc_hash": "other"}))
    assert task_changes(candidate, others) == []
    assert task_changes(candidate, replace(baseline, items={})) == []


def test_long_texts_are_cut():
    baseline, candidate = inputs(ACCURACY, BEFORE, AFTER)
    long = with_items(candidate, lambda item: item.model_copy(update={"output": "a" * 300, "question": "q" * 300}))
    (change,) = task_changes(long, baseline)
    assert change.changed[0].candidate_answer == "a" * 200
    assert change.changed[0].question == "q" * 200


def test_a_lower_value_is_better_where_the_metric_says_so():
    length = LENGTH.model_copy(update={"higher_is_better": False})
    (change,) = changes_of([5.0, 5.0, 5.0], [9.0, 2.0, 5.0], length)
    assert (change.lost, change.gained) == (1, 1)
    assert [item.id for item in change.changed] == ["0", "1"]
