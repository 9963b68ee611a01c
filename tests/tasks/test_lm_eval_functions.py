"""What the lm-eval task configurations call: figures against plain formulas."""

import math

import pytest

from tasks.answers import GeneratedText, ScoredText
from tasks.lm_eval_functions import generation_results, macro_f1, perplexity, perplexity_results, pubmedqa_results

DOC = {"format": "think", "response": "the cat sat", "tokenizer": None}


def f1(pairs, label):
    hits = sum(gold == predicted == label for gold, predicted in pairs)
    return 2 * hits / (sum(gold == label for gold, _ in pairs) + sum(predicted == label for _, predicted in pairs))


def test_macro_f1_is_the_mean_over_labels():
    pairs = [(0, 0), (0, 1), (1, 1), (2, 0), (2, 2), (1, 1)]
    assert macro_f1(pairs) == pytest.approx(sum(f1(pairs, label) for label in (0, 1, 2)) / 3)


def test_pubmedqa_takes_the_likeliest_label():
    assert pubmedqa_results({"gold": 2}, [(-3.0, False), (-2.0, False), (-1.0, True)]) == {
        "accuracy": 1.0,
        "macro_f1": (2, 2),
    }


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
    assert metrics == {"rouge_l": 1.0, "format_compliance": 1.0, "reasoning_words": 2.0, "ended": 1.0}


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
