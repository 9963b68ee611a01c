"""Training rows as tokens: exactly the answer and its end token are learned."""

import copy

import pytest

from reports.errors import UserError
from tasks.data import ReasoningRow
from tasks.formats import get_format
from tasks.rendering import encode, load_tokenizer, render_prompt
from training.encoding import MASKED, encode_row, encode_rows
from training.recipes.recipe_file import load_recipe

ROW = ReasoningRow("1", "Why?", "Because of this.", "So.")
SHAPE = get_format("thinking-headings")


@pytest.fixture
def tokenizer(tiny_model):
    return load_tokenizer(str(tiny_model))


def recipe_up_to(tokens):
    return load_recipe("quickstart", [f"trainer.max_length={tokens}", f"format.name={SHAPE.name}"])


def test_the_prompt_is_masked_and_the_answer_with_its_end_is_learned(tokenizer):
    row = encode_row(tokenizer, SHAPE, ROW, chat="auto", max_length=500)
    learned = [label for label in row.labels if label != MASKED]
    prompt = row.input_ids[: len(row.labels) - len(learned)]
    assert tokenizer.decode(learned) == SHAPE.completion(ROW.reasoning, ROW.response) + tokenizer.eos_token
    assert prompt == encode(tokenizer, render_prompt(tokenizer, SHAPE, ROW.question))
    assert not row.truncated


def test_an_answer_is_learned_with_the_tokens_that_follow_its_prompt(tokenizer):
    """Alone, a tokenizer of SentencePiece's kind would begin it with a space, which no answer begins with."""
    from tokenizers.pre_tokenizers import Metaspace

    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.backend_tokenizer.pre_tokenizer = Metaspace(prepend_scheme="first", split=False)
    row = encode_row(tokenizer, SHAPE, ROW, chat="never", max_length=500)
    prompt = render_prompt(tokenizer, SHAPE, ROW.question, "never")
    whole = encode(tokenizer, prompt + SHAPE.completion(ROW.reasoning, ROW.response))
    assert whole[: len(encode(tokenizer, prompt))] == encode(tokenizer, prompt)
    assert row.input_ids == [*whole, tokenizer.eos_token_id]


@pytest.mark.parametrize("end", ["<|start|>", "</turn>"])
def test_rows_end_as_the_template_ends_a_turn(tokenizer, end):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}" + end + "{% endfor %}"
    row = encode_row(tokenizer, SHAPE, ROW, chat="auto", max_length=500)
    learned = tokenizer.decode([label for label in row.labels if label != MASKED])
    assert learned == SHAPE.completion(ROW.reasoning, ROW.response) + end


@pytest.mark.parametrize("name", ["alpaca", "think"])
def test_thinking_that_a_template_opens_is_closed_before_an_answer_in_another_format(tokenizer, name):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template += "{% if add_generation_prompt %}<think>\n{% endif %}"
    shape = get_format(name)
    row = encode_row(tokenizer, shape, ROW, chat="auto", max_length=500)
    learned = tokenizer.decode([label for label in row.labels if label != MASKED])
    opening = "" if name == "think" else "</think>\n\n"
    assert learned == opening + shape.completion(ROW.reasoning, ROW.response) + tokenizer.eos_token


def test_a_long_row_is_cut_and_counted(tokenizer):
    whole = encode_row(tokenizer, SHAPE, ROW, chat="auto", max_length=500)
    length = len(whole.input_ids) - 3
    rows = encode_rows(tokenizer, recipe_up_to(length), [ROW])
    assert rows.truncated == 1
    assert len(rows.rows[0].input_ids) == len(rows.rows[0].labels) == length


def test_a_row_whose_prompt_fills_the_limit_is_dropped_by_name(tokenizer):
    long = ReasoningRow("long", "Why? " * 300, "x", "y")
    rows = encode_rows(tokenizer, recipe_up_to(300), [ROW, long])
    assert rows.dropped == ["long"]
    assert len(rows.rows) == 1


def test_nothing_left_to_learn_is_an_error(tokenizer):
    with pytest.raises(UserError, match=r"trainer.max_length"):
        encode_rows(tokenizer, recipe_up_to(8), [ROW])
