"""Frames hold the values of a results document and its samples, whatever their texts say; nothing is dropped."""

import math

import pandas as pd
import pytest

from reports.document.evidence import ClassCount
from reports.document.schema import Comparison, MetricInfo, ModelInfo, Results, Sample, Score, TaskInfo, Training
from reports.frames import (
    classes_frame,
    comparisons_frame,
    confusion_matrix,
    flips_frame,
    sample_frames,
    samples_frame,
    scores_frame,
    training_frame,
)

ACCURACY = MetricInfo(key="accuracy", title="Accuracy", kind="proportion", higher_is_better=True)
MACRO_F1 = MetricInfo(key="macro_f1", title="Macro-F1", kind="macro_f1", higher_is_better=True)
LENGTH = MetricInfo(key="length", title="Length")


def results(**values):
    models = [ModelInfo(name=name, kind="adapter", source="s", sha256="0", weights="w") for name in ("base", "a", "b")]
    models.append(ModelInfo(name="mean", kind="pool", source="s", sha256="0", weights="w", members=["a", "b"]))
    tasks = [TaskInfo(name="qa", title="QA", metrics=[ACCURACY, MACRO_F1, LENGTH])]
    known = {"medbench_version": "0", "name": "=n", "created": "now", "command": "c", "seed": 1, "baseline": "base"}
    return Results(**known, recipe={}, environment={}, models=models, data=[], tasks=tasks, **values)


def sample(model, key, right, output="yes", **values):
    metrics = {"accuracy": right, "macro_f1": (0, 1), "length": None if right is None else float(len(output))}
    text = {"doc_hash": f"h{key}", "prompt": f"Q {key}", "gold": "yes", "task": "qa", "output": output}
    return Sample(id=key, model=model, metrics=metrics, **text | values)


def texts(frame, name):
    return [None if pd.isna(value) else value for value in frame[name]]


def test_scores_have_a_row_for_each_with_the_interval_in_two_columns():
    scores = [
        Score(model="base", task="qa", metric="accuracy", value=0.5, low=0.25, high=0.75, n=8),
        Score(model="a", task="qa", metric="accuracy", value=None, n=0, caution="<b>no items</b> 血清"),
    ]
    frame = scores_frame(results(scores=scores))
    assert [*frame] == ["model", "task", "metric", "value", "low", "high", "n", "repeats", "spread", "caution"]
    assert frame.loc[0, ["value", "low", "high", "n"]].tolist() == [0.5, 0.25, 0.75, 8]
    assert math.isnan(frame["value"][1])
    assert frame["n"].tolist() == [8, 0]
    assert texts(frame, "caution") == ["", "<b>no items</b> 血清"]
    assert [str(frame[name].dtype) for name in ("model", "value", "n")] == ["string", "float64", "Int64"]


def test_comparisons_are_flat_and_count_discordant_items_apart():
    pair = {"task": "qa", "metric": "accuracy", "baseline": "base", "n": 9, "outcome": "inconclusive"}
    comparisons = [
        Comparison(candidate="a", difference=0.25, low=-0.5, high=1.0, discordant=(3, 1), items_needed=40, **pair),
        Comparison(candidate="b", difference=None, **pair),
    ]
    frame = comparisons_frame(results(comparisons=comparisons))
    assert frame["only_candidate"].tolist() == [3, pd.NA]
    assert frame["only_baseline"].tolist() == [1, pd.NA]
    assert frame["items_needed"].tolist() == [40, pd.NA]
    assert frame.loc[0, ["low", "difference", "high"]].tolist() == [-0.5, 0.25, 1.0]
    assert frame["within_noise"].tolist() == [False, False]
    assert not {"discordant", "noise"} & {*frame}


def test_classes_have_ratios_and_nan_where_nothing_is_divided():
    counts = {"yes": (6, 4, 3), "no": (2, 0, 0), "none": (0, 4, 0)}
    classes = [
        ClassCount(model="a", task="qa", label=label, gold=gold, predicted=predicted, correct=correct)
        for label, (gold, predicted, correct) in counts.items()
    ]
    frame = classes_frame(results(classes=classes)).set_index("label")
    assert frame.loc["yes", ["precision", "recall", "f1"]].tolist() == [0.75, 0.5, 0.6]
    assert frame.loc["no", "recall"] == 0
    assert math.isnan(frame.loc["no", "precision"])
    assert math.isnan(frame.loc["none", "recall"])


def test_training_has_a_row_for_each_step_that_was_logged():
    numbers: dict[str, float] = dict.fromkeys(
        ("steps", "rows", "validation_rows", "truncated_rows", "trained_tokens"), 2
    )
    numbers |= {"trainable_parameters": 1, "total_parameters": 2, "epochs": 1.0, "seconds": 1.0, "final_loss": 0.5}
    losses = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}, {"step": 2, "eval_loss": 1.5}]
    training = Training(trained_now=True, backend="trl", device="cpu", losses=losses, **numbers)
    frame = training_frame(results(training=training))
    assert frame["step"].tolist() == [1, 2]
    assert frame["loss"].tolist() == [2.0, 1.0]
    assert [math.isnan(value) for value in frame["eval_loss"]] == [True, False]
    assert [*training_frame(results())] == ["step", "loss", "eval_loss"]
    assert training_frame(results()).empty


def test_samples_keep_every_text_as_it_is_and_ids_as_text():
    samples = [
        sample("a", "007", 1.0, "=cmd|' /C calc'!A0", choices={"yes": 0.0, "no": -math.log(3)}, fields={"topic": "血"}),
        sample("a", "1e5", None, "cut \ud83d", problems=["no answer", "cut off"], finish_reason="length", repeat=1),
    ]
    frame = samples_frame(results(), samples)
    assert texts(frame, "id") == ["007", "1e5"]
    assert texts(frame, "output") == ["=cmd|' /C calc'!A0", "cut \ufffd"]
    assert frame["metric.accuracy"][0] == 1.0
    assert math.isnan(frame["metric.accuracy"][1])
    assert frame["metric.macro_f1"].isna().all()
    assert frame["confidence"][0] == pytest.approx(0.75)
    assert math.isnan(frame["confidence"][1])
    assert texts(frame, "problems") == ["", "no answer; cut off"]
    assert texts(frame, "fields") == ['{"topic": "血"}', None]
    assert frame["repeat"].tolist() == [0, 1]
    assert frame["prompt_tokens"].tolist() == [pd.NA, pd.NA]


def test_no_samples_make_an_empty_frame_of_the_same_columns_and_dtypes():
    full = samples_frame(results(), [sample("a", "1", 1.0)])
    empty = samples_frame(results(), [])
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()
    assert [len(frame) for frame in sample_frames(results(), [])] == [0]


def test_frames_of_many_samples_come_in_pieces_and_lose_none():
    samples = [sample("a", str(number), 1.0) for number in range(5)]
    pieces = [*sample_frames(results(), iter(samples), rows=2)]
    assert [texts(piece, "id") for piece in pieces] == [["0", "1"], ["2", "3"], ["4"]]


def test_flips_are_the_items_whose_value_differs():
    samples = [sample("base", "1", 1.0), sample("base", "2", 0.0, "no"), sample("base", "3", 1.0)]
    samples += [sample("base", "4", None), sample("base", "5", 1.0), sample("base", "6", 0.0)]
    samples += [sample("a", "1", 0.0, "=no"), sample("a", "2", 1.0), sample("a", "3", 1.0), sample("a", "4", 1.0)]
    samples += [sample("a", "5", 0.0, doc_hash="another item"), sample("a", "6", 1.0, question="Really?")]
    found = results()
    flips = flips_frame(found, samples_frame(found, samples), "base", "a")
    columns = ["id", "question", "value_baseline", "value_candidate", "output_baseline", "output_candidate", "change"]
    assert flips[columns].to_numpy().tolist() == [
        ["1", "Q 1", 1.0, 0.0, "yes", "=no", "lost"],
        ["2", "Q 2", 0.0, 1.0, "no", "yes", "won"],
        ["6", "Q 6", 0.0, 1.0, "yes", "yes", "won"],
    ]


def test_flips_average_repeats_and_the_members_of_a_pool():
    samples = [sample("base", "1", 1.0), sample("base", "1", 0.0, repeat=1), sample("base", "2", 1.0)]
    samples += [sample("a", "1", 1.0), sample("b", "1", 0.0), sample("a", "2", 1.0), sample("b", "2", 0.0)]
    found = results()
    flips = flips_frame(found, samples_frame(found, samples), "base", "mean")
    assert flips[["id", "value_baseline", "value_candidate", "change"]].to_numpy().tolist() == [["2", 1.0, 0.5, "lost"]]


def test_flips_of_a_metric_without_a_better_direction_are_changed():
    found = results()
    frame = samples_frame(found, [sample("base", "1", 1.0, "no"), sample("a", "1", 1.0, "maybe")])
    flips = flips_frame(found, frame, "base", "a", "length")
    assert flips[["value_baseline", "value_candidate", "change"]].to_numpy().tolist() == [[2.0, 5.0, "changed"]]
    assert flips_frame(found, frame, "base", "a").empty
    assert [*flips_frame(found, frame, "base", "a")] == [*flips]


def test_a_confusion_matrix_has_a_row_and_a_column_for_every_label():
    matrix = confusion_matrix(["yes", "yes", "no"], ["yes", "none", "yes"], ["yes", "no", "maybe", "none"])
    assert matrix.to_numpy().tolist() == [[1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert (matrix.index.name, matrix.columns.name) == ("gold", "predicted")
    assert confusion_matrix([], [], ["yes", "no"]).to_numpy().tolist() == [[0, 0], [0, 0]]
