"""Chances of verdicts before a run: all tables of a few items, drawn ones of many, and the numbers that follow."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.power_check import CELLS, Cell, counted, enumerated, violations
from reports.comparison.power import (
    detectable_mean,
    detectable_share,
    items_to_decide,
    level_of,
    most_discordance,
    outcome_chances,
)


@pytest.mark.parametrize("name", [name for name, cell in CELLS.items() if cell.items <= 41])
def test_chances_are_those_of_all_tables(name):
    assert counted(name, 0)["difference"] < 1e-9


@pytest.mark.parametrize("name", [name for name, cell in CELLS.items() if cell.items == 500])
def test_chances_are_those_of_drawn_tables_alone_and_in_a_family(name):
    assert violations([counted(name, 1000)]) == []


@pytest.mark.slow  # many draws
@pytest.mark.parametrize("name", [name for name, cell in CELLS.items() if cell.items > 41])
def test_chances_are_within_a_point(name):
    assert violations([counted(name, 20_000)]) == []


def test_chances_add_up_and_mirror_each_other():
    better = outcome_chances(30, 0.2, 0.3, 0.05, 0.25)
    worse = outcome_chances(30, -0.2, 0.3, 0.05, 0.25)
    assert (better.better, better.worse, better.equivalent) == pytest.approx(
        (worse.worse, worse.better, worse.equivalent)
    )
    rest = enumerated(Cell(30, 0.2, 0.3, 0.25))
    assert sum(vars(better).values()) + rest.get("inconclusive", 0.0) + rest["identical"] == pytest.approx(1)


def test_a_difference_beyond_the_discordance_is_refused():
    with pytest.raises(ValueError, match=r"needs a discordance between 0\.3"):
        outcome_chances(60, 0.3, 0.2, 0.05, 0.05)


def test_the_items_that_decide_do_and_fewer_do_not():
    level = level_of(4)
    detecting, equivalent = items_to_decide(0.05, 0.2, level, 0.05)
    assert (detecting, equivalent) == (883, 1161)
    assert outcome_chances(detecting, 0.05, 0.2, level, 0.05).better >= 0.8
    assert outcome_chances(round(0.95 * detecting), 0.05, 0.2, level, 0.05).better < 0.8
    assert outcome_chances(equivalent, 0.0, 0.2, level, 0.05).equivalent >= 0.8
    assert outcome_chances(round(0.95 * equivalent), 0.0, 0.2, level, 0.05).equivalent < 0.8


@pytest.mark.parametrize("items", [30, 500, 1000])
def test_the_smallest_detectable_difference_is_detected(items):
    shown = detectable_share(items, 0.2, 0.05) or 0.0
    for difference, is_enough in ((shown, True), (0.97 * shown, False)):
        chances = outcome_chances(items, difference, max(0.2, difference), 0.05, 0.05)
        assert (chances.better >= 0.8) == is_enough
    assert detectable_share(3, 0.2, 0.05) is None


def test_a_mean_is_planned_by_the_noncentral_t():
    shown = detectable_mean(2.0, 50, 0.05)
    critical = stats.t.isf(0.025, 49)
    assert stats.nct.sf(critical, 49, shown / 2.0 * math.sqrt(50)) == pytest.approx(0.8, abs=0.003)
    assert detectable_mean(2.0, 1, 0.05) is None
    assert detectable_mean(0.0, 50, 0.05) is None


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("difference", [0.0, 0.05, 0.2])
def test_no_two_models_differ_on_more_items_than_their_shares_allow(share, difference):
    most = max(
        (
            gained + lost
            for gained in np.arange(101) / 100
            for lost in np.arange(101) / 100
            if gained <= 1 - share + 1e-9 and lost <= share + 1e-9 and abs(abs(gained - lost) - difference) < 1e-9
        ),
        default=difference,
    )
    assert most_discordance(share, difference) == pytest.approx(most)


def test_a_chance_that_is_off_is_reported():
    row = {"cell": "c", "difference": 0.009, "draws": 40_000}
    assert violations([row, row | {"draws": 0, "difference": 1e-12}]) == []
    assert len(violations([row | {"difference": 0.011}, row | {"draws": 0, "difference": 1e-6}])) == 2
