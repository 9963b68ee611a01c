"""What answers cost: time, tokens, memory, and what an earlier run paid for."""

from array import array

import pytest

from harness.engines.interface import Cost, GenerateResponse, ScoreResponse
from harness.scoring.evaluation import AnswerCosts
from tests.harness.scoring.test_tally import sample, tally_of


def generated(seconds, latency, *, peak=100, reused=False, finish_reason="stop"):
    return GenerateResponse("yes", (1, 2), finish_reason, Cost(seconds, latency, peak, reused))


def test_costs_are_sums_quantiles_and_maxima_over_all_answers():
    costs = AnswerCosts()
    costs.add([generated(0.5 * number, float(number), peak=number) for number in range(1, 21)])
    costs.add([generated(1.0, 21.0, peak=7, finish_reason="length", reused=True)])
    cost = costs.summed_up("base", "t", tally_of(sample(prompt_tokens=200, output_tokens=12)))
    assert (cost.model, cost.task, cost.seconds) == ("base", "t", 106.0)
    assert (cost.prompt_tokens, cost.output_tokens, cost.tokens_per_second) == (200, 12, 2.0)
    assert (cost.latency_p50, cost.latency_p95) == (11.0, 20.0)
    assert (cost.peak_memory_bytes, cost.truncated) == (20, 1)
    assert (cost.reused, cost.reused_answers, cost.reused_seconds) == (False, 1, 1.0)


@pytest.mark.parametrize("reused", [True, False])
def test_a_single_answer_is_its_own_median_and_95th_percentile(reused):
    costs = AnswerCosts()
    costs.add([ScoreResponse(array("f", [-1.0]), greedy=False, cost=Cost(0.25, 0.12345, 9, reused))])
    cost = costs.summed_up("base", "t", tally_of(sample(prompt_tokens=4, output_tokens=1)))
    assert (cost.seconds, cost.tokens_per_second) == (0.25, 20.0)
    assert (cost.latency_p50, cost.latency_p95, cost.truncated) == (0.1235, 0.1235, 0)
    assert (cost.reused, cost.reused_answers, cost.reused_seconds) == (reused, int(reused), 0.25 * reused)
