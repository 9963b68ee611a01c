"""What the gate reads: results, the scores of items, and the values that it refuses."""

import json
from pathlib import Path

import pytest

from reports.document.schema import MetricInfo, TaskInfo
from reports.errors import UserError
from reports.files import sha256_value
from reports.gate.inputs import ItemScore, check_values, read_items, slice_hash, slice_hashes, slice_value
from tests.reports.gate.examples import ACCURACY, ROUGE, inputs, shifted


def test_a_model_is_looked_up_in_its_results():
    ratings = TaskInfo(name="human_rating", title="Ratings", metrics=[])
    tasks = [TaskInfo(name="t", title="T", metrics=[ROUGE]), ratings]
    baseline, candidate = inputs(ROUGE, *shifted(20, 0.1), tasks=tasks)
    assert (baseline.info.sha256, candidate.info.sha256) == ("a", "b")
    assert [task.name for task in candidate.scored_tasks] == ["t"]
    assert candidate.task("human_rating") == ratings
    assert candidate.task("x") is None
    assert candidate.score("t", "m").model == "adapter"
    assert baseline.score("t", "m").model == "base"
    assert candidate.score("t", "n") is candidate.score("x", "m") is None


def test_slices_are_read_from_samples_and_from_the_hashes_of_stored_baselines():
    sample = inputs(ROUGE, *shifted(20, 0.1))[0].items["t"]["1"]
    hashes = {"class": sha256_value("yes")[:16], "speciality": sha256_value("cardiology")[:16]}
    assert [slice_value(sample, name) for name in ("class", "speciality", "x")] == ["yes", "cardiology", None]
    assert [slice_hash(sample, name) for name in ("class", "speciality", "x")] == [*hashes.values(), None]
    assert slice_hashes(sample) == hashes
    stored = ItemScore(id="1", doc_hash="1", metrics={}, slices=hashes)
    assert slice_value(stored, "class") is None
    assert [slice_hash(stored, name) for name in ("class", "x")] == [hashes["class"], None]
    assert slice_hashes(stored) == hashes
    assert slice_hashes(sample.model_copy(update={"gold": None})) == {"speciality": hashes["speciality"]}


@pytest.fixture
def scores(tmp_path):
    def write(*rows):
        path = tmp_path / "scores.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


ROW = {"id": "4", "doc_hash": "h", "metrics": {"m": 0.5}}


def test_items_are_read_by_id_and_repeat(scores):
    items = read_items(scores(ROW, ROW | {"repeat": 1}, ROW | {"id": "5"}), ItemScore)
    assert [*items] == ["4", "4 (again 1)", "5"]
    assert items["4 (again 1)"] == ItemScore(**ROW, repeat=1)


def test_an_item_that_occurs_twice_is_refused_with_its_line(scores):
    path = scores(ROW, ROW | {"id": "x" * 99}, ROW | {"id": "x" * 99})
    with pytest.raises(UserError) as error:
        read_items(path, ItemScore)
    assert error.value.what == f"the item {'x' * 60} occurs twice"
    assert (error.value.where, error.value.fix) == (f"{path}, line 3", "score again")


def test_a_broken_line_is_refused_with_its_number(scores):
    with pytest.raises(UserError) as error:
        read_items(path := scores(ROW, {"id": "5"}), ItemScore)
    assert error.value.where == f"{path}, line 2"


def check(kind, *values):
    """Check the values of a metric of this kind."""
    metric = MetricInfo(key="m", title="M", kind=kind)
    items = {str(n): ItemScore(id=str(n), doc_hash="h", metrics={"m": value}) for n, value in enumerate(values)}
    check_values(Path("scores.jsonl"), [metric], items)


def refusal(kind, *values):
    """The fault of the values of a metric of this kind."""
    with pytest.raises(UserError) as error:
        check(kind, *values)
    assert (error.value.where, error.value.fix) == ("scores.jsonl", "score again")
    return error.value.what


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("mean", [0.5, -3.0, None, 1e15]),
        ("proportion", [0.0, 1.0, None]),
        ("perplexity", [(-31.2, 20.0), (-1.0, 0.5)]),
        ("bits_per_byte", [(-31.2, 20.0)]),
        ("ratio", [(1.0, 0.0), (0.0, -1.0)]),
        ("macro_f1", [(0.0, 999.0), (2.0, 1.0)]),
        ("ece", [(0.0, 1.0), (1.0, 0.0), (0.3, 1.0)]),
        ("batch_calibrated", [(0.0, -1.0, -2.0), (1.0, -1.0, -2.0)]),
        ("other", [1.0, (1.0, 2.0, 3.0), 1e99]),
    ],
)
def test_values_as_their_kind_requires(kind, values):
    check(kind, *values)


@pytest.mark.parametrize(
    ("kind", "value", "fault"),
    [
        ("mean", (0.5, 1.0), "is a pair, which mean cannot be"),
        ("perplexity", -31.2, "is one number, which perplexity cannot be"),
        ("batch_calibrated", 1.0, "is one number, which batch_calibrated cannot be"),
        ("batch_calibrated", (), "has no numbers"),
        ("mean", -1.1e15, "is -1100000000000000.0, which is out of range"),
        ("perplexity", (-2e15, 1.0), "is (-2000000000000000.0, 1.0), which is out of range"),
        ("proportion", 0.5, "is 0.5, neither right (1) nor wrong (0)"),
        ("perplexity", (-1.0, 2.0, 3.0), "has 3 numbers instead of 2"),
        ("perplexity", (-1.0, 0.0), "counts 0 tokens or bytes"),
        ("bits_per_byte", (-1.0, -2.5), "counts -2.5 tokens or bytes"),
        ("macro_f1", (0.0, 1000.0), "is (0.0, 1000.0), which are not labels"),
        ("macro_f1", (-1.0, 1.0), "is (-1.0, 1.0), which are not labels"),
        ("macro_f1", (0.0, 0.5), "is (0.0, 0.5), which are not labels"),
        ("ece", (1.1, 1.0), "is (1.1, 1.0), not a confidence and right or wrong"),
        ("ece", (-0.1, 1.0), "is (-0.1, 1.0), not a confidence and right or wrong"),
        ("ece", (0.5, 0.5), "is (0.5, 0.5), not a confidence and right or wrong"),
        (
            "batch_calibrated",
            (2.0, -1.0, -2.0),
            "is (2.0, -1.0, -2.0), not a label and the log-likelihoods of all labels",
        ),
        ("batch_calibrated", (0.0, -1.0), "is (0.0, -1.0), not a label and the log-likelihoods of all labels"),
    ],
)
def test_a_value_that_its_kind_does_not_allow_is_refused(kind, value, fault):
    assert refusal(kind, value) == f"item 0: m {fault}"


def test_all_items_have_as_many_log_likelihoods():
    check("batch_calibrated", (0.0, -1.0, -2.0), None)
    check("other", 1.0, (1.0, 2.0))
    message = "m has values of different sizes"
    assert refusal("batch_calibrated", (0.0, -1.0, -2.0), (0.0, -1.0, -2.0, -3.0)) == message


def test_long_names_are_shortened():
    metric = ACCURACY.model_copy(update={"key": "k" * 99})
    items = {"x": ItemScore(id="x" * 99, doc_hash="h", metrics={metric.key: 0.5})}
    with pytest.raises(UserError) as error:
        check_values(Path("scores.jsonl"), [metric], items)
    assert error.value.what == f"item {'x' * 60}: {'k' * 60} is 0.5, neither right (1) nor wrong (0)"
