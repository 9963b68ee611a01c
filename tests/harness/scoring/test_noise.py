"""What is scored again to measure noise, what that may cost, and what is reported where it is not measured."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import yaml

from harness.console import Terminal
from harness.engines.kinds import ENGINES
from harness.folder import RunFolder
from harness.planning.run_plan import make_plan
from harness.scoring.noise import NoiseMeter, with_noise
from harness.scoring.noise_budget import TaskTime, noise_budget, rounds
from harness.scoring.rescoring import score_again
from harness.scoring.tally import Tally
from reports.comparison.noise_limits import fixed_noise
from reports.document.evidence import NoiseCheck
from reports.document.reading import read_results, read_samples
from reports.document.schema import Comparison
from reports.errors import UserError
from tests.conftest import tiny_recipe_value
from tests.harness.plugins import HashEngine, use_engine
from tests.reports.comparison.test_compare_models import MEAN, samples
from training.recipes.recipe_file import load_recipe

pytestmark = pytest.mark.usefixtures("without_plots")

TASK = "medbench_pubmedqa"
MODELS = ("base", "mine")


@pytest.mark.parametrize(("text", "value"), [("auto", "auto"), ("0", 0), ("24", 24)])
def test_the_recipe_takes_auto_or_a_number_of_items(text, value):
    assert load_recipe("quickstart", []).scoring.noise_items == "auto"
    assert load_recipe("quickstart", [f"scoring.noise_items={text}"]).scoring.noise_items == value


@pytest.mark.parametrize("text", ["-1", "some", "2.5"])
def test_the_recipe_takes_no_other_value(text):
    with pytest.raises(UserError, match="noise_items"):
        load_recipe("quickstart", [f"scoring.noise_items={text}"])


def task(name="a", items=500, seconds=100.0, slowdown=2.0):
    return TaskTime(name=name, items=items, seconds=seconds, slowdown=slowdown)


def test_a_tenth_of_the_scoring_time_pays_for_loading_and_the_items_to_the_second():
    """100 of 500 items take 100 s / 500 * 100 * 2 = 40 s."""
    times = [task(), task("b", seconds=380.0, slowdown=5.0)]
    assert noise_budget("auto", times, 8.0).items == {"a": 100}
    assert noise_budget("auto", times, 8.0).limit_seconds == pytest.approx(48.0)
    assert noise_budget("auto", times, 8.0).scoring_seconds == 480.0
    assert noise_budget("auto", times, 8.01).items == {}


def test_the_cheapest_tasks_come_first():
    times = [task("slow", seconds=300.0), task("cheap", seconds=50.0), task("rest", items=50, seconds=250.0)]
    found = noise_budget("auto", times, 10.0)  # 60 s: 10 for loading, 20 for the cheap one, 120 for the slow one
    assert found.items == {"cheap": 100}
    assert found.unmeasured == {
        "slow": "not measured, since scoring 100 items again would take about 2 min 0 s and loading 10 s, where a tenth"
        " of the scoring time is 1 min 0 s",
        "rest": "not measured, since it has 50 items and a measurement takes 100",
    }


def test_what_one_task_takes_is_not_left_for_the_next():
    """Each needs 40 s, and a tenth of the scoring time is 60 s."""
    times = [task(name, seconds=seconds) for name, seconds in (("a", 100.0), ("b", 100.0), ("c", 400.0))]
    assert noise_budget("auto", times, 0.0).items == {"a": 100}


def test_a_task_needs_100_items():
    rich = task("rich", items=1, seconds=100_000.0)
    assert noise_budget("auto", [rich, task(items=100, seconds=1.0)], 0.0).items == {"a": 100}
    assert noise_budget("auto", [rich, task(items=99, seconds=1.0)], 0.0).items == {}


def test_an_obstacle_keeps_auto_from_measuring_but_not_an_explicit_number():
    times = [task(seconds=10_000.0)]
    found = noise_budget("auto", times, 0.0, "vllm answered")
    assert (found.items, found.unmeasured) == ({}, {"a": "not measured, since vllm answered"})
    assert noise_budget(7, times, 0.0, "vllm answered").items == {"a": 7}


def test_an_explicit_number_is_scored_whatever_it_takes():
    found = noise_budget(24, [task(seconds=0.1), task("b", items=6)], 1000.0)
    assert found.items == {"a": 24, "b": 6}
    assert (found.limit_seconds, found.unmeasured) == (None, {})


def test_zero_scores_nothing_again():
    found = noise_budget(0, [task(seconds=1e6)], 0.0)
    assert (found.items, found.unmeasured) == ({}, {"a": "not measured, since scoring.noise_items is 0"})


def test_each_round_has_items_from_all_parts_of_every_task():
    assert rounds({"a": [1, 3, 5, 7, 9], "b": [2]}, 2) == [{"a": [1, 5, 9], "b": [2]}, {"a": [3, 7]}]
    assert rounds({"a": []}, 2) == []


class Timed:
    """A clock that an engine moves: loading takes so many seconds, each answer others."""

    def __init__(self, load, answers):
        self.now = 50.0
        self.load = load
        self.answers = iter(answers)
        self.given = 0
        self.loads = 0

    def __call__(self):
        """Seconds now."""
        return self.now


@pytest.fixture
def plan(tiny_model, tmp_path):
    """A plan of 12 items of two models that asks one question for each item."""
    value = tiny_recipe_value(tiny_model)
    value["scoring"] |= {"limit": 12, "engine": "timed"}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(value), encoding="utf-8")
    folder = RunFolder(tmp_path / "noise")
    folder.make()
    return make_plan(load_recipe(str(tmp_path / "recipe.yaml"), []), folder, "base", ["medbench_perplexity"])


@pytest.fixture
def scoring(monkeypatch, plan, tmp_path):
    """Score 12 items again within a limit: how many were, and the clock; loading and each answer take their seconds."""
    clocks: list[Timed] = []

    class TimedEngine(HashEngine):
        def __init__(self, config):
            super().__init__(config)
            clocks[-1].now += clocks[-1].load
            clocks[-1].loads += 1

        def before_each(self, _):
            clocks[-1].now += next(clocks[-1].answers)
            clocks[-1].given += 1

    use_engine(monkeypatch, tmp_path / "site", TimedEngine, "timed")

    def score(limit, load=5.0, answers=(1.0,) * 12, **more):
        clocks.append(Timed(load, answers))
        items = {"medbench_perplexity": 12}
        given = {"terminal": Terminal(quiet=True)} | more
        return score_again(plan, items, limit, clock=clocks[-1], **given), clocks[-1]

    return score


def count(rescored):
    return len(rescored.samples["base", "medbench_perplexity"])


@pytest.mark.parametrize(
    ("limit", "items", "seconds"),
    [(None, 12, 17.0), (17.0, 12, 17.0), (16.99, 9, 14.0), (14.0, 9, 14.0), (13.99, 6, 11.0), (5.0, 0, 6.0)],
)
def test_scoring_again_stops_before_the_round_that_would_pass_the_limit(scoring, limit, items, seconds):
    """Loading takes 5 s, and each of four rounds of three items 3 s."""
    rescored, clock = scoring(limit)
    assert count(rescored) == items
    assert rescored.seconds == pytest.approx(seconds)
    assert clock.loads == 1


def test_a_round_that_turns_out_slow_is_cut_at_the_next_answer_and_does_not_count(scoring):
    rescored, clock = scoring(16.0, answers=[1.0] * 7 + [9.0] * 5)
    assert count(rescored) == 6
    assert (clock.given, rescored.seconds) == (8, 21.0)


def test_the_progress_of_each_round_is_named(scoring, capsys):
    scoring(None, terminal=Terminal())
    named = re.findall(r"scoring again, (part \d+):", capsys.readouterr().out)
    assert named == ["part 1", "part 2", "part 3", "part 4"]


def test_loading_beyond_the_limit_leaves_nothing(scoring):
    rescored, clock = scoring(4.0)
    assert (count(rescored), clock.given, rescored.seconds) == (0, 0, 5.0)


def test_what_was_scored_again_is_reused_until_something_changes(scoring, plan):
    first, _ = scoring(14.0)
    second, clock = scoring(14.0)
    assert (second, clock.loads) == (first, 0)
    assert scoring(None, again=True)[1].given == 12
    about = plan.folder.path / "measured.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "key": "another"}))
    assert scoring(None)[1].given == 12
    about.write_text("[]")
    assert scoring(None)[1].given == 12
    plan.folder.samples("base", "medbench_perplexity").write_text("broken")
    assert scoring(None)[1].given == 12
    about.unlink()
    assert scoring(None)[1].given == 12


def scored(model, values):
    """A model's score on three items, without what a meter does not look at."""
    tally = Tally()
    for row in samples(values, model):
        tally.add(row)
    return SimpleNamespace(model=model, task=SimpleNamespace(name="t"), metrics=[MEAN], samples=tally.values)


def difference(meter, candidate, members=()):
    pair = {"task": "t", "metric": "m", "baseline": "base", "candidate": candidate, "n": 3, "difference": 0.0}
    return with_noise(Comparison(**pair, outcome="not compared"), MEAN, meter, members).noise


def test_a_meter_compares_both_scorings_of_the_same_questions_by_model():
    runs = [scored(model, [0.0, 0.0, 0.0]) for model in ("base", "a", "b")]
    again = {("base", "t"): samples([0.1, 0.1, 0.1]), ("a", "t"): samples([0.4, 0.4, 0.4], "a")}
    again["a", "t"][2].prompt = "another question"
    meter = NoiseMeter(runs, again, NoiseCheck(method="again", seconds=2.0))
    check = meter.check()
    assert (check.method, check.seconds) == ("again", 2.0)
    assert [(each.model, each.flips.items) for each in check.scores] == [("base", 3), ("a", 2)]
    assert [each.shift.value for each in check.scores] == pytest.approx([0.1, 0.4])
    noise = difference(meter, "a")
    assert (noise.shift.items, noise.shift.value) == (2, pytest.approx(0.3))
    assert difference(meter, "b") is None
    assert difference(meter, "pool", ["a", "b"]) is None
    assert difference(meter, "pool", ["a", "a"]).shift.value == pytest.approx(0.3)
    assert difference(None, "a") is None


def test_stored_answers_are_given_again_unless_all_is_to_be_scored_anew(scoring, plan, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MEDBENCH_CACHE_GB", "1")
    about = plan.folder.path / "measured.json"
    assert scoring(14.0)[1].given == 9
    about.unlink()
    rescored, clock = scoring(None)
    assert (count(rescored), clock.given) == (12, 3)
    about.unlink()
    rescored, clock = scoring(None)
    assert (count(rescored), clock.given, clock.loads) == (12, 0, 0)
    assert scoring(None, again=True)[1].given == 12


def test_a_number_of_items_is_measured_and_its_share_of_the_time_stated(tiny_recipe, tiny_run, tmp_path, command):
    out = tmp_path / "run"
    words = ["run", "--recipe", tiny_recipe, "--models", f"base,mine={tiny_run / 'adapter'}", "--out", out]
    words += ["--tasks", TASK, "--set", "scoring.dtype=bfloat16", "--set", "scoring.noise_items=4"]
    code, printed, err = command(*words)
    assert code == 0, err
    assert "numerical noise: 4 items again, in float32 instead of bfloat16" in printed
    assert "more than a tenth of the scoring time" in printed
    results = read_results(out)
    assert (results.noise.method, results.noise.unmeasured) == ("in float32 instead of bfloat16", {})
    assert results.noise.fixed is None
    assert {each.flips.items for each in results.noise.scores} == {4}
    assert {each.noise.shift.items for each in results.comparisons} == {4}
    report = (out / "report.md").read_text()
    assert "more than a tenth, because of the recipe's number of items" in report
    assert "Fixed limits" not in report


def test_with_stored_answers_each_model_keeps_its_own_in_the_other_arithmetic(
    tiny_recipe, tiny_run, tmp_path, command, monkeypatch
):
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MEDBENCH_CACHE_GB", "1")
    words = ["run", "--recipe", tiny_recipe, "--models", f"base,mine={tiny_run / 'adapter'}", "--tasks", TASK]
    measured = ["--set", "scoring.dtype=bfloat16", "--set", "scoring.noise_items=6"]
    for folder in ("first", "run"):  # which takes the answers of the first
        assert command(*words, *measured, "--out", tmp_path / folder)[0] == 0
    assert command(*words, "--out", tmp_path / "float32", "--set", "scoring.noise_items=0")[0] == 0
    again, exact = (
        {model: {one.id: one.choices for one in read_samples(folder / model / f"{TASK}.jsonl")} for model in MODELS}
        for folder in (tmp_path / "run" / "noise" / "samples", tmp_path / "float32" / "samples")
    )
    assert again["base"] != again["mine"]
    for model in MODELS:
        assert again[model].keys() == exact[model].keys()
        for item, choices in exact[model].items():
            assert again[model][item] == pytest.approx(choices, rel=1e-5)


def test_by_default_a_small_run_shows_fixed_limits_labelled_as_such(tiny_recipe, tiny_run, tmp_path, command):
    out = tmp_path / "run"
    words = ["run", "--recipe", tiny_recipe, "--models", f"base,mine={tiny_run / 'adapter'}", "--out", out]
    words += ["--tasks", TASK, "--set", "scoring.dtype=bfloat16"]
    assert command(*words)[0] == 0
    results = read_results(out)
    assert (results.noise.method, results.noise.scores, results.noise.seconds) == ("", [], 0.0)
    reason = "not measured, since it has 6 items and a measurement takes 100"
    assert results.noise.unmeasured == {TASK: reason}
    assert results.noise.fixed == fixed_noise("bfloat16", "cpu", "transformers")
    assert {each.noise for each in results.comparisons} == {None}
    report = (out / "report.md").read_text()
    assert f"medbench\\_pubmedqa: {reason}." in report or f"medbench_pubmedqa: {reason}." in report
    assert "Fixed limits, not measured in this run: transformers in bfloat16 on a CPU" in report
    assert "from benchmarks/numerical_noise.py. Other models and items may differ more." in report
    assert not (out / "noise").exists()


@pytest.fixture
def answers_at_once(monkeypatch):
    """The transformers engine replaced by one whose answers are there at once and say that they took 0.25 s."""
    monkeypatch.setitem(ENGINES, "transformers", replace(ENGINES["transformers"], start=HashEngine))


@pytest.mark.parametrize(("items", "measured"), [(2000, True), (1999, False)])
def test_by_default_100_items_are_measured_where_a_tenth_of_the_time_pays_for_them(
    answers_at_once, tiny_recipe, tmp_path, command, items, measured
):
    """Other batches count twice, so that 100 of 2,000 items take a tenth."""
    rows = {
        str(n): {"QUESTION": f"Is {n} so?", "CONTEXTS": [f"Trial {n}."], "final_decision": ("yes", "no")[n % 2]}
        for n in range(items)
    }
    (tmp_path / "items.json").write_text(json.dumps(rows))
    words = ["score", "--recipe", tiny_recipe, "--models", "base", "--tasks", TASK, "--out", tmp_path / "run"]
    words += ["--limit", items, "--set", f"data.pubmedqa.source={tmp_path / 'items.json'}"]
    code, printed, err = command(*words)
    assert code == 0, err
    noise = read_results(tmp_path / "run").noise
    assert {each.flips.items for each in noise.scores} == ({100} if measured else set())
    assert {each.shift.value for each in noise.scores} == ({0.0} if measured else set())
    assert (noise.fixed is None) == measured
    assert ("100 items again, in batches of 512 tokens and 3 generated rows" in printed) == measured
    assert "more than a tenth" not in printed
