"""Prompts: one rendering for training and scoring, through the model's chat template where it has one."""

import copy

from tasks.formats import FORMATS
from tasks.rendering import count_scored_tokens, encode, load_tokenizer, render_prompt

SHAPE = FORMATS["think"]


def test_the_chat_template_is_used_where_the_model_has_one(tiny_model):
    prompt = render_prompt(load_tokenizer(str(tiny_model)), SHAPE, " Why? ")
    assert prompt == f"<|start|>user\nWhy?\n\n{SHAPE.instruction}<|end|>\n<|start|>assistant\n"


def test_plain_text_is_used_where_the_template_is_not_wanted(tiny_model):
    plain = f"Why?\n\n{SHAPE.instruction}\n\n"
    assert render_prompt(load_tokenizer(str(tiny_model)), SHAPE, "Why?", "never") == plain
    assert render_prompt(None, SHAPE, "Why?") == plain


def test_a_template_that_opens_the_reasoning_itself_leaves_that_to_the_answer():
    class R1:
        chat_template = "yes"

        def apply_chat_template(self, *_, **__):
            return "<User>Why?<Assistant><think>\n"

    assert render_prompt(R1(), SHAPE, "Why?") == "<User>Why?<Assistant>"
    assert render_prompt(R1(), FORMATS["alpaca"], "Why?") == "<User>Why?<Assistant><think>\n"


def test_a_template_that_tells_the_date_makes_the_same_prompt_every_day(tiny_model, monkeypatch):
    tokenizer = copy.deepcopy(load_tokenizer(str(tiny_model)))
    told = "{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y') %}{%- endif %}"
    for template in (told + "Today: {{ date_string }}", "Today: {{ strftime_now('%d %b %Y') }}"):
        tokenizer.chat_template = template
        assert render_prompt(tokenizer, SHAPE, "Why?") == "Today: 26 Jul 2024"


def test_the_start_token_appears_once(tiny_model):
    tokenizer = load_tokenizer(str(tiny_model))
    ids = encode(tokenizer, render_prompt(tokenizer, SHAPE, "Why?"))
    assert ids[0] == tokenizer.bos_token_id
    assert ids[1] != tokenizer.bos_token_id


def test_scored_tokens_are_counted_as_lm_eval_divides_them(tiny_model):
    from lm_eval.api.instance import Instance

    from harness.scoring.lm import RequestMaker

    tokenizer = load_tokenizer(str(tiny_model))
    lm = RequestMaker(tokenizer, seed=0)
    prompt = render_prompt(tokenizer, SHAPE, "Why?")
    answer = SHAPE.completion("because", "so")
    (request,) = lm.loglikelihood([Instance("loglikelihood", {}, (prompt, answer), 0)])
    assert count_scored_tokens(tokenizer, prompt, answer) == len(request.continuation)
