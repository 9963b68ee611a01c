"""The learning curve in reports: table, plots and what the other tables leave to it."""

from reports.curve_tables import curve_table
from reports.document.schema import ModelInfo
from reports.files import write_json
from reports.page.curve_plots import curve_plots
from reports.page.render import render
from reports.result_rows import row_groups
from reports.tables import scores_table
from tests.reports.page.curves import curve_results, seed_curve_results


def test_the_table_has_a_row_for_each_step_with_losses_scores_and_the_turning_point():
    table = curve_table(curve_results())
    assert table.columns == ("Step", "Training loss (mean since the previous row)", "Validation loss", "Accuracy ↑")
    assert [row[0] for row in table.rows] == ["base", "20", "40", "60", "80"]
    assert [row[1] for row in table.rows] == ["", "1.895", "1.695", "1.495", "1.295"]
    assert [row[2] for row in table.rows] == ["", "1.520", "1.540", "1.560", "1.580"]
    cells = [row[3] for row in table.rows]
    assert cells[0] == "40.0 % [30.9, 49.8]"
    assert cells[2] == "70.0 % [60.4, 78.1], better"
    assert [cell.partition("worse than")[2] for cell in cells] == ["", "", "", " step 40", " step 40"]


def test_without_losses_or_without_a_base_the_table_has_what_there_is():
    assert curve_table(curve_results(losses=False)).columns == ("Step", "Accuracy ↑")
    first = curve_results().model_copy(update={"baseline": "adapter-step-20"})
    assert [row[0] for row in curve_table(first).rows] == ["20", "40", "60", "80"]
    assert "base" not in curve_plots(first)[0].alternative
    assert curve_table(curve_results(rights=(50,))) is None
    assert curve_plots(curve_results(rights=(50,))) == []


def test_a_plot_has_each_step_the_base_and_a_mark_only_if_a_test_supports_it():
    (plot,) = curve_plots(curve_results())
    assert plot.title == ("Accuracy ↑ by step with 95 % intervals; triangles are shown to be better or worse than base")
    assert plot.alternative == (
        "Accuracy. step 20: 50.0 %, better; step 40: 70.0 %, better; step 60: 50.0 %, better; step 80: 48.0 %, better;"
        " base: 40.0 %; step 60 is worse than step 40."
    )
    assert "<title>step 40: 70.0 %, better</title>" in plot.svg
    assert "turning point: step 60 is worse than 40" in plot.svg
    (noise,) = curve_plots(curve_results(rights=(50, 52, 50, 49)))
    assert "turning point" not in noise.svg
    assert "is worse" not in noise.alternative


def test_other_tables_and_plots_have_the_last_step_only():
    results = curve_results()
    assert results.shown_models() == ["base", "adapter-step-80"]
    table = scores_table(results)
    assert table.columns[:4] == ("Metric", "base", "adapter-step-80", "n")
    assert len(table.columns) == 8
    assert {row.model for group in row_groups(results) for row in group.rows} == {"adapter-step-80"}


def test_many_models_that_are_no_curve_have_rows_instead_of_columns():
    results = curve_results(rights=(50, 70, 50, 48, 45)).model_copy(update={"learning_curve": None})
    table = scores_table(results)
    assert table.columns == ("Metric", "Model", "Score", "n", "Difference", "Confidence", "p", "Outcome")
    assert len(table.rows) == 2 * 6
    assert [row[1] for row in table.rows[:3]] == ["base", "adapter-step-20", "adapter-step-40"]
    assert [row[-1] for row in table.rows[:3]] == ["", "better", "better"]
    assert table.rows[2][2].startswith("70.0 %")
    fewer = curve_results().model_copy(update={"learning_curve": None})
    assert len(scores_table(fewer).columns) == 1 + 5 + 1 + 4 * 4


def test_a_model_of_the_curve_that_is_the_baseline_stays_in_the_tables():
    results = curve_results().model_copy(update={"baseline": "adapter-step-40"})
    assert results.shown_models() == ["base", "adapter-step-40", "adapter-step-80"]
    other = ModelInfo(name="other", kind="adapter", source="x", sha256="x", weights="float32")
    more = results.model_copy(update={"models": [*results.models, other]})
    assert more.shown_models()[-1] == "other"


def test_both_reports_have_the_curve(tmp_path):
    write_json(tmp_path / "results.json", curve_results().model_dump(mode="json"))
    for path in render(tmp_path):
        text = path.read_text(encoding="utf-8")
        assert "Learning curve" in text
        assert "worse than step 40" in text
    assert 'id="curve-0-title"' in text
    assert text.index('id="curve-0-title"') < text.index('id="losses-title"')


SEEDS = {1: (50, 70, 50, 45), 2: (52, 74, 50), 3: (48, 72, 47, 44)}


def test_with_several_seeds_the_table_has_their_means_spread_and_number():
    table = curve_table(seed_curve_results(SEEDS))
    losses = ("Training loss of seed 1 (mean since the previous row)", "Validation loss of seed 1")
    assert table.columns == ("Step", "Seeds", *losses, "Accuracy ↑")
    assert [row[:2] for row in table.rows] == [
        ("base", ""),
        ("20", "3"),
        ("40", "3"),
        ("60", "3"),
        ("80", "2 of 3"),
    ]
    cells = [row[-1] for row in table.rows]
    assert cells[2].startswith("72.0 % [")
    assert "SD of seeds 2.0 pp, better" in cells[2]
    assert cells[3].endswith("worse than step 40")
    assert cells[4] == "seed 1: 45.0 %, seed 3: 44.0 %"


def test_with_several_seeds_the_plot_has_their_mean_and_a_line_for_each():
    (plot,) = curve_plots(seed_curve_results(SEEDS))
    assert plot.title.startswith("Accuracy ↑ by step, mean of 3 seeds, with 95 % intervals; ")
    assert plot.alternative == (
        "Accuracy. Mean of 3 seeds, step 20: 50.0 %, better; step 40: 72.0 %, better; step 60: 49.0 %, better; base:"
        " 40.0 %; step 60 is worse than step 40. Seed 1: step 20: 50.0 %; step 40: 70.0 %; step 60: 50.0 %; step 80:"
        " 45.0 %. Seed 2: step 20: 52.0 %; step 40: 74.0 %; step 60: 50.0 %. Seed 3: step 20: 48.0 %; step 40: 72.0 %;"
        " step 60: 47.0 %; step 80: 44.0 %."
    )
    assert "mean of 3 seeds" in plot.svg
    assert plot.svg.count("single seeds") == 1
    assert "single seeds" not in curve_plots(curve_results())[0].svg


def test_other_tables_have_the_last_step_of_the_mean_and_of_each_seed():
    assert seed_curve_results(SEEDS).shown_models() == [
        "base",
        "seed-1-step-80",
        "seed-2-step-60",
        "seed-3-step-80",
        "adapter-step-60-mean",
    ]


def test_reports_say_what_the_means_are(tmp_path):
    write_json(tmp_path / "results.json", seed_curve_results(SEEDS).model_dump(mode="json"))
    for path in render(tmp_path):
        text = " ".join(path.read_text(encoding="utf-8").split())
        assert "Scores are means over the seeds" in text
        assert "seed 1: 45.0 %, seed 3: 44.0 %" in text
    write_json(tmp_path / "results.json", curve_results().model_dump(mode="json"))
    for path in render(tmp_path):
        assert "means over the seeds" not in path.read_text(encoding="utf-8")
