"""The top of a report: facts, one sentence for each model, tiles, and checks with their levels."""

from reports.document.configurations import Configuration, RunsCompared
from reports.document.evidence import OverlapCheck, OverlapMatch
from reports.document.label_use import LabelUse
from reports.page import header
from reports.page.configuration_views import best_sentences, configurations_table
from reports.result_rows import row_groups
from tests.reports.test_result_rows import ACCURACY, BRIER, PERPLEXITY, comparison, results

GAIN = comparison(PERPLEXITY, -10.0, -20.0, -5.0, "better")
LOSS = comparison(ACCURACY, -0.1, -0.2, -0.05, "worse")
OPEN = comparison(ACCURACY, -0.1, -0.2, 0.05, "inconclusive", items_needed=900)
CALIBRATION = comparison(BRIER, 0.3, 0.2, 0.4, "worse")


def made(*pairs, **parts):
    return results(ACCURACY, PERPLEXITY, BRIER, comparisons=list(pairs), **parts)


def sentence(*pairs):
    (headline,) = header.headlines(made(*pairs))
    return headline.sentence


def test_a_sentence_names_losses_beside_gains():
    assert sentence(GAIN, LOSS) == "new is better than base in Perplexity and worse than base in Accuracy."
    assert sentence(GAIN, OPEN, CALIBRATION) == (
        "new is better than base in Perplexity and worse in no main metric. Not decided: Accuracy. Among the secondary"
        " metrics, new is worse in Brier score."
    )
    assert sentence(LOSS).startswith("new is better in no main metric and worse than base in Accuracy")
    assert sentence(OPEN).startswith("new is not shown to be better or worse than base in any main metric.")
    assert sentence(comparison(ACCURACY, None, None, None, "not compared")) == (
        "new and base have no values on the same items in any main metric."
    )


def test_the_counts_say_also_that_nothing_is_worse():
    (headline,) = header.headlines(made(GAIN, OPEN, CALIBRATION))
    assert headline.counts == [("better", 1), ("worse", 0), ("inconclusive", 1)]


def test_tiles_are_main_metrics_with_a_row_for_each_model():
    two = made(GAIN, LOSS, comparison(ACCURACY, 0.1, 0.05, 0.2, "better", "two"), models=("base", "new", "two"))
    tiles = header.tiles(two, row_groups(two))
    assert [(tile.title, [(row.model, row.outcome) for row in tile.rows]) for tile in tiles] == [
        ("Accuracy ↑", [("new", "worse"), ("two", "better")]),
        ("Perplexity ↓", [("new", "better"), ("two", None)]),
    ]


def test_of_many_metrics_the_decided_ones_have_tiles_losses_first():
    metrics = [ACCURACY.model_copy(update={"key": f"m{n}", "title": f"M{n}"}) for n in range(12)]
    pairs = [comparison(metric, 0.0, -0.1, 0.1, "inconclusive") for metric in metrics]
    pairs[9], pairs[11] = (
        comparison(metrics[9], 0.1, 0.05, 0.2, "better"),
        comparison(metrics[11], -0.1, -0.2, -0.05, "worse"),
    )
    many = results(*metrics, comparisons=pairs)
    assert [tile.title for tile in header.tiles(many, row_groups(many))][:3] == ["M11 ↑", "M9 ↑", "M0 ↑"]
    assert len(header.tiles(many, row_groups(many))) == 8


def test_a_base_alone_has_tiles_of_its_scores():
    alone = made(models=("base",))
    assert header.headlines(alone) == []
    assert [tile.rows[0].own[0] for tile in header.tiles(alone, row_groups(alone))] == ["50.0 %", "0.500"]


def levels(document):
    return {check.title: check.level for check in header.checks(document)}


def test_checks_warn_of_leakage_and_collapse_and_come_first():
    match = OverlapMatch(task="quiz", item="1", row="r", role="train", kind="exact", part="q", share=1.0, rows=1)
    check = OverlapCheck(method="m", models=["new"], rows=9, items={"quiz": 50}, matches=[match])
    use = LabelUse(
        model="new", task="quiz", items=50, label="yes", share=1.0, low=0.9, gold_share=0.4, majority="yes",
        majority_accuracy=0.4, difference=0.0, difference_low=-0.1, difference_high=0.1, level=0.05,
        outcome="identical",
    )  # fmt: skip
    bad = header.checks(made(GAIN, overlap=check, label_use=[use]))
    assert [(one.symbol, one.level, one.title) for one in bad] == [
        ("!", "warning", "Leakage"),
        ("!", "warning", "Label collapse"),
        ("✓", "fine", "50 items decide all main metrics"),
    ]
    assert bad[0].text.startswith("Trained on test items: 1 of the 50 items of quiz")
    assert bad[1].text.startswith("new gives 'yes' to 100.0 % of the 50 items")
    fine = made(
        GAIN, overlap=check.model_copy(update={"matches": []}), label_use=[use.model_copy(update={"share": 0.5})]
    )
    assert levels(fine) == {
        "no leakage found": "fine",
        "no label collapse": "fine",
        "50 items decide all main metrics": "fine",
    }
    (leakage,) = [one for one in header.checks(fine) if one.title == "no leakage found"]
    assert leakage.text == "0 of the 50 items of 1 task share text with the 9 training rows of new."
    clean = check.model_copy(update={"matches": []})
    assert [one.level for one in header.checks(made(GAIN, overlap=clean, label_use=[use]))] == [
        "warning",
        "fine",
        "fine",
    ]
    assert levels(made(OPEN)) == {"leakage not checked": "note", "1 of 1 comparisons not decided": "note"}


def test_the_facts_name_base_models_data_date_seed_and_recipe():
    document = made(GAIN, created="2026-10-01T12:00:00+00:00", recipe={"name": "quick"}, seed=4)
    assert header.facts(document) == [
        ("Base", "base"),
        ("Adapter", "new"),
        ("Data (items)", "Quiz (50)"),
        ("Date", "2026-10-01"),
        ("Seed", "4"),
        ("Recipe", "quick"),
    ]


def test_the_best_of_a_sweep_is_named_with_its_rule_its_ties_and_what_it_is_not_distinguished_from():
    names = ("base", "a", "b", "c", "d")
    cells = [
        Configuration(model="base", run="r", quality=0.9),
        Configuration(model="a", run="a", quality=0.4, training_seconds=9.0, settings={"lora.r": 8}),
        Configuration(model="b", run="b", quality=0.7, training_seconds=9.0, on_front=True, settings={"lora.r": 16}),
        Configuration(model="c", run="c", quality=0.7, training_seconds=12.0, settings={"lora.r": 32}),
        Configuration(model="d", run="d", quality=0.6, training_seconds=15.0, settings={"lora.r": 64}),
    ]
    compared = RunsCompared(
        task="quiz", metric="accuracy", rule="the one with the highest Accuracy", best="b", better_than=["a"],
        not_distinguished=["c", "d"], configurations=cells,
    )  # fmt: skip
    pairs = [comparison(ACCURACY, -0.1, -0.2, -0.05, "worse", name) for name in names[1:]]
    sweep = results(ACCURACY, models=names, comparisons=pairs, compared=compared)
    assert best_sentences(sweep)[:-1] == [
        "The best model is b, with Accuracy 70.0 %.",
        "Rule: the one with the highest Accuracy.",
        "Tied with it, with the same score: c.",
        "Shown to be worse: a.",
        "Not distinguishable from it: d.",
    ]
    table = configurations_table(sweep)
    assert table.columns[:4] == ("Model", "Accuracy ↑", "Against base", "lora.r")
    assert [row[:4] for row in table.rows] == [
        ("base", "90.0 %", "baseline", ""),
        ("b (best, Pareto front)", "70.0 %", "worse", "16"),
        ("c (tied)", "70.0 %", "worse", "32"),
        ("d", "60.0 %", "worse", "64"),
        ("a", "40.0 %", "worse", "8"),
    ]
    assert best_sentences(made(GAIN)) == []
