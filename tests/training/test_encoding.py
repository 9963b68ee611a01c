"""Training rows as tokens: exactly the answer and its end token are learned."""

import copy
import itertools

import pytest

from reports.errors import UserError
from tasks.data import ReasoningRow
from tasks.data.turns import Turn
from tasks.formats import get_format
from tasks.rendering import encode, load_tokenizer, render_prompt
from training.encoding import MASKED, check_vocabulary, encode_row, encode_rows
from training.recipes.recipe_file import load_recipe

ROW = ReasoningRow("1", "Why?", "Because of this.", "So.")
SHAPE = get_format("thinking-headings")


@pytest.fixture
def tokenizer(tiny_model):
    return load_tokenizer(str(tiny_model))


def recipe_up_to(tokens, name=SHAPE.name):
    return load_recipe("quickstart", [f"trainer.max_length={tokens}", f"format.name={name}"])


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
    with pytest.raises(UserError) as caught:
        encode_rows(tokenizer, recipe_up_to(8), [ROW])
    what = "every one of the 1 rows has a prompt of 8 tokens or more, so nothing is learned"
    fix = "raise it, such as --set trainer.max_length=2048"
    assert (caught.value.what, caught.value.where, caught.value.fix) == (what, "trainer.max_length", fix)


SYSTEM, ASKED, SAID = Turn("system", "Be calm."), Turn("user", "Rest?"), Turn("assistant", "No: walk.")
TALK = ReasoningRow("2", "And ice?", "", "Yes, for an hour.", history=(SYSTEM, ASKED, SAID))


def learned_texts(tokenizer, row):
    """The texts of the runs of tokens that carry a loss."""
    runs = itertools.groupby(zip(row.input_ids, row.labels, strict=True), key=lambda pair: pair[1] != MASKED)
    return [tokenizer.decode([token for token, _ in run]) for is_learned, run in runs if is_learned]


# The system prompt before the first question, blanks around answers (Llama 2).
LLAMA = (
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% elif m.role == 'assistant' %}"
    " {{ m.content }} <|end|>{% else %}<<SYS>>{{ m.content }}<</SYS>>{% endif %}{% endfor %}"
)
# Roles as tags, nothing between turns (Phi-3, DeepSeek).
TAGS = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}{% if m.role == 'assistant' %}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

# Refuses system turns; the tokenizer has no token for the end of a turn (Gemma with another's tokenizer).
GEMMA = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>assistant\n{% endif %}"
)


def test_a_system_turn_stands_in_the_question_where_the_template_has_none(tokenizer):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = GEMMA
    row = encode_row(tokenizer, get_format("plain"), TALK, chat="auto", max_length=500)
    assert tokenizer.decode(row.input_ids).startswith("<start_of_turn>user\nBe calm.\n\nRest?<end_of_turn>")
    assert learned_texts(tokenizer, row) == ["No: walk.<end_of_turn>", "Yes, for an hour.<end_of_turn>"]


@pytest.mark.parametrize("template", [None, LLAMA, TAGS], ids=["ChatML", "Llama 2", "tags"])
def test_a_conversation_is_the_templates_rendering_and_every_answer_is_learned(tokenizer, template):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = template or tokenizer.chat_template
    row = encode_row(tokenizer, get_format("plain"), TALK, chat="auto", max_length=500)
    messages = [
        {"role": "system", "content": "Be calm."},
        {"role": "user", "content": "Rest?"},
        {"role": "assistant", "content": "No: walk."},
        {"role": "user", "content": "And ice?"},
        {"role": "assistant", "content": "Yes, for an hour."},
    ]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False).rstrip("\n")
    if template != LLAMA:  # whose blank before the answer is not part of the prompt
        assert row.input_ids == encode(tokenizer, rendered)
    texts = [text.replace(" ", "") for text in learned_texts(tokenizer, row)]
    assert texts == ["No:walk.<|end|>", "Yes,foranhour.<|end|>"]


def test_in_plain_text_earlier_answers_are_learned_too(tokenizer):
    row = encode_row(tokenizer, get_format("medical-question"), TALK, chat="never", max_length=500)
    assert tokenizer.decode(row.input_ids) == (
        "Be calm.\n\nMEDICAL QUESTION: Rest?\n\nANSWER: No: walk.\n\n"
        "MEDICAL QUESTION: And ice?\n\nANSWER: Yes, for an hour.<|end|>"
    )
    assert [text.strip() for text in learned_texts(tokenizer, row)] == ["No: walk.", "Yes, for an hour.<|end|>"]


def test_an_earlier_answer_without_the_reasoning_it_was_given_is_not_learned(tokenizer):
    """The templates of reasoning models leave the reasoning of earlier turns out."""
    tokenizer = copy.deepcopy(tokenizer)
    kept = "(m['content'].split('</think>')[-1] if m['role'] == 'assistant' else m['content'])"
    tokenizer.chat_template = tokenizer.chat_template.replace("m['content']", kept)
    thought = Turn("assistant", "No: walk.", "Few events.")
    talk = ReasoningRow("3", "And ice?", "It cools.", "Yes.", history=(ASKED, thought))
    row = encode_row(tokenizer, get_format("think"), talk, chat="auto", max_length=500)
    assert learned_texts(tokenizer, row) == ["<think>\nIt cools.\n</think>\n\nYes.<|end|>"]
    assert "Few events" not in tokenizer.decode(row.input_ids)
    assert row.altered_turns == 1


def test_a_conversation_whose_last_question_does_not_fit_still_teaches_its_first_answer(tokenizer):
    long = ReasoningRow("4", "Why? " * 300, "", "Yes.", history=(ASKED, SAID))
    rows = encode_rows(tokenizer, recipe_up_to(100, "plain"), [long])
    assert (rows.truncated, rows.dropped) == (1, [])
    assert learned_texts(tokenizer, rows.rows[0]) == ["No: walk.<|end|>"]


def test_a_text_that_has_its_end_token_gets_no_second(tokenizer):
    row = encode_row(tokenizer, SHAPE, ReasoningRow("1", "", "", "Rest.<|end|>"), chat="auto", max_length=500)
    assert tokenizer.decode(row.input_ids) == "Rest.<|end|>"


def test_of_a_plain_text_all_is_learned(tokenizer):
    text = "Rest helps few people."
    row = encode_row(tokenizer, SHAPE, ReasoningRow("5", "", "", text), chat="auto", max_length=500)
    assert row.input_ids == [*encode(tokenizer, text), tokenizer.eos_token_id]
    assert row.labels == [MASKED, *row.input_ids[1:]]


def test_a_token_without_an_embedding_is_refused_by_its_name(tokenizer):
    ids = encode(tokenizer, "Why?")
    check_vocabulary(ids, tokenizer, max(ids) + 1)
    check_vocabulary(ids, tokenizer, None)
    with pytest.raises(UserError) as caught:
        check_vocabulary(ids, tokenizer, max(ids))
    name = tokenizer.convert_ids_to_tokens(max(ids))
    assert f"token id {max(ids)} ({name}) is beyond the {max(ids)} rows of the model's embedding" in caught.value.what
    assert "resize_token_embeddings" in caught.value.fix


def test_without_an_end_token_nothing_is_trained(tokenizer):
    endless = copy.deepcopy(tokenizer)
    endless.eos_token = endless.chat_template = None
    with pytest.raises(UserError) as caught:
        encode_rows(endless, recipe_up_to(500), [ROW])
    assert caught.value.what == "the tokenizer has no end token, so answers could not learn to end"
    assert caught.value.fix == "set its eos_token"


def test_an_end_that_only_the_template_has_does_where_it_is_used(tokenizer):
    """A tokenizer without an end token of its own: rows end as the template ends a turn."""
    endless = copy.deepcopy(tokenizer)
    endless.eos_token = None
    (row,) = encode_rows(endless, recipe_up_to(500), [ROW]).rows
    assert tokenizer.decode(row.input_ids[-1:]) == tokenizer.eos_token
    recipe = load_recipe("quickstart", ["trainer.max_length=500", "format.chat_template=never"])
    with pytest.raises(UserError, match="the tokenizer has no end token"):
        encode_rows(endless, recipe, [ROW])


def test_a_long_plain_text_is_cut_and_says_so(tokenizer):
    text = ReasoningRow("1", "", "", "So it was. " * 50)
    whole, cut = (encode_row(tokenizer, get_format("plain"), text, chat="never", max_length=n) for n in (5000, 20))
    assert (whole.truncated, cut.truncated) == (False, True)
    assert (cut.input_ids, cut.labels) == (whole.input_ids[:20], whole.labels[:20])
