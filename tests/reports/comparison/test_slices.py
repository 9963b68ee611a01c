"""Scores and differences by slice: the planted slice, small slices, labels, and what the report says."""

import numpy as np
import pytest

from benchmarks.simulated_models import KEY, Simulated
from reports.comparison.compare_models import compare, judge
from reports.comparison.slices import SlicedTask, compare_slices, is_sliced
from reports.comparison.slicing import Grouping
from reports.comparison.verdict import sentences
from reports.document.schema import MetricInfo, ModelInfo, TaskInfo
from reports.slice_tables import slice_rows, slices_note
from tests.reports.skeleton import results_of

ACCURACY = MetricInfo(key=KEY, title="Accuracy", kind="proportion", higher_is_better=True, percent=True)
LOSS = MetricInfo(key=KEY, title="Loss", kind="mean", higher_is_better=False)
F1 = MetricInfo(key=KEY, title="Macro-F1", kind="macro_f1", higher_is_better=True, percent=True)


def task(metric, *, models=("base", "new"), name="t", **slices):
    """A task from the values of all models by slice: a list of (value of the base, values of the others)."""
    samples: dict = {model: [] for model in models}
    groups: dict = {}
    for value, rows in slices.items():
        for row in rows:
            item = str(len(samples[models[0]]))
            groups.setdefault(None if value == "none" else value, []).append(item)
            for model, one in zip(models, row, strict=True):
                samples[model].append(Simulated(item, {KEY: one}, model, task=name))
    return SlicedTask(name, [metric], samples, {"speciality": Grouping("value", groups)})


def pairs(gained, lost, same):
    return [(0.0, 1.0)] * gained + [(1.0, 0.0)] * lost + [(1.0, 1.0)] * same


def document(*tasks, metric=ACCURACY, models=("base", "new")):
    sliced = compare_slices(tasks, "base", seed=0)
    return results_of(
        models=[ModelInfo(name=name, kind="adapter", source="", sha256=name, weights="w") for name in models],
        tasks=[TaskInfo(name=one.name, title=one.name.upper(), metrics=[metric]) for one in tasks],
        slices=sliced.slices,
        worst_slices=sliced.worst,
    )


EIGHT = {name: pairs(5, 5, 40) for name in "abcdefg"}


def test_a_planted_slice_is_named_with_interval_and_size():
    results = document(task(ACCURACY, **EIGHT, bad=pairs(1, 18, 41)))
    (worst,) = results.worst_slices
    assert (worst.column, worst.value, worst.n, worst.worse, worst.tested) == ("speciality", "bad", 60, 1, 8)
    assert worst.difference == pytest.approx(-17 / 60)
    assert worst.level == pytest.approx(0.05 / 8)
    assert -1 < worst.low < worst.difference < worst.high < 0
    (part,) = [part for part in results.slices[0].slices if part.value == "bad"]
    (pair,) = part.comparisons
    assert (pair.outcome, pair.level) == ("worse", pytest.approx(0.05 / 8))
    assert pair.p_adjusted == pytest.approx(8 * pair.p_value)
    assert [pair.low, pair.high] == pytest.approx([worst.low, worst.high])
    (sentence,) = [line for line in sentences(results) if line.startswith("Worst slice")]
    assert sentence == (
        "Worst slice: new is worse in Accuracy on the 60 items with speciality bad, by -28.3 pp [-46.5, -10.7],"
        " corrected for 8 tests."
    )


def test_the_test_of_a_slice_is_that_of_its_metric():
    sliced = task(ACCURACY, bad=pairs(1, 18, 41), good=pairs(5, 5, 40))
    left, right = ([one for one in sliced.samples[model] if int(one.id) < 60] for model in ("base", "new"))
    (alone,) = judge([compare(ACCURACY, left, right, seed=0)[0]])
    (pair,) = compare_slices([sliced], "base", seed=0).slices[0].slices[0].comparisons
    assert (pair.p_value, pair.test, pair.discordant) == (alone.p_value, alone.test, alone.discordant)
    scores = compare_slices([sliced], "base", seed=0).slices[0].slices[0].scores
    assert [(score.model, score.value, score.n) for score in scores] == [("base", 59 / 60, 60), ("new", 42 / 60, 60)]


def test_gains_are_never_named_and_lower_may_be_better():
    assert document(task(ACCURACY, **EIGHT, good=pairs(18, 1, 41))).worst_slices == []
    values = np.random.default_rng(0).normal(size=(2, 60)) / 5
    rows = [(float(one), float(one + 1 + other)) for one, other in values.T]
    (worst,) = document(task(LOSS, a=rows, b=[(one, one) for one, _ in rows]), metric=LOSS).worst_slices
    assert (worst.value, worst.low > 0, worst.high > worst.low) == ("a", True, True)
    assert document(task(LOSS, a=[(other, one) for one, other in rows]), metric=LOSS).worst_slices == []


def test_the_correction_is_over_all_slices():
    bad = pairs(0, 7, 33)  # p 0.008
    assert [worst.value for worst in document(task(ACCURACY, bad=bad, a=pairs(5, 5, 40))).worst_slices] == ["bad"]
    many = document(task(ACCURACY, bad=bad, **EIGHT))
    assert many.worst_slices == []
    assert (
        sentences(many)[-1] == "new is shown to be worse in none of the slices (8 tests, corrected for their number)."
    )
    twice = document(task(ACCURACY, bad=bad, a=pairs(5, 5, 40)), task(ACCURACY, name="u", **EIGHT))
    assert twice.worst_slices == []  # those of other tasks count too


def test_several_bad_slices_of_which_none_is_the_worst():
    results = document(task(ACCURACY, **{name: pairs(0, 7, 33) for name in "abcdefgh"}))
    assert {pair.outcome for part in results.slices[0].slices for pair in part.comparisons} == {"worse"}
    assert results.worst_slices == []
    assert sentences(results)[-1] == (
        "new is shown to be worse in slices of Accuracy (speciality a), Accuracy (speciality b), Accuracy (speciality"
        " c), Accuracy (speciality d) and Accuracy (speciality e) and 3 more; which one is worst is open."
    )


def test_slices_of_fewer_than_ten_items_are_counted_and_not_tested():
    results = document(task(ACCURACY, nine=pairs(0, 9, 0), none=pairs(0, 3, 1), ten=pairs(0, 0, 10)))
    facts = {
        part.value: (part.n, part.comparisons[0].outcome, part.comparisons[0].caution)
        for part in results.slices[0].slices
    }
    few = ("not tested", "fewer than 10 items")
    assert facts == {"nine": (9, *few), None: (4, *few), "ten": (10, "identical", "")}
    assert results.slices[0].slices[0].comparisons[0].difference == -1
    assert slices_note(results) == (
        "speciality in T: 2 slices have fewer than 10 items and no test, 13 items together: nine (9) and no value (4)."
    )
    assert [row.title for row in slice_rows(results)] == ["speciality: ten, Accuracy ↑"]


def test_ten_items_of_nine_sources_are_not_tested():
    sliced = task(ACCURACY, a=pairs(0, 10, 0), b=pairs(0, 0, 20))
    samples = {
        model: [Simulated(one.id, one.metrics, model, "c" if one.id in ("0", "1") else None) for one in rows]
        for model, rows in sliced.samples.items()
    }
    sliced = SlicedTask("t", [ACCURACY], samples, sliced.groupings)
    (pair,) = compare_slices([sliced], "base", seed=0).slices[0].slices[0].comparisons
    assert (pair.outcome, pair.caution) == ("not tested", "fewer than 10 independent groups of items")


def test_macro_f1_only_where_all_labels_occur():
    both = [((0.0, 0.0), (0.0, 1.0)), ((1.0, 1.0), (1.0, 1.0))] * 10
    results = document(task(F1, both=both, one=both[1:2] * 20), metric=F1)
    one = {part.value: (part.scores[0], part.comparisons[0]) for part in results.slices[0].slices}
    assert (one["both"][0].value, one["both"][1].caution) == (1.0, "")
    assert one["both"][1].difference == pytest.approx(1 / 3 - 1)
    lacking = "1 of the 2 gold labels do not occur"
    assert (one["one"][0].value, one["one"][0].caution) == (None, lacking)
    assert (one["one"][1].difference, one["one"][1].caution, one["one"][1].p_value) == (None, lacking, None)
    row = slice_rows(results)[1]
    assert (row.outcome, row.remark, row.ends) == ("not tested", lacking, None)


def test_a_task_without_the_column_is_reported():
    results = document(SlicedTask("t", [ACCURACY], {"base": [], "new": []}, {"year": None}))
    assert [(one.column, one.missing) for one in results.slices] == [("year", "no item has a value of year")]
    assert (slice_rows(results), slices_note(results)) == (
        [],
        "year in T: no slices, since no item has a value of year.",
    )


def test_one_model_alone_has_scores_by_slice():
    results = document(task(ACCURACY, models=("base",), a=[(1.0,)] * 10 + [(0.0,)] * 10), models=("base",))
    (row,) = slice_rows(results)
    assert (row.title, row.model, row.n) == ("speciality: a, Accuracy ↑", "base", "20")
    assert row.own == ("50.0 %", "[29.9, 70.1]")
    assert (row.outcome, row.change, row.p) == (None, "", "")


def test_hundreds_of_small_slices_are_counted_but_not_listed():
    results = document(task(ACCURACY, **{f"v{n}": pairs(0, 0, 2) for n in range(130)}, none=pairs(0, 0, 3)))
    (one,) = results.slices
    assert (len(one.slices), one.unlisted, one.unlisted_items) == (101, 30, 60)
    assert "131 slices have fewer than 10 items and no test, 263 items together: v0 (2)" in slices_note(results)
    assert slices_note(results).endswith("v7 (2) and 123 more.")


def test_a_long_table_keeps_the_rows_with_the_smallest_p():
    slices = {f"v{n}": pairs(5, 5, 10) for n in range(70)}
    results = document(task(ACCURACY, **slices, bad=pairs(0, 9, 11)))
    rows = slice_rows(results)
    assert (len(rows), rows[-1].title) == (60, "speciality: bad, Accuracy ↑")
    assert slices_note(results) == "Of 71 rows those with the smallest p are shown; all are in results.json."


@pytest.mark.parametrize(
    "change",
    [{"secondary": True}, {"descriptive": True}, {"higher_is_better": None}, {"kind": "ece"}, {"kind": "other"}],
)
def test_only_main_metrics_with_a_better_direction_are_sliced(change):
    assert is_sliced(ACCURACY)
    assert not is_sliced(ACCURACY.model_copy(update=change))
