"""Public data sets as documents of one schema; all rows here are synthetic."""

import pytest
from datasets import Dataset

from reports.errors import UserError
from tasks import multiple_choice_sets as sets
from tasks.choice_metrics import calibrated_results, likelihood_results
from tasks.multiple_choice import letters, likelihood_prompt
from tests import benchmark_data


def documents(convert, rows):
    return list(convert(Dataset.from_list(rows)))


def test_medxpertqa_leaves_the_options_out_of_the_question():
    first = documents(sets.medxpertqa, benchmark_data.medxpertqa())[0]
    assert first["id"] == "Text-0"
    assert first["question"] == "Synthetic board question 0: which sign follows sign 0?"
    assert (len(first["options"]), first["gold"], first["subject"]) == (10, 0, "Diagnosis")


def test_supergpqa_is_the_field_clinical_medicine():
    items = documents(sets.supergpqa_clinical, benchmark_data.supergpqa())
    assert [document["id"] for document in items] == [f"u{n}" for n in range(1, 16, 2)]
    assert {(document["gold"], document["subject"]) for document in items} == {(1, "Surgery")}
    assert [len(document["options"]) for document in items[:3]] == [5, 7, 9]


def test_metamedqa_has_as_many_options_as_have_a_text():
    items = documents(sets.metamedqa, benchmark_data.metamedqa())
    assert [len(document["options"]) for document in items[:2]] == [5, 6]
    assert {document["gold"] for document in items} == {2}


def test_the_right_option_of_metamedqa_is_found_by_its_text_too():
    row = benchmark_data.metamedqa()[0]
    assert documents(sets.metamedqa, [{**row, "answer_idx": "3"}])[0]["gold"] == 2


def test_medhallu_asks_about_both_answers_of_a_question_which_share_it():
    one, other = documents(sets.medhallu, benchmark_data.medhallu()[:1])
    assert (one["id"], one["gold"], other["id"], other["gold"]) == ("0-factual", 0, "0-hallucinated", 1)
    assert one["options"] == other["options"] == ["Factual", "Hallucinated"]
    assert "Proposed answer: Sign 1 follows.\n" in one["question"]
    assert "Proposed answer: Sign 7 follows.\n" in other["question"]
    assert one["context"] == other["context"] == "Synthetic abstract question 0: which sign follows sign 0?"


def test_med_halt_takes_the_test_part_and_numbered_options():
    fct = documents(sets.medhalt_fct, benchmark_data.medhalt(proposed=True))
    assert [document["id"] for document in fct[:3]] == ["h1", "h3", "h5"]
    assert [document["gold"] for document in fct[:3]] == [0, 1, 0]  # proposed: options 1, 3, 1; correct: 1
    assert "4. sign 4 of the 4 signs\nProposed answer: sign 2 of the 4 signs\n" in fct[0]["question"]
    nota = documents(sets.medhalt_nota, benchmark_data.medhalt(proposed=False))
    assert nota[0]["options"] == [f"sign {n} of the 4 signs" for n in (1, 2, 3, 4)]
    assert {document["gold"] for document in nota} == {1}


def test_prompts_have_the_options_by_letter_and_no_question_where_it_is_left_out():
    rows = benchmark_data.glianorex()
    shown = (
        "".join(f"{letter}. sign {n} of the 4 signs\n" for letter, n in zip("ABCD", (3, 1, 2, 0), strict=True))
        + "Answer:"
    )
    shuffled, without = (
        documents(convert, rows)[0] for convert in (sets.glianorex_shuffled, sets.glianorex_no_question)
    )
    assert likelihood_prompt(shuffled) == f"Question: Synthetic en question 0: which sign follows sign 0?\n{shown}"
    assert likelihood_prompt(without) == shown
    assert letters(shuffled) == ["A", "B", "C", "D"]


def test_controls_shuffle_by_the_question_alone_and_leave_it_out():
    rows = benchmark_data.glianorex()
    shuffled = documents(sets.glianorex_shuffled, rows)
    assert len(shuffled) == benchmark_data.ITEMS
    assert shuffled[0]["options"] == [f"sign {n} of the 4 signs" for n in (3, 1, 2, 0)]
    assert shuffled[0]["options"][shuffled[0]["gold"]] == rows[0]["answer"]
    assert documents(sets.glianorex_shuffled, rows[::-1])[-1]["options"] == shuffled[0]["options"]
    without = documents(sets.glianorex_no_question, rows)
    assert [(one["options"], one["gold"]) for one in without] == [(one["options"], one["gold"]) for one in shuffled]
    assert {one["question"] for one in without} == {""}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"question": " "}, "it has no question"),
        ({"options": {"A": "one", "B": None}}, "it has 1 option"),
        ({"label": "K"}, "none of its options is the right one"),
    ],
)
def test_a_row_that_cannot_be_asked_is_named(change, why):
    rows = benchmark_data.medxpertqa()
    rows[3] |= change
    with pytest.raises(UserError, match=f"item Text-3: {why}"):
        documents(sets.medxpertqa, rows)


def test_all_faults_of_a_set_are_one_error():
    rows = benchmark_data.medxpertqa()
    for row in rows[2:7]:
        row["label"] = "K"
    rows[0]["options"] = None
    with pytest.raises(UserError) as caught:
        documents(sets.medxpertqa, rows)
    assert str(caught.value.where) == "TsinghuaC3I/MedXpertQA"
    assert caught.value.what == (
        "6 of the 8 rows cannot be used: its options are no mapping (item Text-0); none of its options is the right one"
        " (item Text-2; item Text-3; item Text-4 and 2 more)"
    )


def test_a_column_that_is_missing_is_named():
    rows = [{key: value for key, value in row.items() if key != "label"} for row in benchmark_data.medxpertqa()]
    with pytest.raises(UserError, match="8 of the 8 rows cannot be used: it has no column label"):
        documents(sets.medxpertqa, rows)


def test_a_split_without_rows_of_the_benchmark_is_an_error():
    rows = [{**row, "field": "Law"} for row in benchmark_data.supergpqa()]
    with pytest.raises(UserError, match="m-a-p/SuperGPQA: none of its rows belongs to the benchmark"):
        documents(sets.supergpqa_clinical, rows)


@pytest.mark.parametrize("options", ["open('file')", "[1, 2]", "{" * 200])
def test_options_of_med_halt_are_a_literal_and_never_run(options):
    row = benchmark_data.medhalt(proposed=False)[1]
    with pytest.raises(UserError, match="item h1: its options are no mapping"):
        documents(sets.medhalt_nota, [{**row, "options": options}])


def test_likelihoods_become_accuracy_brier_and_log_score():
    found = likelihood_results({"gold": 1}, [(-2.0, False), (-2.0 + 1.0986122886681098, True)])  # 1 : 3
    assert found == {"accuracy": 1.0, "brier": pytest.approx(0.125), "log_score": pytest.approx(0.2876820724517809)}
    assert calibrated_results({"gold": 1}, [(-1.0, False), (-3.0, False)])["accuracy_calibrated"] == (1, -1, -3)
