"""Candidates whose truth is known: the default policy blocks few equal ones, and most that are worse by its margin."""

import pytest

from benchmarks.gate_simulation import MARGIN, METRICS, asked, gate

TIMES = 200


def blocked(names, losses, first_seed):
    """Share of candidates that do not pass, with the items that the gate asks for after a pilot."""
    wanted = [asked(names, seed) for seed in range(20)]
    verdicts = [gate(wanted[n % 20], losses, first_seed + n).verdict for n in range(TIMES)]
    return sum(verdict != "pass" for verdict in verdicts) / TIMES


@pytest.mark.parametrize(
    "names",
    [
        ["accuracy"],
        *(pytest.param(names, marks=pytest.mark.slow) for names in (["macro_f1"], ["perplexity", "rouge_l"])),
    ],
)
def test_an_equal_candidate_is_blocked_at_most_one_time_in_twenty(names):
    assert blocked(names, {}, 10_000) <= 0.05


@pytest.mark.parametrize(
    "names",
    [
        ["accuracy"],
        *(pytest.param(names, marks=pytest.mark.slow) for names in (["macro_f1"], ["perplexity", "rouge_l"])),
    ],
)
def test_a_candidate_worse_by_the_margin_is_blocked_four_times_in_five(names):
    assert blocked(names, {names[0]: MARGIN}, 20_000) >= 0.8


@pytest.mark.parametrize("items", [12, *(pytest.param(items, marks=pytest.mark.slow) for items in (30, 60))])
def test_few_items_of_an_equal_candidate_hardly_ever_fail(items):
    reports = [gate(dict.fromkeys(METRICS, items), {}, seed) for seed in range(TIMES)]
    assert sum(report.verdict == "fail" for report in reports) / TIMES <= 0.05


def test_few_items_hardly_ever_pass_a_candidate_that_is_worse_by_the_margin():
    """A loss of the margin is ruled out by luck no more often than the rule's confidence allows."""
    reports = [gate({"accuracy": 40}, {"accuracy": MARGIN}, seed) for seed in range(TIMES)]
    assert sum(report.verdict == "pass" for report in reports) / TIMES <= 0.05
