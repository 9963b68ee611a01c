"""MedCalc-Bench's scoring rule, and the value that an answer gives; all rows here are synthetic."""

import pytest

from reports.errors import UserError
from tasks.medcalc import DATA_SET, final_value, is_right, medcalc_dataset, medcalc_results
from tests import benchmark_data


@pytest.mark.parametrize(
    ("value", "gold", "low", "high", "right"),
    [
        ((2.375,), "2.5", "2.375", "2.625", True),
        ((2.63,), "2.5", "2.375", "2.625", False),
        ((-9.8,), "-10", "-9.5", "-10.5", True),  # limits of a negative value
        ((7.4,), "7", "7", "7", True),  # whole numbers are rounded
        ((7.6,), "7", "7", "7", False),
        ((2.51,), "2.5", "2.5", "2.5", False),
        ((2021.0, 3.0, 9.0), "03/09/2021", "03/09/2021", "03/09/2021", True),
        ((2021.0, 9.0, 3.0), "03/09/2021", "03/09/2021", "03/09/2021", False),
        ((17.0, 4.0), "('17 weeks', '4 days')", "('17 weeks', '4 days')", "('17 weeks', '4 days')", True),
        ((17.0, 5.0), "('17 weeks', '4 days')", "('17 weeks', '4 days')", "('17 weeks', '4 days')", False),
        ((17.0,), "('17 weeks', '4 days')", "('17 weeks', '4 days')", "('17 weeks', '4 days')", False),
    ],
)
def test_an_answer_is_right_within_the_limits_of_its_kind(value, gold, low, high, right):
    assert is_right(value, gold, low, high) is right


@pytest.mark.parametrize(
    ("response", "gold", "value"),
    [
        ("3 plus 4 is 7.\nAnswer: 7", "7", (7.0,)),
        ("**Answer:** 1,250.5 mL over 24 hours", "5", (1250.5,)),
        ("The answer is \u22122.5e1 mmol/L.", "5", (-25.0,)),
        ("So 12, that is 0.5", "5", (0.5,)),
        ("Answer: A4", "5", None),
        ("Answer: 3/9/2021", "03/09/2021", (2021.0, 3.0, 9.0)),
        ("Answer: (17 weeks, 4 days)", "(17 weeks, 4 days)", (17.0, 4.0)),
        ("17 weeks and 4 days", "(17 weeks, 4 days)", (17.0, 4.0)),
        ("I cannot say.", "5", None),
        ("Answer: 12", "03/09/2021", None),
    ],
)
def test_the_final_value_follows_the_marker_or_comes_last(response, gold, value):
    assert final_value(response, gold) == value


def test_an_answer_without_a_value_is_wrong():
    doc = {"prompt": "Why?", "format": "think", "gold": "2.5", "low": "2.375", "high": "2.625"}
    assert medcalc_results(doc, ["<think>It is 2.5.</think>I cannot say."]) == {"accuracy": 0.0, "answered": 0.0}
    assert medcalc_results(doc, ["<think>It is 9.</think>Answer: 2.6 kg"]) == {"accuracy": 1.0, "answered": 1.0}


def test_rows_become_documents_with_a_prompt_in_the_answer_format(tmp_path):
    folder = benchmark_data.write_all(tmp_path)[DATA_SET]
    first = medcalc_dataset(folders={DATA_SET: folder}, format="think")["test"][0]
    assert {key: first[key] for key in ("id", "gold", "low", "high")} == {
        "id": "1",
        "gold": "2.5",
        "low": "2.375",
        "high": "2.625",
    }
    assert (
        "Patient note: A synthetic patient with 0 signs.\n\nWhat is the synthetic index of 0 signs?" in first["prompt"]
    )


def test_rows_without_a_value_or_a_question_are_named_together(tmp_path):
    rows = benchmark_data.medcalc()
    rows[2]["Ground Truth Answer"] = "unclear"
    folder = benchmark_data.write(tmp_path / "MedCalc", {"default": {"test": rows}})
    with pytest.raises(UserError, match="row 3: its answer 'unclear' is no number, date or duration"):
        medcalc_dataset(folders={DATA_SET: str(folder)})
    rows[4]["Ground Truth Answer"] = "unclear"
    rows[5]["Question"] = " "
    folder = benchmark_data.write(tmp_path / "MedCalc 2", {"default": {"test": rows}})
    with pytest.raises(UserError) as caught:
        medcalc_dataset(folders={DATA_SET: str(folder)})
    assert caught.value.what == (
        "3 of the 8 rows cannot be used: its answer 'unclear' is no number, date or duration (row 3; row 5);"
        " it has no question (row 6)"
    )
