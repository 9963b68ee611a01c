"""Few-shot examples of PubMedQA items: which they are, and what stands in the prompt."""

import json

import pytest

from tasks.data import sample_indices
from tasks.formats import get_format
from tasks.pubmedqa import abstract_cot_dataset, abstract_dataset, question_cot_dataset

LABELS = ["yes", "no", "maybe", "yes", "no"]
SHAPE = get_format("think")


@pytest.fixture
def items(tmp_path):
    """Five PubMedQA items, of which the last two are scored."""
    value = {
        str(number): {
            "QUESTION": f"Question {number}?",
            "CONTEXTS": ["Text."],
            "final_decision": label,
            "LONG_ANSWER": f"Conclusion {number}.",
        }
        for number, label in enumerate(LABELS)
    }
    (tmp_path / "items.json").write_text(json.dumps(value))
    return {"source": str(tmp_path / "items.json"), "ids": ["3", "4"], "rows": 2}


@pytest.mark.parametrize("seed", range(4))
def test_examples_are_drawn_by_seed_from_the_items_that_are_not_scored(items, seed):
    """The first of one more than wanted, which would stand in for one that asks the same."""
    rows = abstract_dataset(pubmedqa=items, shots=2, seed=seed)["test"]
    drawn = sample_indices(3, 3, seed)[:2]
    examples = "".join(f"Abstract: Text.\nQuestion: Question {n}?\nAnswer: {LABELS[n]}\n\n" for n in drawn)
    assert {row["id"]: row["prompt"] for row in rows} == {
        str(n): f"{examples}Abstract: Text.\nQuestion: Question {n}?\nAnswer:" for n in (3, 4)
    }


def test_examples_in_a_format_have_the_conclusion_as_their_reasoning(items):
    rows = question_cot_dataset(pubmedqa=items, shots=2, seed=1, format="think")["test"]
    drawn = sample_indices(3, 3, 1)[:2]
    for row in rows:
        *examples, _ = row["prompt"].split("Question: ")[1:]
        assert [text.partition("?")[0] for text in examples] == [f"Question {n}" for n in drawn]
        for text, n in zip(examples, drawn, strict=True):
            assert text.strip().endswith(SHAPE.completion(f"Conclusion {n}.", f"{LABELS[n].capitalize()}.").strip())


def test_where_all_items_are_scored_the_examples_are_others_of_them(items):
    everything = {"source": items["source"], "ids": "all"}
    rows = abstract_cot_dataset(pubmedqa=everything, shots=4, seed=1)["test"]
    for number, row in enumerate(rows):
        shown = [other for other in range(5) if f"Question {other}?" in row["prompt"]]
        assert shown == [0, 1, 2, 3, 4]
        assert row["prompt"].count(f"Question {number}?") == 1
        assert row["prompt"].rstrip().rpartition("Question: ")[2].startswith(f"Question {number}?")


def test_without_examples_there_are_none(items):
    rows = abstract_dataset(pubmedqa=items)["test"]
    assert [row["prompt"].count("Question:") for row in rows] == [1, 1]
