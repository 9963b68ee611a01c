"""Fixed samples: the same items whatever the order of the rows; all rows here are synthetic."""

from datasets import Dataset

from tasks.retention import ITEMS, arc_easy, mmlu


def test_a_sample_depends_on_the_texts_alone():
    rows = [{"question": f"Synthetic question {number}?"} for number in range(1000)]
    sample = [row["question"] for row in arc_easy(Dataset.from_list(rows))]
    backwards = [row["question"] for row in arc_easy(Dataset.from_list(rows[::-1]))]
    assert len(sample) == ITEMS == 300
    assert sample == backwards[::-1]
    assert sample[:3] == ["Synthetic question 1?", "Synthetic question 5?", "Synthetic question 8?"]


def test_subjects_are_written_as_in_the_descriptions_of_lm_eval():
    rows = [{"question": "?", "subject": "high_school_biology", "choices": ["a", "b", "c", "d"], "answer": 0}]
    assert mmlu(Dataset.from_list(rows))[0]["subject"] == "high school biology"
