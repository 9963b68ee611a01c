"""Public multiple-choice sets that a model reasons about; all rows are synthetic."""

import pytest

from reports.errors import UserError
from tasks import catalog
from tasks.benchmarks import BENCHMARKS
from tasks.reasoned_sets import reasoned_set
from tests import benchmark_data

NAMES = [name for name, benchmark in BENCHMARKS.items() if benchmark.by_likelihood]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return benchmark_data.write_all(tmp_path_factory.mktemp("data"))


def test_every_set_has_a_task_that_reasons_about_it():
    assert [BENCHMARKS[name].by_likelihood for name in NAMES] == [
        "medqa_4options",
        "medmcqa",
        *(f"mmlu_{subject}" for subject in benchmark_data.MMLU),
        "medbench_medxpertqa",
        "medbench_supergpqa_clinical",
        "medbench_metamedqa",
    ]
    assert all(catalog.TASKS[name].by_likelihood == BENCHMARKS[name].by_likelihood for name in NAMES)


@pytest.mark.parametrize(
    ("name", "question", "options", "label"),
    [
        ("medqa", "Synthetic licensing question 1: which sign follows sign 1?", 4, "B"),
        ("medmcqa", "Synthetic entrance question 1: which sign follows sign 1?", 4, "C"),
        ("mmlu_anatomy", "Synthetic anatomy question 1: which sign follows sign 1?", 4, "B"),
        ("medxpertqa", "Synthetic board question 1: which sign follows sign 1?", 10, "B"),
        ("supergpqa_clinical", "Synthetic graduate question 3: which sign follows sign 3?", 7, "B"),
        ("metamedqa", "Synthetic metacognition question 1: which sign follows sign 1?", 6, "C"),
    ],
)
def test_items_are_named_by_their_place_and_keep_the_order_of_their_options(folders, name, question, options, label):
    document = reasoned_set(benchmark=f"medbench_{name}_reasoned", folders=folders, format="think")["test"][1]
    assert (document["id"], document["stem"], document["label"]) == ("1", question, label)
    number = int(question.split()[3].strip(":"))
    shown = [f"sign {number + place} of the {options} signs" for place in range(options)]
    assert document["options"] == shown
    lines = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCDEFGHIJ", shown, strict=False))
    assert document["prompt"].startswith(f"{question}\n{lines}\n\nEnd your response with")


def test_folders_of_one_name_and_changed_folders_are_read_as_they_are(tmp_path):
    def count(folder, rows):
        place = benchmark_data.write(tmp_path / folder / "medmcqa", {"default": {"validation": rows}})
        documents = reasoned_set(benchmark=NAMES[1], folders={"openlifescienceai/medmcqa": str(place)})["test"]
        return [document["id"] for document in documents]

    rows = benchmark_data.medmcqa()
    assert [len(count(*one)) for one in (("one", rows[:3]), ("two", rows[:5]), ("one", rows[:4]))] == [3, 5, 4]


def test_all_rows_that_cannot_be_asked_are_reported_together(tmp_path):
    rows = benchmark_data.medmcqa()
    rows[0]["question"] = " "
    for row, gold in zip(rows[1:5], (4, None, -1, 9), strict=True):
        row["cop"] = gold
    folder = benchmark_data.write(tmp_path / "medmcqa", {"default": {"validation": rows}})
    with pytest.raises(UserError) as caught:
        reasoned_set(benchmark="medbench_medmcqa_reasoned", folders={"openlifescienceai/medmcqa": str(folder)})
    assert caught.value.where == "openlifescienceai/medmcqa"
    assert caught.value.what == (
        "5 of the 8 rows cannot be used: it has no question (item m0); none of its options is the right one (item m1;"
        " item m2; item m3 and 1 more)"
    )
