"""Turning points: a planted overfitter is found at its step, and noise gives none in more than 5 % of simulations."""

import numpy as np
import pytest
from scipy import stats

from reports.comparison.learning_curve import MOST_COMPARED, learning_curve, spread
from reports.comparison.verdict import turn_sentences
from reports.document.schema import MetricInfo, Sample, TaskInfo
from tests.reports.comparison.handmade import model
from tests.reports.page.curves import curve_results, seed_curve_results

ACCURACY = MetricInfo(key="acc", title="Accuracy", kind="proportion", higher_is_better=True, percent=True)
LOSS = MetricInfo(key="loss", title="Loss", kind="mean", higher_is_better=False)
TASK = TaskInfo(name="quiz", title="Quiz", metrics=[ACCURACY])
BOTH = TaskInfo(name="quiz", title="Quiz", metrics=[ACCURACY, LOSS])


def checkpoint(step, name=None):
    return model(name or f"adapter-step-{step}", trained_here=True, step=step)


def samples_of(name, values):
    """Samples of a model: right where a value is above 0.5, with a loss of 1 minus the value."""
    return [
        Sample(
            id=f"item {item}",
            doc_hash=f"hash {item}",
            model=name,
            task="quiz",
            prompt="",
            output="",
            gold="",
            metrics={"acc": float(value > 0.5), "loss": float(1 - value)},
        )
        for item, value in enumerate(values)
    ]


def curve_of(values, task=TASK, models=None):
    """The curve of checkpoints with these values: right or wrong by step and item, and losses if the task has them."""
    samples = {}
    for step, right in values.items():
        name = f"adapter-step-{step}"
        samples[name, "quiz"] = samples_of(name, right)
    models = models or [model("base", "base"), *map(checkpoint, values)]
    return learning_curve(models, [task], samples, seed=1)


def right(count, of=200):
    return [1.0] * count + [0.0] * (of - count)


def test_a_planted_overfitter_turns_where_it_was_planted():
    curve = curve_of({20: right(100), 40: right(140), 60: right(138), 80: right(110), 100: right(90)})
    assert curve.steps == curve.compared == [20, 40, 60, 80, 100]
    assert curve.tests == 10
    (turn,) = curve.turns
    assert (turn.baseline, turn.candidate, turn.outcome) == ("adapter-step-40", "adapter-step-80", "worse")
    assert turn.difference == pytest.approx(-0.15)
    assert turn.p_adjusted < 0.05
    (last,) = curve.last
    assert (last.baseline, last.candidate, last.outcome) == ("adapter-step-40", "adapter-step-100", "worse")
    assert last.difference == pytest.approx(-0.25)
    assert curve.worse_than("adapter-step-80", "quiz", "acc") == turn
    assert curve.worse_than("adapter-step-60", "quiz", "acc") is None


def test_a_last_step_that_recovers_is_not_called_worse():
    curve = curve_of({20: right(140), 40: right(90), 60: right(138)})
    assert [turn.candidate for turn in curve.turns] == ["adapter-step-40"]
    assert curve.last == []


def test_a_metric_whose_lower_values_are_better_turns_when_it_rises():
    rising = {step: np.linspace(0.5, 1, 60) - loss for step, loss in ((1, 0.3), (2, 0.1), (3, 0.4))}
    task = TASK.model_copy(update={"metrics": [LOSS]})
    (turn,) = curve_of(rising, task).turns
    assert (turn.baseline, turn.candidate) == ("adapter-step-2", "adapter-step-3")
    assert curve_of({step: -values for step, values in rising.items()}, task).turns[0].candidate == "adapter-step-2"


def test_getting_better_is_no_turn():
    assert curve_of({1: right(20), 2: right(100), 3: right(180)}).turns == []


def test_a_fall_that_the_items_cannot_show_is_no_turn():
    """Eight of twelve right, then other seven: three items were lost, two gained."""
    curve = curve_of({1: right(8, 12), 2: np.roll(right(7, 12), 3)})
    assert (curve.tests, curve.turns) == (1, [])


def test_the_correction_counts_every_pair_of_every_metric():
    """Twelve items lost and three gained, p = 0.020, are a turn by themselves and none among ten pairs."""
    random = np.random.default_rng(0)
    two = {1: right(100), 2: np.roll(right(91), 12)}
    (turn,) = curve_of(two).turns
    assert turn.discordant == (3, 12)
    assert turn.p_value == turn.p_adjusted == pytest.approx(0.0201, abs=1e-4)
    others = {step: random.permutation(right(100)) for step in (3, 4, 5)}
    many = curve_of(two | others)
    assert (many.tests, many.turns) == (10, [])


def test_only_main_metrics_that_are_tested_turn():
    losing = {1: right(150), 2: right(50)}
    for facts in ({"secondary": True}, {"descriptive": True}, {"higher_is_better": None}):
        task = TASK.model_copy(update={"metrics": [ACCURACY.model_copy(update=facts)]})
        curve = curve_of(losing, task)
        assert (curve.tests, curve.turns) == (0, [])


def test_steps_are_in_order_and_of_this_training_only():
    models = [
        checkpoint(3),
        model("elsewhere", step=None, trained_here=False),
        checkpoint(1),
        model("base", "base"),
        checkpoint(3, "adapter"),
    ]
    curve = curve_of({1: right(150), 3: right(100)}, models=models)
    assert (curve.steps, curve.models) == ([1, 3], ["adapter-step-1", "adapter-step-3"])
    assert [turn.candidate for turn in curve.turns] == ["adapter-step-3"]
    assert curve_of({1: right(5)}) is None


def test_of_many_checkpoints_evenly_spaced_ones_are_compared():
    assert spread([*range(1, MOST_COMPARED + 1)]) == [*range(1, MOST_COMPARED + 1)]
    steps = [*range(10, 510, 10)]
    some = spread(steps)
    assert len(some) == MOST_COMPARED
    assert (some[0], some[-1]) == (10, 500)
    assert max(np.diff(some)) - min(np.diff(some)) <= 10


@pytest.mark.slow  # many draws
@pytest.mark.parametrize(("items", "rare"), [(25, 0.5), (120, 0.5), (60, 0.05)])
def test_noise_turns_in_at_most_five_percent_of_simulations(items, rare):
    """Six checkpoints of the same quality, with few items, ties and rare errors."""
    random = np.random.default_rng(int(1000 * rare) + items)
    runs, turned = 120, 0
    for _ in range(runs):
        difficulty = random.random(items)  # shared by the checkpoints, so that their answers are correlated
        values = {}
        for step in range(1, 7):
            noisy = 0.6 * difficulty + 0.4 * random.random(items)
            values[step] = (noisy > rare).astype(float)
        turned += bool(curve_of(values).turns)
    assert stats.binomtest(turned, runs, 0.05, alternative="greater").pvalue > 0.01, turned


def test_noise_in_means_turns_in_at_most_five_percent_of_simulations():
    random = np.random.default_rng(5)
    runs, turned = 60, 0
    for _ in range(runs):
        difficulty = random.exponential(size=30)
        values = {step: difficulty + random.standard_t(3, size=30) for step in (1, 2, 3, 4)}
        turned += bool(curve_of(values, BOTH).turns)
    assert stats.binomtest(turned, runs, 0.05, alternative="greater").pvalue > 0.01, turned


def test_sentences_name_overfitting_and_forgetting():
    (sentence,) = turn_sentences(curve_results())
    assert sentence == (
        "Overfitting in Accuracy: step 60 is worse than step 40 (-20.0 pp), and the last step, 80, worse than step 40"
        " (-22.0 pp), after correction for 6 tests of steps 20 to 80."
    )
    (sentence,) = turn_sentences(curve_results(purpose="retention"))
    assert sentence.startswith("Forgetting in Accuracy: step 60 is worse than step 40")
    (sentence,) = turn_sentences(curve_results(rights=(60, 60, 60, 60)))
    assert sentence == (
        "Learning curve, steps 20 to 80: no later step is shown to be worse than an earlier one in a main metric"
        " (6 tests, corrected)."
    )


def seed_curve_of(values, task=TASK):
    """The curve of several seeds with these values by seed and step, as `curve_of`."""
    samples, models = {}, [model("base", "base")]
    for seed, of_step in values.items():
        for step, right in of_step.items():
            name = f"seed-{seed}-step-{step}"
            models.append(model(name, seed=seed, step=step))
            samples[name, "quiz"] = samples_of(name, right)
    for step in sorted(set.intersection(*({*of_step} for of_step in values.values()))):
        members = [f"seed-{seed}-step-{step}" for seed in values]
        models.append(model(f"adapter-step-{step}-mean", "pool", step=step, members=members))
    return learning_curve(models, [task], samples, seed=1)


def test_several_seeds_that_all_overfit_turn_as_one():
    curve = seed_curve_of({seed: {20: right(100), 40: right(140 + seed), 60: right(100 + seed)} for seed in (1, 2, 3)})
    assert (curve.steps, curve.tests) == ([20, 40, 60], 3)
    assert curve.models == ["adapter-step-20-mean", "adapter-step-40-mean", "adapter-step-60-mean"]
    assert [seed.seed for seed in curve.seeds] == [1, 2, 3]
    assert curve.seeds[1].models == ["seed-2-step-20", "seed-2-step-40", "seed-2-step-60"]
    (turn,) = curve.turns
    assert (turn.baseline, turn.candidate) == ("adapter-step-40-mean", "adapter-step-60-mean")
    assert turn.test == "t-test over items and seeds"
    assert turn.difference == pytest.approx(-0.2)


def test_one_seed_of_three_that_overfits_is_no_turn_of_the_mean():
    """By itself it is one: 40 of 200 items lost."""
    falling, steady = {20: right(140), 40: right(100)}, {20: right(140), 40: right(140)}
    assert curve_of(falling).turns
    assert seed_curve_of({1: falling, 2: steady, 3: steady}).turns == []


def test_seeds_of_different_levels_that_lose_the_same_turn():
    """The checkpoints of a seed are paired: that seeds are apart by 30 points does not hide a loss of 15 in each."""
    levels = {1: 90, 2: 120, 3: 150}
    curve = seed_curve_of({seed: {20: right(level), 40: right(level - 30)} for seed, level in levels.items()})
    (turn,) = curve.turns
    assert turn.difference == pytest.approx(-0.15)


def test_a_step_that_not_all_seeds_have_is_left_out_of_the_mean_and_counted():
    some = {20: right(100), 40: right(100)}
    curve = seed_curve_of({1: some, 2: some | {60: right(10)}, 3: some | {60: right(10), 80: right(10)}})
    assert curve.steps == [20, 40]
    assert {step: [one.seed for one in seeds] for step, seeds in curve.left_out.items()} == {60: [2, 3], 80: [3]}
    assert seed_curve_of({1: {20: right(5)}, 2: {40: right(5)}}) is None


@pytest.mark.slow  # many draws
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_noise_of_items_and_seeds_turns_in_at_most_five_percent_of_simulations(seeds):
    random = np.random.default_rng(seeds)
    runs, turned = 200, 0
    for _ in range(runs):
        difficulty = random.random(60)
        values = {}
        for seed in range(seeds):
            quality = random.normal(0, 0.05, 4)  # of each checkpoint of this seed, whose expectation is the same
            values[seed] = {
                step: 0.6 * difficulty + 0.4 * random.random(60) + quality[step - 1] for step in (1, 2, 3, 4)
            }
        turned += bool(seed_curve_of(values, BOTH).turns)
    assert stats.binomtest(turned, runs, 0.05, alternative="greater").pvalue > 0.01, turned


def test_sentences_of_several_seeds_say_so_and_count_the_steps_that_are_left_out():
    first, second = turn_sentences(seed_curve_results({1: (50, 70, 50, 45), 2: (52, 74, 50), 3: (48, 72, 47, 44)}))
    assert first == (
        "Overfitting in Accuracy: step 60 is worse than step 40 (-23.0 pp), after correction for 3 tests"
        " of steps 20 to 60, means over 3 seeds."
    )
    assert second == "Not all seeds have step 80 (2 of 3): no mean over the seeds is shown there."
