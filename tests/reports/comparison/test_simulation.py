"""The simulation of comparisons whose truth is known, with few draws; the committed output has more."""

import pytest

from benchmarks.statistics_simulation import paired_shares, simulate, single_shares, violations

EXACT = (10, 20, 50)


@pytest.mark.parametrize("items", EXACT)
def test_intervals_of_shares_cover_and_tests_hold_their_level_exactly(items):
    single, paired = single_shares(items), paired_shares(items)
    assert single["least_coverage"] >= 0.91
    assert paired["least_coverage"] >= 0.91
    assert paired["most_false_alarms"] <= 0.055
    assert paired["most_false_equivalence"] <= 0.05


@pytest.mark.slow
def test_a_small_simulation_keeps_all_bounds():
    results = simulate(40, items=(20, 50))
    assert violations(results) == []
    assert {(row["items"], row["truth"]) for row in results["drawn"]} == {
        (items, truth) for items in (20, 50) for truth in ("equal", "margin", "worse")
    }


def test_a_bound_that_does_not_hold_is_noticed():
    paired = {"items": 10, "least_coverage": 0.95, "most_false_alarms": 0.05, "most_false_equivalence": 0.0}
    row = {
        "cell": "normal",
        "items": 200,
        "truth": "equal",
        "draws": 2000,
        "flagged": 0.0,
        "coverage": 0.95,
        "coverage_flagged": None,
        "different": 0.05,
        "equivalent": 0.0,
        "false_equivalence": 0.0,
        "single_flagged": 0.0,
        "single_coverage": 0.95,
        "single_coverage_flagged": None,
    }
    family = {"draws": 2000, "any_better_or_worse": 0.05, "best_claimed_better_than_another": 0.05}
    good = {"single_shares": [{"least_coverage": 0.92}], "paired_shares": [paired], "drawn": [row], "family": [family]}
    assert violations(good) == []
    for part, fault in (
        ("single_shares", {"least_coverage": 0.90}),
        ("paired_shares", paired | {"most_false_alarms": 0.07}),
        ("paired_shares", paired | {"most_false_equivalence": 0.07}),
        ("drawn", row | {"coverage": 0.91}),
        ("drawn", row | {"coverage": 0.99}),
        ("drawn", row | {"single_coverage": 0.91}),
        ("drawn", row | {"different": 0.07}),
        ("drawn", row | {"flagged": 0.03, "coverage_flagged": 0.95}),
        ("drawn", row | {"cell": "lognormal", "flagged": 0.2, "coverage_flagged": 0.7}),
        ("drawn", row | {"cell": "lognormal", "flagged": 0.96, "coverage": 0.0, "coverage_flagged": 0.84}),
        ("drawn", row | {"truth": "margin", "false_equivalence": 0.07}),
        ("family", family | {"any_better_or_worse": 0.07}),
        ("family", family | {"best_claimed_better_than_another": 0.07}),
    ):
        assert len(violations(good | {part: [fault]})) == 1, (part, fault)
