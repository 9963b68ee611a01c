"""Perplexity and metrics of generated answers: figures against plain formulas."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.errors import UserError
from tasks.answers import GeneratedText, ScoredText
from tasks.data import DataSource, load_reasoning
from tasks.reasoning import generation_results, perplexity, perplexity_results, ratio, reasoning_dataset
from tasks.rendering import encode, load_tokenizer

DOC = {"format": "think", "response": "the cat sat", "prompt": "Where did the cat sit?", "tokenizer": None}


def test_perplexity_weighs_every_token_alike():
    assert perplexity([(-2.0, 1), (-4.0, 5)]) == pytest.approx(math.exp(1.0))
    assert perplexity([(-1e6, 1)]) == math.inf
    assert math.isnan(perplexity([(0.0, 0)]))


@given(st.lists(st.tuples(st.floats(-1e4, 0), st.integers(1, 1000)), min_size=1), st.randoms())
def test_the_order_of_the_documents_changes_no_perplexity(pairs, chance):
    assert perplexity(chance.sample(pairs, len(pairs))) == perplexity(pairs)


SCORED = ScoredText([-0.5, -1.0, -2.0, -4.0, -8.0, -16.0], greedy=False, prompt_tokens=1, seconds=0.0)


def test_perplexity_is_of_the_text_and_another_of_the_markers_too():
    doc = {"gold_tokens": 6, "text_tokens": [[1, 3], [4, 5]], "text_bytes": 9}
    assert perplexity_results(doc, [SCORED]) == {
        "perplexity_with_markers": (-31.5, 6),
        "perplexity": (-11.0, 3),
        "bits_per_byte": (-11.0, 9),
    }


def test_a_sum_of_stock_lm_eval_gives_the_perplexity_with_markers_alone():
    doc = {"gold_tokens": 4, "text_tokens": [[1, 3]], "text_bytes": 9}
    assert perplexity_results(doc, [(-2.0, False)]) == {"perplexity_with_markers": (-2.0, 4)}
    untold = {"gold_tokens": None, "text_tokens": None, "text_bytes": 9}
    assert perplexity_results(untold, [(-2.0, False)]) == {}


def test_a_gold_answer_without_text_has_no_perplexity_of_the_text():
    doc = {"gold_tokens": 6, "text_tokens": [], "text_bytes": 0}
    assert perplexity_results(doc, [SCORED]) == {"perplexity_with_markers": (-31.5, 6)}


def test_documents_say_which_tokens_hold_text(tiny_model, write_rows):
    rows = write_rows({"question": "Why?", "complex_cot": "Bécause it is.", "response": "So."})
    (doc,) = reasoning_dataset(reasoning=str(rows), format="think", tokenizer=str(tiny_model))["test"]
    assert doc["gold"] == "<think>\nBécause it is.\n</think>\n\nSo."
    assert doc["text_bytes"] == len("Bécause it is.So.".encode())
    tokenizer = load_tokenizer(str(tiny_model))
    scored = encode(tokenizer, doc["prompt"] + doc["gold"])[-doc["gold_tokens"] :]
    texts = [tokenizer.decode(scored[first:end]) for first, end in doc["text_tokens"]]
    assert texts == ["Bécause it is.", "So."]
    assert doc["tokenizer"] == str(tiny_model)


def test_a_document_holds_all_that_scoring_and_reports_read(write_rows):
    rows = write_rows({"question": "Why?", "complex_cot": "Because.", "response": "So.", "id": "a", "ward": "B2"})
    (doc,) = reasoning_dataset(reasoning=str(rows), format="think")["test"]
    assert doc.pop("prompt").startswith("Why?")
    assert doc == {
        "id": "a",
        "question": "Why?",
        "gold": "<think>\nBecause.\n</think>\n\nSo.",
        "response": "So.",
        "format": "think",
        "fields": '{"ward": "B2", "format": "think"}',
        "gold_tokens": None,
        "text_tokens": None,
        "text_bytes": 11,
        "tokenizer": None,
    }


def test_of_a_conversation_the_last_answer_is_scored_after_all_earlier_turns(write_rows):
    spoken = ("Rest?", "<think>Few events.</think>No.", "And ice?", "<think>It cools.</think>Yes.")
    turns = [{"from": role, "value": text} for role, text in zip(("human", "gpt") * 2, spoken, strict=True)]
    system = {"from": "system", "value": "Be calm."}
    (doc,) = reasoning_dataset(reasoning=str(write_rows({"conversations": [system, *turns]})), format="think")["test"]
    asks = "Put your reasoning between <think> and </think>, then give your answer."
    assert doc["prompt"] == (
        f"Be calm.\n\nRest?\n\n{asks}\n\n<think>\nFew events.\n</think>\n\nNo.\n\nAnd ice?\n\n{asks}\n\n"
    )
    assert (doc["gold"], doc["response"]) == ("<think>\nIt cools.\n</think>\n\nYes.", "Yes.")
    assert doc["question"] == "User: Rest?\n\nAssistant: No.\n\nUser: And ice?"


def test_an_example_is_a_whole_conversation_after_the_system_prompt(write_rows):
    def talk(first, answer):
        spoken = (("system", "Be calm."), ("user", first), ("assistant", answer), ("user", "And then?"))
        return {"messages": [{"role": role, "content": text} for role, text in (*spoken, ("assistant", "Wait."))]}

    pool = str(write_rows(talk("Heat?", "Yes."), talk("Rest?", "No."), name="pool.jsonl"))
    rows = str(write_rows(talk("Rest?", "No.")))
    (doc,) = reasoning_dataset(reasoning=rows, examples=pool, shots=1, format="plain")["test"]
    assert doc["prompt"] == ("Be calm.\n\nHeat?\n\nYes.\n\nAnd then?\n\nWait.\n\nRest?\n\nNo.\n\nAnd then?\n\n")


def test_of_a_plain_text_every_token_is_scored(tiny_model, write_rows):
    rows = write_rows({"text": "Rest helps few people."})
    (doc,) = reasoning_dataset(reasoning=str(rows), format="think", tokenizer=str(tiny_model))["test"]
    assert (doc["prompt"], doc["gold"], doc["text_bytes"]) == ("", "Rest helps few people.", 22)
    assert doc["text_tokens"] == [[0, doc["gold_tokens"]]]


def test_plain_texts_take_no_examples_and_give_none(write_rows):
    texts = str(write_rows({"text": "Rest helps."}, {"text": "Ice cools."}, name="texts.jsonl"))
    rows = str(write_rows({"question": "Rest?", "answer": "No."}, {"question": "Ice?", "answer": "Yes."}))
    (doc, _) = reasoning_dataset(reasoning=texts, examples=rows, shots=1, format="plain")["test"]
    assert doc["prompt"] == ""
    with pytest.raises(UserError, match=r"scoring.num_fewshot: .*texts.jsonl holds plain texts without questions"):
        reasoning_dataset(reasoning=rows, examples=texts, shots=1, format="plain")


def test_the_seed_draws_the_rows(write_rows):
    rows = write_rows(*({"question": f"Why {n}?", "complex_cot": "So.", "response": "So.", "id": n} for n in range(6)))
    source = {"source": str(rows), "rows": 3}
    for seed in (1, 2):
        drawn = [row["id"] for row in reasoning_dataset(reasoning=source, seed=seed)["test"]]
        assert drawn == [row.id for row in load_reasoning(DataSource(**source), seed=seed)]


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
    assert (empty["empty"], empty["distinct_trigrams"]) == (1.0, 0.0)
    assert generation_results(DOC, [answer("the cat " * 50)])["distinct_trigrams"] == pytest.approx(1 / 97)
    assert generation_results(DOC, [answer("Where did the cat sit?")])["copied"] == 1.0


def test_lengths_in_tokens_come_with_the_tokens_that_a_word_takes(tiny_model):
    metrics = generation_results({**DOC, "tokenizer": str(tiny_model)}, [answer("<think>one two</think>the cat sat")])
    tokens, words = metrics["tokens_per_word"]
    assert words == 7  # "think" of the tags among them, as their tokens are
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
    scored = ScoredText([-1.5, -0.5], greedy=True, prompt_tokens=1, seconds=0.5)
    for same in (copy.deepcopy(scored), pickle.loads(pickle.dumps(scored))):
        assert (same, same.tokens) == ((-2.0, True), 2)
        assert vars(same) == {"logprobs": [-1.5, -0.5], "prompt_tokens": 1, "seconds": 0.5}
