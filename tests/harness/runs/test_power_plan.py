"""`medbench plan --power`: the table, the line without it, and what earlier answers change."""

import pytest

from reports.comparison.power import detectable_share, items_to_decide
from reports.comparison.proportions import upper_discordance
from reports.document.schema import Comparison, MetricInfo, Score, TaskInfo
from tests.reports.comparison.handmade import write_run

TASK, TEXTS = "medbench_pubmedqa", "medbench_perplexity"
ITEMS, TESTED = 6, 3  # items of each task; main metrics of both together
ACCURACY = MetricInfo(key="accuracy", title="Accuracy", kind="proportion", higher_is_better=True, percent=True)
PERPLEXITY = MetricInfo(key="perplexity", title="Perplexity", kind="perplexity", higher_is_better=False)


@pytest.fixture
def plan(tiny_recipe, tmp_path, monkeypatch, command):
    """Run `medbench plan` of the tiny recipe in an empty folder; returns its output with single spaces."""
    monkeypatch.chdir(tmp_path)

    def run(*words, code=0):
        tasks = f"scoring.tasks=[{TASK},{TEXTS}]"
        actual, out, err = command("plan", tiny_recipe, "--set", tasks, *words)
        assert actual == code, err
        return " ".join((out + err).split())

    return run


def write_earlier(folder, *, pairs=(), base_right=None):
    """Results of earlier answers, with the given comparisons."""
    pairs = [Comparison(baseline="base", candidate="adapter", outcome="inconclusive", **pair) for pair in pairs]
    scores = [] if base_right is None else [Score(model="base", task=TASK, metric="accuracy", n=200, **base_right)]
    tasks = [
        TaskInfo(name=TASK, title=TASK, metrics=[ACCURACY]),
        TaskInfo(name=TEXTS, title=TEXTS, metrics=[PERPLEXITY]),
    ]
    write_run(folder / "runs" / "tiny", {"base": [1], "adapter": [1]}, tasks=tasks, comparisons=pairs, scores=scores)


def test_a_plan_says_in_a_line_what_its_items_show(plan):
    shown = detectable_share(ITEMS, 0.2, 0.05 / TESTED)
    assert shown is not None
    said = plan()
    assert f"power: these items show differences from {100 * shown:.1f} pp (Accuracy," in said
    assert "with a chance of 80 %, if 20.0 % differ (assumed)" in said
    assert "For better or worse" not in said


def test_the_table_has_the_items_that_decide_each_metric(plan):
    said = plan("--power", "--detect", "0.1", "--discordance", "0.3")
    detecting, equivalent = items_to_decide(0.1, 0.3, 0.05 / TESTED, 0.05)
    assert f"at a level of 0.05 / {TESTED} ({TESTED} main comparisons, corrected together)" in said
    assert f"{detecting:,} (more than there are) by 10.0 pp" in said
    assert f"{equivalent:,} (more than there are) within 5.0 pp" in said
    assert "if 30.0 % differ" in said
    assert said.count("unknown: score base and adapter on some items first") == 2  # macro-F1 and perplexity


def test_earlier_answers_say_how_much_the_models_differ(plan, tmp_path):
    right = {"task": TASK, "metric": "accuracy", "n": 200, "units": 200, "difference": 0.05}
    right |= {"standard_error": ((30 / 200 - 0.05**2) / 200) ** 0.5, "discordant": (20, 10), "relevant": 0.05}
    text = {"task": TEXTS, "metric": "perplexity", "n": 60, "units": 60, "difference": -0.1}
    text |= {"standard_error": 0.2, "degrees_of_freedom": 59.0, "relevant": 0.5}
    write_earlier(tmp_path, pairs=[right, text])
    said = plan("--power")
    upper = upper_discordance(30, 200)
    detecting, _ = items_to_decide(0.05, upper, 0.05 / TESTED, 0.05)
    assert f"{detecting:,} (more than there are) by 5.0 pp" in said
    assert f"up to {100 * upper:.1f} % differ: 30 of 200 in runs/tiny" in said
    assert "about: spread of 60 items in runs/tiny" in said
    assert "by 0.500" in said
    assert "by 1.00 " in plan("--power", "--detect", "0.1")  # 0.1 of a baseline of 10


def test_a_baseline_that_is_nearly_always_right_leaves_little_room(plan, tmp_path):
    write_earlier(tmp_path, base_right={"value": 1.0, "low": 0.98, "high": 1.0})
    assert "at most 9.0 % can differ: base has 98.0 % right" in plan("--power")


def test_results_that_cannot_be_read_are_named(plan, tmp_path):
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    (tmp_path / "runs" / "tiny" / "results.json").write_text("{}", encoding="utf-8")
    assert "the earlier results in runs/tiny are not used: its schema version is missing" in plan("--power")


@pytest.mark.parametrize(("flag", "value"), [("--detect", "0"), ("--detect", "5"), ("--discordance", "1.5")])
def test_what_is_no_share_is_refused(plan, flag, value):
    assert f"{flag} {value}: not a share fix: write {flag} 0.05 for 5 %" in plan(flag, value, code=2)
