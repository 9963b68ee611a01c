"""Perplexity and metrics of generated answers: figures against plain formulas."""

import math

import pytest

from tasks.answers import GeneratedText, ScoredText
from tasks.reasoning import generation_results, perplexity, perplexity_results, ratio

DOC = {"format": "think", "response": "the cat sat", "prompt": "Where did the cat sit?", "tokenizer": None}


def test_perplexity_weighs_every_token_alike():
    assert perplexity([(-2.0, 1), (-4.0, 5)]) == pytest.approx(math.exp(1.0))
    assert perplexity([(-1e6, 1)]) == math.inf


def test_perplexity_counts_tokens_of_the_model_else_of_the_document():
    doc = {"gold": "äb", "gold_tokens": 4}
    scored = ScoredText(-2.0, greedy=False, tokens=7, prompt_tokens=1, seconds=0.0)
    assert perplexity_results(doc, [scored]) == {"bits_per_byte": (-2.0, 3), "perplexity": (-2.0, 7)}
    assert perplexity_results(doc, [(-2.0, False)])["perplexity"] == (-2.0, 4)


def answer(text, reason="stop"):
    return GeneratedText(text, prompt_tokens=1, output_tokens=9, finish_reason=reason, seconds=0.1)


def test_generated_answers_are_judged_on_their_final_response():
    metrics = generation_results(DOC, [answer("<think>one two</think>the cat sat")])
    assert metrics == {
        "rouge_l": 1.0,
        "format_compliance": 1.0,
        "reasoning_words": 2.0,
        "reasoning_characters": 7.0,
        "distinct_trigrams": 1.0,
        "empty": 0.0,
        "copied": 0.0,
        "disclaimer": 0.0,
        "ended": 1.0,
    }


def test_an_answer_that_runs_on_is_judged_on_what_comes_before_the_next_question(tiny_model):
    doc = {**DOC, "tokenizer": str(tiny_model)}
    alone = "<think>one two</think>the cat sat"
    both = f"{alone}\n\nQuestion: Where did the dog sit?\n<think>three</think>on the mat"
    assert generation_results(doc, [both]) == generation_results(doc, [alone])


def test_thinking_that_the_prompt_opened_and_that_never_closes_is_no_response():
    metrics = generation_results({**DOC, "prompt": "Why?<think>\n"}, [answer("the cat sat", "length")])
    assert (metrics["rouge_l"], metrics["format_compliance"], metrics["reasoning_words"]) == (0.0, 0.0, 3.0)


def test_degenerate_answers_show():
    empty = generation_results(DOC, [answer(" \n")])
    assert empty["empty"] == 1.0
    assert "distinct_trigrams" not in empty
    assert generation_results(DOC, [answer("the cat " * 50)])["distinct_trigrams"] < 0.05
    assert generation_results(DOC, [answer("Where did the cat sit?")])["copied"] == 1.0


def test_lengths_in_tokens_come_with_the_tokens_that_a_word_takes(tiny_model):
    metrics = generation_results({**DOC, "tokenizer": str(tiny_model)}, [answer("<think>one two</think>the cat sat")])
    tokens, words = metrics["tokens_per_word"]
    assert words == 4
    assert tokens > metrics["reasoning_tokens"] >= 2
    assert ratio([(6.0, 4.0), (3.0, 2.0)]) == 1.5
    assert math.isnan(ratio([(0.0, 0.0)]))


def test_a_cut_answer_neither_ends_nor_complies():
    metrics = generation_results(DOC, [answer("<think>one</think>the cat sat", "length")])
    assert (metrics["format_compliance"], metrics["ended"]) == (0.0, 0.0)


def test_plain_strings_of_stock_lm_eval_leave_ended_out():
    assert "ended" not in generation_results(DOC, ["<think>one</think>the cat sat"])


def test_answers_keep_their_cost_through_copy_and_pickle():
    import copy
    import pickle

    for again in (copy.deepcopy(answer("x")), pickle.loads(pickle.dumps(answer("x")))):
        assert (again, again.output_tokens, again.finish_reason) == ("x", 9, "stop")
    scored = ScoredText(-2.0, greedy=True, tokens=7, prompt_tokens=1, seconds=0.5)
    for same in (copy.deepcopy(scored), pickle.loads(pickle.dumps(scored))):
        assert (same, vars(same)) == ((-2.0, True), {"tokens": 7, "prompt_tokens": 1, "seconds": 0.5})
