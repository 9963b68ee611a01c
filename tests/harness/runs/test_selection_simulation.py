"""The best of eight equal checkpoints: reported on fresh items without bias, on its own items with one."""

import numpy as np
import pytest

from benchmarks.selection_simulation import CELLS, CHECKPOINTS, counted, drawn, violations
from harness.runs.choosing import best_step


@pytest.mark.slow  # many draws
@pytest.mark.parametrize("name", ["accuracy, 30 items choose", "mean, skewed, lower is better"])
def test_fresh_items_are_unbiased_and_those_that_chose_are_not(name):
    row = counted(name, 200)
    assert violations([row]) == []
    assert row["chosen on"]["bias"] > 20 * abs(row["fresh"]["bias"])
    assert row["chosen on"]["interval_misses"] >= 0.1


def test_all_checkpoints_are_equally_good():
    cell = CELLS["accuracy, 30 items choose"]
    scores = np.zeros(CHECKPOINTS + 1)
    for draw in range(40):
        samples = drawn(cell, np.random.default_rng(draw), 500)
        scores += [np.mean([one.metrics["m"] for one in of]) for of in samples]
    assert scores / 40 == pytest.approx([0.55] * (CHECKPOINTS + 1), abs=0.02)


@pytest.mark.parametrize(
    ("scores", "sign", "step"),
    [
        ({20: 0.5, 40: 0.7, 60: 0.7}, 1, 40),
        ({20: 0.5, 40: 0.7, 60: 0.5}, -1, 20),
        ({20: None, 40: 0.1}, 1, 40),
        ({20: None, 40: None}, 1, None),
        ({20: 0.0, 40: -1.0}, 1, 20),
    ],
)
def test_the_first_of_the_best_is_chosen(scores, sign, step):
    assert best_step(scores, sign) == step


def test_every_bound_that_is_broken_is_reported():
    fresh = {"draws": 2000, "bias": 0.002, "standard_error": 0.001, "interval_misses": 0.05}
    reused = {"bias": 0.05, "standard_error": 0.001}
    good = {"fresh": fresh, "chosen on": reused}
    assert violations([good]) == []
    for fault in (
        {"fresh": fresh | {"bias": -0.0031}},
        {"fresh": fresh | {"interval_misses": 0.061}},
        {"chosen on": reused | {"bias": 0.002}},
    ):
        assert len(violations([good | fault])) == 1
