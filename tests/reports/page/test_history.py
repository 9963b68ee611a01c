"""A metric over runs: what is plotted, which points are connected, and what is left out."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from reports.page.history import MOST_POINTS, history
from reports.page.run_list import ListedRun, metric_titles, summarize
from reports.page.run_query import Query
from tests.harness.viewing.run_folders import ACCURACY, QUIZ, model_of, score_of
from tests.reports.skeleton import results_of

KEY = ("quiz", "acc")
TITLE = "Accuracy \u2191 (quiz)"
START = datetime(2026, 1, 1, tzinfo=UTC)


def run_of(day, *, values=None, golds="g", release="", base="tiny-lm", **parts):
    """A listed run of some day with the accuracy of each model."""
    values = {"base": 0.5, "adapter": 0.6} if values is None else values
    reproduction = {
        **dict.fromkeys(("engine", "quantization", "train_dtype", "score_dtype", "batching", "tokenizer_sha256"), ""),
        "golds": {"quiz": golds},
    }
    defaults = {
        "name": f"run {day}",
        "created": (START + timedelta(days=day)).isoformat(),
        "baseline": next(iter(values)),
        "models": [model_of(name, base, f"{day} {name}") for name in values],
        "tasks": [QUIZ],
        "scores": [score_of(name, value) for name, value in values.items()],
        "reproduction": reproduction if golds else None,
    }
    results = results_of(**(defaults | parts))
    return ListedRun(str(day), f"run-{day}", START, (), summarize(results), release=release)


def table_of(runs, query=""):
    drawn = history(runs, KEY, TITLE, Query.parse(query))
    return drawn.table.rows if drawn.table else (), drawn


def connecting_lines(plot):
    """Number of drawn paths from one place of the horizontal axis to another."""
    paths = [re.findall(r"[ML] ([\d.]+) [\d.]+", path) for path in re.findall(r'<path d="([^"]+)"', plot.svg)]
    return sum(len(set(places)) > 1 for places in paths)


def test_the_values_are_those_of_the_runs_latest_first():
    rows, drawn = table_of([run_of(2, values={"base": 0.5, "adapter": 0.7}), run_of(1)])
    assert drawn.table.columns == ("Run", "Date", "Model", "Score", "Change", "Outcome", "n", "Questions")
    assert rows == (
        ("run-2", "2026-01-03", "base", "50.0 % [40.0, 60.0]", "", "", "50", "set 1"),
        ("run-2", "2026-01-03", "adapter", "70.0 % [60.0, 80.0]", "", "", "50", "set 1"),
        ("run-1", "2026-01-02", "base", "50.0 % [40.0, 60.0]", "", "", "50", "set 1"),
        ("run-1", "2026-01-02", "adapter", "60.0 % [50.0, 70.0]", "", "", "50", "set 1"),
    )
    assert drawn.plot.title == "Accuracy \u2191 (quiz) over time"
    assert drawn.plot.alternative == (
        "Accuracy \u2191 (quiz) over time. base: 50.0 % to 50.0 % in 2 runs. adapter: 60.0 % to 70.0 % in 2 runs. All"
        " values are in the table below."
    )


def test_only_scores_on_the_same_questions_are_connected():
    def lines(*golds):
        return connecting_lines(table_of([run_of(2, golds=golds[0]), run_of(1, golds=golds[1])])[1].plot)

    assert lines("a", "a") - lines("a", "b") == 2  # those of base and adapter
    assert lines("", "") == lines("a", "b")
    sets = [row[-1] for row in table_of([run_of(2, golds="a"), run_of(1, golds="b")])[0]]
    assert sets == ["set 1", "set 1", "set 2", "set 2"]
    assert {row[-1] for row in table_of([run_of(1, golds="")])[0]} == {"n/a"}


def test_a_release_is_one_point_with_its_run_and_alone_without_it():
    released = run_of(1, values={"adapter": 0.6}, release="v1")
    assert [row[0] for row in table_of([run_of(1), released])[0]] == ["run-1", "run-1"]
    assert [row[0] for row in table_of([released])[0]] == ["v1"]


def test_over_releases_only_stored_baselines_are_plotted_in_their_order():
    runs = [run_of(3), run_of(2, values={"adapter": 0.7}, release="v2"), run_of(1, values={"a": 0.6}, release="v1")]
    rows, drawn = table_of(runs, "along=releases")
    assert [row[0] for row in rows] == ["v2", "v1"]
    assert re.findall(r">(v\d)</text>", drawn.plot.svg) == ["v2", "v1"]
    assert table_of(runs[:1], "along=releases")[1].notes == (
        "There are no releases below this folder: store one with medbench baseline set RUN --name NAME.",
    )


def test_changes_are_those_of_the_paired_comparison():
    pair = {"task": "quiz", "metric": "acc", "baseline": "base", "candidate": "adapter", "n": 50, "outcome": "better"}
    compared = pair | {"difference": 0.1, "low": 0.02, "high": 0.18, "level": 0.05}
    rows, drawn = table_of([run_of(1, comparisons=[compared])], "show=change")
    assert [row[2:6] for row in rows] == [("adapter", "60.0 % [50.0, 70.0]", "+10.0 pp [+2.0, +18.0]", "better")]
    assert "(pp)" in drawn.plot.svg
    assert drawn.caption.startswith("Intervals are corrected for the other comparisons of the run. Triangles")
    assert table_of([run_of(1)], "show=change")[1].notes == ("No run that is shown has a value to plot.",)


def test_an_outcome_is_that_of_the_selected_model():
    pairs = [
        {"task": "quiz", "metric": "acc", "baseline": "base", "candidate": name, "n": 50, "outcome": outcome}
        for name, outcome in (("a", "better"), ("b", "worse"))
    ]
    run = run_of(
        1, values={"base": 0.5, "a": 0.6, "b": 0.4}, comparisons=[pair | {"difference": 0.1} for pair in pairs]
    )
    selected = ("outcome=worse", "outcome=worse&model=b", "outcome=worse&model=a", "outcome=equivalent")
    assert [Query.parse(query).matches(run) for query in selected] == [True, True, False, False]


def test_a_model_is_plotted_with_its_base_and_without_other_models():
    runs = [run_of(1, values={"base": 0.5, "a": 0.6, "b": 0.7})]
    assert [row[2] for row in table_of(runs, "model=b")[0]] == ["base", "b"]


def test_models_of_several_bases_are_lines_of_their_own():
    alternative = table_of([run_of(2, base="other"), run_of(1)])[1].plot.alternative
    assert "adapter (other): 60.0 %." in alternative
    assert "adapter (tiny-lm): 60.0 %." in alternative


def test_the_four_models_with_most_runs_are_plotted_and_the_rest_named():
    many = {"base": 0.5} | {f"cell-{number}": 0.5 for number in range(6)}
    rows, drawn = table_of([run_of(2, values=many), run_of(1)])
    assert {row[2] for row in rows} == {"base", "cell-0", "cell-1", "cell-2"}
    assert drawn.notes == ("Only the 4 models with the most runs are plotted: select a model to see another one.",)


def test_of_too_many_values_only_the_latest_are_plotted():
    runs = [run_of(number, values={"base": 0.5}) for number in range(MOST_POINTS + 1, 0, -1)]
    rows, drawn = table_of(runs)
    assert len(rows) == MOST_POINTS
    assert rows[0][0] == f"run-{MOST_POINTS + 1}"
    assert drawn.notes == (f"The latest {MOST_POINTS} of {MOST_POINTS + 1} values are plotted.",)


@pytest.mark.parametrize("value", [1e300, -1e300, None])
def test_values_that_no_axis_has_room_for_are_left_out(value):
    score = {"model": "base", "task": "quiz", "metric": "acc", "value": value, "low": value, "high": value, "n": 1}
    rows, drawn = table_of([run_of(1, scores=[score])])
    assert (rows, drawn.plot) == ((), None)


def test_a_value_with_an_impossible_interval_is_plotted():
    score = {"model": "base", "task": "quiz", "metric": "acc", "value": 0.5, "low": 0.9, "high": -3e299, "n": 1}
    rows, drawn = table_of([run_of(1, scores=[score], models=[model_of("base", "b")])])
    assert len(rows) == 1
    assert drawn.plot


def test_texts_of_a_plot_are_text():
    drawn = history([run_of(1, base="<script>$x^{$")], KEY, "</svg><script>\x1b$", Query())
    assert "<script" not in drawn.plot.svg
    assert "\x1b" not in drawn.plot.svg
    assert "&lt;script&gt;" in drawn.plot.svg


def test_metrics_of_most_runs_come_first():
    other = ACCURACY.model_copy(update={"key": "f1", "title": "F1"})
    task = QUIZ.model_copy(update={"metrics": [other, ACCURACY]})
    scores = [score_of("base", 0.5), score_of("base", 0.5).model_copy(update={"metric": "f1"})]
    rare = run_of(1, values={"base": 0.5}, tasks=[task], scores=scores)
    assert [*metric_titles([rare, run_of(2), run_of(3)])] == [KEY, ("quiz", "f1")]
    assert [*metric_titles([rare])] == [("quiz", "f1"), KEY]
