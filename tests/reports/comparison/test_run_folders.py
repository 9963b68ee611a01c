"""Several runs in one document: their models, which is best, what is claimed of it, and what differs between two."""

import pytest

from harness.stats import compare
from reports.comparison.compare_runs import compare_runs
from reports.comparison.diff import ItemChange, diff
from reports.comparison.members import members_of
from reports.comparison.ranking import quality_metric
from reports.document.evidence import OverlapCheck, OverlapMatch
from reports.document.reading import read_results, samples_of
from reports.document.schema import Score, TaskInfo
from reports.errors import UserError
from reports.files import write_jsonl
from tests.reports.comparison.handmade import ACCURACY, LOSS, QUIZ, model, training, write_run

BAD, GOOD = [1] * 10 + [0] * 30, [1] * 34 + [0] * 6
NOTES = ["careful"]


def names_of(runs):
    return {member.name: (member.label, member.of_recipe, member.is_trained) for member in members_of(runs, "adapter")}


def test_equal_bases_are_one_model_and_others_get_the_name_of_their_run(tmp_path):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    write_run(first, {"base": BAD, "adapter": GOOD})
    write_run(second, {"base": BAD, "adapter": GOOD, "brought": BAD})
    other = [model("base", "base", "other weights"), model("adapter")]
    write_run(third, {"base": BAD, "adapter": GOOD}, models=other)
    assert names_of([first, second, third]) == {
        "base": ("first", False, False),
        "first": ("first", True, True),
        "second-adapter": ("second", True, True),
        "second-brought": ("second", False, True),
        "third-base": ("third", False, False),
        "third": ("third", True, True),
    }


def test_the_members_of_a_pool_are_of_the_recipe(tmp_path):
    models = [model("base", "base"), model("seed1"), model("seed2"), model("mean", "pool", members=["seed1", "seed2"])]
    write_run(tmp_path / "run", {"base": BAD, "seed1": GOOD, "seed2": BAD}, models=models)
    assert {name: facts[1] for name, facts in names_of([tmp_path / "run"]).items()} == {
        "base": False,
        "run-seed1": True,
        "run-seed2": True,
        "run-mean": True,
    }


def test_runs_of_one_folder_name_are_told_apart_by_the_parent(tmp_path):
    runs = [tmp_path / parent / "run" for parent in ("a", "b")]
    for run in runs:
        write_run(run, {"base": BAD, "adapter": GOOD})
    assert list(names_of(runs)) == ["base", "a-run", "b-run"]


def test_runs_that_cannot_be_compared_are_refused(tmp_path):
    run, other = tmp_path / "run", tmp_path / "run-adapter"
    write_run(run, {"base": BAD, "adapter": GOOD, "more": BAD})
    write_run(other, {"base": BAD, "adapter": GOOD})
    with pytest.raises(UserError, match=f"{run}, {run}: a run is listed twice\n  fix: list each run once"):
        members_of([run, run], "adapter")
    with pytest.raises(UserError, match=f"{run}, {other}: two models would both be named run-adapter\n  fix: rename"):
        members_of([run, other], "adapter")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no results\.json"):
        members_of([tmp_path / "empty"], "adapter")
    (run / "samples").rename(run / "elsewhere")
    with pytest.raises(UserError, match=f"{run}: the run has no samples to pair\n  fix: name the whole run folder"):
        members_of([run], "adapter")
    with pytest.raises(UserError, match=f"{other}: the comparison would overwrite one of its runs\n  fix: give"):
        compare_runs([other], other, "adapter")


def test_the_metric_that_ranks_is_the_one_asked_for_or_the_first_that_leads_a_task():
    length = ACCURACY.model_copy(update={"key": "length", "higher_is_better": None})
    f1 = ACCURACY.model_copy(update={"key": "f1", "kind": "macro_f1"})
    tasks = [TaskInfo(name="a", title="A", metrics=[length, f1]), TaskInfo(name="b", title="B", metrics=[LOSS])]
    assert quality_metric(tasks, "f1") == (tasks[0], f1)
    assert quality_metric(tasks, None) == (tasks[1], LOSS)  # macro-F1 has no value for each answer
    assert quality_metric(tasks[:1], None) == (tasks[0], f1)
    message = "--by: no run has a metric 'length' with a better direction\n  fix: one of f1, loss"
    with pytest.raises(UserError, match=message):
        quality_metric(tasks, "length")
    with pytest.raises(UserError, match="no run has a metric None"):
        quality_metric([TaskInfo(name="a", title="A", metrics=[length])], None)


def compared(tmp_path, **runs):
    """Compare runs of (answers of the adapter, training, recipe)."""
    for name, (answers, trained, recipe) in runs.items():
        write_run(tmp_path / name, {"base": BAD, "adapter": answers}, training=trained, recipe=recipe)
    return compare_runs([tmp_path / name for name in runs], tmp_path / "out", "adapter")


def test_the_best_is_claimed_to_be_better_than_those_it_is_shown_to_be_better_than(tmp_path):
    results = compared(
        tmp_path,
        slow=(GOOD, training(90.0), {"seed": 1, "lora": {"r": 8}, "report": {"title": "x"}, "name": "x"}),
        fast=(GOOD, training(50.0), {"seed": 1, "lora": {"r": 16}, "report": {"title": "y"}, "name": "y"}),
        poor=(BAD, training(20.0, memory=None), {"seed": 2, "lora": {"r": 16}}),
    )
    ranking = results.compared
    assert (ranking.task, ranking.metric, ranking.best) == ("quiz", "acc", "fast")
    assert ranking.rule == "the one with the highest Accuracy on Quiz; ties go to the faster training"
    assert (ranking.better_than, ranking.not_distinguished, ranking.left_out) == (["poor"], ["slow"], {})
    assert [tuple(item.model_dump().values()) for item in ranking.configurations] == [
        ("base", "slow", {}, 0.25, None, None, False),
        ("slow", "slow", {"lora.r": 8, "seed": 1}, 0.85, 90.0, 1000, False),
        ("fast", "fast", {"lora.r": 16, "seed": 1}, 0.85, 50.0, 1000, True),
        ("poor", "poor", {"lora.r": 16, "seed": 2}, 0.25, 20.0, None, True),
    ]
    assert results.verdict[0] == (
        "The best model is the one with the highest Accuracy on Quiz; ties go to the faster training: fast (85.0 %)."
        " It is shown to be better than poor. It is not distinguishable from slow."
        " It was chosen among several models, so its score is slightly optimistic; confirm it on other items."
    )
    assert results.model_dump() == read_results(tmp_path / "out").model_dump()


def test_where_lower_is_better_the_lowest_is_best(tmp_path):
    tasks = [QUIZ.model_copy(update={"metrics": [ACCURACY.model_copy(update={"higher_is_better": False})]})]
    for name, answers in (("first", GOOD), ("second", BAD)):
        write_run(tmp_path / name, {"base": GOOD, "adapter": answers}, tasks=tasks)
    ranking = compare_runs([tmp_path / "first", tmp_path / "second"], tmp_path / "out", "adapter").compared
    assert (ranking.best, ranking.better_than) == ("second", ["first"])
    assert ranking.rule.startswith("the one with the lowest Accuracy")


def test_all_adapters_are_compared_with_the_base_and_corrected_together(tmp_path):
    recipe = {"name": "x", "report": {"title": "x", "examples": 3}}
    results = compared(tmp_path, first=(GOOD, None, recipe), second=(BAD, None, {}))
    assert (results.baseline, results.seed, results.name) == ("base", 7, "comparison")
    assert (results.command, results.created[-6:]) == ("compare first second", "+00:00")
    assert results.recipe == {"name": "x", "report": {"title": "comparison", "examples": 3}}
    assert [entry.name for entry in results.models] == ["base", "first", "second"]
    assert [(score.model, score.value) for score in results.scores] == [
        ("base", 0.25),
        ("first", 0.85),
        ("second", 0.25),
    ]
    rows = {(pair.candidate, pair.metric): (pair.outcome, pair.level, pair.n) for pair in results.comparisons}
    assert rows == {
        ("first", "acc"): ("better", 0.05, 40),
        ("first", "loss"): ("better", 0.05, 40),
        ("second", "acc"): ("identical", 0.05, 40),
        ("second", "loss"): ("identical", 0.05, 40),
    }
    copied = list(samples_of(tmp_path / "out", "first", "quiz"))
    assert [(entry.model, entry.metrics["acc"]) for entry in copied] == [("first", value) for value in GOOD]


def test_items_that_a_run_lacks_and_environments_that_differ_are_noted(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    facts = {"cpu": "a", "gpu": "g", "packages": {"torch": "1"}}
    others = {"cpu": "b", "gpu": "h", "packages": {"torch": "2"}}
    write_run(first, {"base": BAD, "adapter": GOOD}, environment=facts, notes=["careful"])
    write_run(second, {"adapter": GOOD[:-11]}, environment=others, notes=NOTES)
    results = compare_runs([first, second], tmp_path / "out", "adapter")
    listed = ", ".join(f"item {number}" for number in range(29, 39))
    left_out = (
        "quiz: 11 items were not answered by all compared models, or differ between the runs, and are left out of the"
        f" comparisons that lack them: {listed}, ..."
    )
    assert results.notes == [
        left_out,
        *(f"the runs differ in {fact}; this report shows that of first" for fact in ("gpu", "cpu", "packages")),
        *NOTES,
    ]
    assert {pair.candidate: pair.n for pair in results.comparisons} == {"first": 40, "second": 29}
    assert results.compared.left_out == {"quiz": [f"item {number}" for number in range(29, 40)]}


def test_up_to_ten_items_that_a_run_lacks_are_listed_in_full(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    write_run(first, {"base": BAD, "adapter": GOOD}, environment={"cpu": "a"})
    write_run(second, {"adapter": GOOD[:-10]}, environment={"cpu": "a"})
    (note,) = compare_runs([first, second], tmp_path / "out", "adapter").notes
    assert note.endswith(f"lack them: {', '.join(f'item {number}' for number in range(30, 40))}")


BEST = [1] * 30 + [0] * 10
SIX_WORSE = [0] * 6 + [1] * 24 + [0] * 10  # p = .0143
EIGHT_WORSE_ONE_BETTER = [0] * 8 + [1] * 23 + [0] * 9  # p = .0196
TEN_WORSE_EIGHT_BETTER = [0] * 10 + [1] * 28 + [0] * 2


@pytest.mark.parametrize("by", ["acc", "loss"])  # the loss is secondary; as the metric that ranks, it counts as primary
@pytest.mark.parametrize(("rival", "is_better"), [(SIX_WORSE, True), (EIGHT_WORSE_ONE_BETTER, False)])
def test_claims_about_the_best_of_three_are_corrected_for_all_three_pairs(tmp_path, rival, is_better, by):
    answers = {"best": BEST, "rival": rival, "third": TEN_WORSE_EIGHT_BETTER}
    for name, values in answers.items():
        losses = [Score(model="adapter", task="quiz", metric="loss", value=1 - sum(values) / 40, n=40)]
        accuracy = [Score(model="adapter", task="quiz", metric="acc", value=sum(values) / 40, n=40)]
        write_run(tmp_path / name, {"base": BAD, "adapter": values}, scores=losses + accuracy)
    ranking = compare_runs([tmp_path / name for name in answers], tmp_path / "out", "adapter", by=by).compared
    assert (ranking.metric, ranking.best) == (by, "best")
    assert ranking.better_than == (["rival"] if is_better else [])
    assert ranking.not_distinguished == (["third"] if is_better else ["rival", "third"])


def test_without_any_score_of_a_trained_model_nothing_is_claimed(tmp_path):
    write_run(tmp_path / "run", {"base": BAD, "adapter": GOOD}, scores=[])
    ranking = compare_runs([tmp_path / "run"], tmp_path / "out", "adapter").compared
    assert (ranking.best, ranking.better_than, ranking.not_distinguished) == (None, [], [])


def test_a_task_without_answers_is_skipped_and_the_first_runs_seed_draws_the_bootstrap(tmp_path):
    unanswered = TaskInfo(name="other", title="Other", metrics=[ACCURACY])
    before, after = [0.1, 0.9, 0.4, 0.7, 0.3, 0.6, 0.2], [0.5, 0.8, 0.9, 0.9, 0.1, 0.9, 0.3]
    write_run(tmp_path / "first", {"base": before}, tasks=(unanswered, QUIZ), seed=1)
    write_run(tmp_path / "second", {"adapter": after}, seed=2)
    results = compare_runs([tmp_path / "first", tmp_path / "second"], tmp_path / "out", "adapter")
    assert [task.name for task in results.tasks] == ["other", "quiz"]
    assert results.seed == 1
    loss = next(pair for pair in results.comparisons if pair.metric == "loss")
    pair = compare([1 - value for value in before], [1 - value for value in after], kind="mean", seed=1)
    assert (loss.low, loss.high) == pytest.approx((pair.low, pair.high))


def test_a_run_does_not_differ_from_itself(tmp_path):
    write_run(tmp_path / "run", {"base": BAD, "adapter": GOOD})
    same = diff(tmp_path / "run", tmp_path / "run" / "results.json")
    assert (same.facts, same.scores, same.items, same.compared) == ({}, {}, [], 80)
    assert not same.changes_numbers


def test_settings_scores_and_answers_that_differ_are_listed(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    write_run(first, {"base": [1, 0, 1, 1]}, seed=1, environment={"torch": "2.9"}, stages={"score": 3.0}, created="now")
    write_run(second, {"base": [1, 0, 0, 1]}, recipe={"lora": {"r": 8, "on": ["q", "v"]}}, created="then")
    rows = list(samples_of(second, "base", "quiz"))
    rows[0] = rows[0].model_copy(update={"prompt": "another"})
    rows[1] = rows[1].model_copy(update={"metrics": {"acc": 0.5}})
    rows[3] = rows[3].model_copy(update={"id": "new", "repeat": 1})
    write_jsonl(second / "samples/base/quiz.jsonl", [row.model_dump(mode="json") for row in rows])
    found = diff(first, second)
    assert found.facts == {
        "seed": ("1", "7"),
        "environment.torch": ("2.9", "n/a"),
        "recipe.lora.r": ("n/a", "8"),
        "recipe.lora.on": ("n/a", "['q', 'v']"),
    }
    assert found.scores == {("base", "quiz", "acc"): (0.75, 0.5)}
    assert found.items == [
        ItemChange("base", "quiz", "item 0", "item", "question 0", "another"),
        ItemChange("base", "quiz", "item 1", "metrics", "{'acc': 0.0, 'loss': 1.0}", "{'acc': 0.5}"),
        ItemChange("base", "quiz", "item 2", "answer", "yes", "no"),
        ItemChange("base", "quiz", "item 3", "only in the first", "yes", ""),
        ItemChange("base", "quiz", "new (answer 2)", "only in the second", "", "yes"),
    ]
    assert found.compared == 3
    assert found.changes_numbers


def test_a_model_whose_samples_one_run_lacks_is_told_by_its_scores(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    write_run(first, {"base": [1, 0]})
    write_run(second, {"base": [1, 0], "adapter": [1, 1]})
    found = diff(first, second)
    assert found.scores == {("adapter", "quiz", "acc"): (None, 1.0)}
    assert found.items == []
    assert found.facts["models.adapter.kind"] == ("n/a", "adapter")
    assert diff(second, first).scores == {("adapter", "quiz", "acc"): (1.0, None)}


def overlap(item, *, items, models=("adapter",), **facts):
    """A check that found one item in the training rows."""
    names = {"task": "quiz", "row": "r", "role": "train", "kind": "exact", "part": "question", "share": 1.0, "rows": 1}
    match = OverlapMatch(item=item, models=["adapter"], **names)
    return OverlapCheck(method="", models=list(models), rows=9, items=items, matches=[match], **facts)


def test_items_that_one_run_trained_on_are_marked_for_all_that_were_trained(tmp_path):
    runs = [tmp_path / name for name in ("first", "second", "third")]
    checks = [
        overlap("item 0", items={"quiz": 40}, unsearched={"quiz": ["item 7"]}, unsearched_rows=["a", "b"]),
        overlap("item 1", items={"quiz": 40, "other": 5}, unsearched={"other": ["x"]}, unsearched_rows=["b", "c"]),
        None,
    ]
    for run, check in zip(runs, checks, strict=True):
        write_run(run, {"base": BAD, "adapter": GOOD}, overlap=check)
    results = compare_runs(runs, tmp_path / "out", "adapter")
    merged = results.overlap
    assert [(match.item, match.models) for match in merged.matches] == [("item 0", []), ("item 1", [])]
    assert (merged.models, merged.items) == (["first", "second"], {"quiz": 40, "other": 5})
    assert (merged.unsearched, merged.unsearched_rows) == ({"quiz": ["item 7"], "other": ["x"]}, ["a", "b", "c"])
    assert merged.affected("quiz", "second") == 2
    assert merged.affected("quiz", "third") == 0
    assert results.verdict[1].startswith("Trained on test items: 2 of the 40 items of quiz")


def test_without_a_base_the_first_model_is_the_baseline(tmp_path):
    for name, answers in (("first", BAD), ("second", GOOD)):
        write_run(tmp_path / name, {"adapter": answers}, baseline="adapter")
    results = compare_runs([tmp_path / "first", tmp_path / "second"], tmp_path / "out", "adapter")
    assert results.overlap is None
    assert {(pair.baseline, pair.candidate) for pair in results.comparisons} == {("first", "second")}


def test_samples_of_a_task_without_a_score_are_leftovers(tmp_path):
    write_run(tmp_path / "first", {"base": BAD, "adapter": GOOD})
    write_run(tmp_path / "second", {"base": BAD, "adapter": GOOD})
    runs = [tmp_path / "first", tmp_path / "second"]
    compare_runs(runs, tmp_path / "out", "adapter")
    write_run(tmp_path / "second", {"base": BAD, "adapter": GOOD}, scores=[])
    compare_runs(runs, tmp_path / "new", "adapter")
    assert not (tmp_path / "new/samples/second").exists()
    results = compare_runs(runs, tmp_path / "out", "adapter")
    assert {pair.candidate for pair in results.comparisons} == {"first"}
    assert not (tmp_path / "out/samples/second/quiz.jsonl").exists()
    assert "second cannot be compared with base: the two have no values of the same items." in results.verdict
