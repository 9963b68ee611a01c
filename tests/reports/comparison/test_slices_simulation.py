"""How often equal and bad slices are named: a small version of the benchmark, and its bounds."""

import numpy as np
import pytest

from benchmarks.slices_simulation import CELLS, counted, drawn_task, true_loss, violations

BAD = [name for name, cell in CELLS.items() if cell.planted == 1]


@pytest.mark.slow  # many draws
@pytest.mark.parametrize(
    ("name", "draws"),
    [
        ("accuracy, 20 equal slices of 10 to 128", 200),
        ("accuracy, 20 equal slices of 200, most differ", 100),
        ("mean, 20 equal slices of 10", 40),
        ("macro-F1, 20 equal slices of 100", 40),
    ],
)
def test_twenty_equal_slices_are_rarely_named(name, draws):
    """With 5 % of draws named, 9 % of 200, 11 % of 100 or 15 % of 40 would be exceeded in about 1 %."""
    row = counted(name, draws)
    most = {200: 0.09, 100: 0.11, 40: 0.15}[draws]
    assert row["any_equal_slice_called"] <= most
    assert row["named"] <= most
    assert row["tested_slices"] == 20


@pytest.mark.parametrize("name", BAD)
def test_one_bad_slice_of_eight_is_named(name):
    row = counted(name, 15)
    assert row["named_bad"] >= 0.8
    assert row["named_equal"] == 0
    assert row["interval_of_named_misses"] <= 0.2


def test_the_losses_are_as_stated():
    assert true_loss(CELLS["accuracy, 1 bad slice of 8"]) == 0.25
    task = drawn_task(CELLS["accuracy, 1 bad slice of 8"], np.random.default_rng(0))
    items = task.groupings["speciality"].items
    assert list(map(len, items.values())) == [80] * 8
    losses = []
    for draw in range(100):
        task = drawn_task(CELLS["accuracy, 1 bad slice of 8"], np.random.default_rng(draw))
        before, after = ({one.id: one.metrics["m"] for one in task.samples[model]} for model in ("base", "new"))
        losses.append([np.mean([before[item] - after[item] for item in of]) for of in items.values()])
    assert np.mean(losses, 0) == pytest.approx([0.0] * 7 + [0.25], abs=0.02)


def test_every_bound_that_is_broken_is_reported():
    good = {"draws": 2000, "planted": 1, "share_of_called_that_are_equal": 0.05, "named_equal": 0.05}
    good |= {"named_bad": 0.8, "interval_of_named_misses": 0.05}
    assert violations([good]) == []
    for key, value in (
        ("share_of_called_that_are_equal", 0.061),
        ("named_equal", 0.0505),
        ("named_bad", 0.79),
        ("interval_of_named_misses", 0.061),
    ):
        assert len(violations([good | {key: value}])) == 1, key
