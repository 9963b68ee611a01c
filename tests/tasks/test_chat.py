"""Chat templates: what stands in the prompt, and what ends an answer."""

import copy

import pytest

from reports.errors import UserError
from tasks.chat import ChatSettings, template_notes, turn_end, unused_kwargs
from tasks.data.turns import Turn
from tasks.formats import FORMATS
from tasks.rendering import encode, load_tokenizer, render_prompt

SHAPE = FORMATS["thinking-headings"]
TURN = SHAPE.user_turn("Why?")
PARTS = (
    "{% for m in messages %}[{{ m.role }}]{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}"
    "{% endif %}{% endfor %}<|end|>{% endfor %}"
)
PLAIN = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|end|>{% endfor %}"
START = "{% if add_generation_prompt %}[assistant]{% endif %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + PLAIN
DROPS_SYSTEM = "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}<|end|>{% endfor %}"
NOTHING = "{% for m in messages %}[{{ m.role }}]{% endfor %}"


@pytest.fixture
def with_template(tiny_model):
    def change(template, **settings):
        tokenizer = copy.deepcopy(load_tokenizer(str(tiny_model)))
        tokenizer.chat_template = template
        for name, value in settings.items():
            setattr(tokenizer, name, value)
        return tokenizer

    return change


@pytest.mark.parametrize(
    ("template", "system", "prompt"),
    [
        (PLAIN, "", f"[user]{TURN}<|end|>"),
        (PARTS, "", f"[user]{TURN}<|end|>"),
        (PLAIN, "Be brief.", f"[system]Be brief.<|end|>[user]{TURN}<|end|>"),
        (PARTS, "Be brief.", f"[system]Be brief.<|end|>[user]{TURN}<|end|>"),
        (NO_SYSTEM, "Be brief.", f"[user]Be brief.\n\n{TURN}<|end|>"),
        (DROPS_SYSTEM, "Be brief.", f"[user]Be brief.\n\n{TURN}<|end|>"),
        (
            PLAIN.replace("m.content", "m.content | replace('\n\n', ' ')"),
            "",
            f"[user]{TURN.replace(chr(10) * 2, ' ')}<|end|>",
        ),
        (None, "Be brief.", f"Be brief.\n\n{TURN}\n\n"),
    ],
    ids=["text", "parts", "system", "system-in-parts", "system-refused", "system-dropped", "white-space", "none"],
)
def test_question_and_system_prompt_stand_in_the_prompt(with_template, template, system, prompt):
    assert render_prompt(with_template(template), SHAPE, "Why?", ChatSettings(system=system)) == prompt


def test_a_template_that_leaves_the_question_out_is_refused(with_template):
    with pytest.raises(UserError, match=r"leaves the question out of the prompt: 'Why\?.*\n.*chat_template=never"):
        render_prompt(with_template(NOTHING), SHAPE, "Why?")


@pytest.mark.parametrize(
    "hint",
    [
        "{% if 'statins' in messages[-1].content %}The answer is yes.{% endif %}",
        "{{ {'Do statins help?': 'yes'}.get(messages[-1].content.split('\n')[0], '') }}",
        "{{ messages[-1].content | length }}",
        "{% if 'statins' in messages[-1].content %}  {% endif %}",
    ],
)
def test_a_template_cannot_know_the_answers(with_template, hint):
    tokenizer = with_template(PLAIN + hint)
    with pytest.raises(UserError, match="writes other text around this question than around others: 'Do statins"):
        render_prompt(tokenizer, SHAPE, "Do statins help?")


@pytest.mark.parametrize(("role", "position"), [("user", 0), ("assistant", 1)])
def test_a_template_cannot_know_the_answer_from_earlier_turns(with_template, role, position):
    hint = f"{{% if 'Statins' in messages[{position}].content %}}The answer is yes.{{% endif %}}"
    history = [Turn("user", "I take them."), Turn("assistant", "Which?")]
    render_prompt(with_template(PLAIN + hint), SHAPE, "Do they help?", history=history)
    history[position] = Turn(role, "Statins.")
    with pytest.raises(UserError, match="writes other text around this question than around others: 'Do they help"):
        render_prompt(with_template(PLAIN + hint), SHAPE, "Do they help?", history=history)


def test_a_template_may_trim_turns_and_leave_out_earlier_reasoning(with_template):
    trims = PLAIN.replace("m.content", "m.content.split('</think>')[-1] | trim")
    history = [Turn("user", " One? "), Turn("assistant", "<think>1, 1.</think>\n\n1")]
    prompt = render_prompt(with_template(trims), SHAPE, "Why?", history=history)
    assert prompt.endswith(f"[assistant]1<|end|>[user]{TURN}<|end|>")


def test_examples_are_earlier_turns_or_plain_text(with_template):
    examples = [("One?", "1")]
    first = SHAPE.user_turn("One?")
    prompt = render_prompt(with_template(PLAIN), SHAPE, "Why?", examples=examples)
    assert prompt == f"[user]{first}<|end|>[assistant]1<|end|>[user]{TURN}<|end|>"
    assert render_prompt(None, SHAPE, "Why?", examples=examples) == f"{first}\n\n1\n\n{TURN}\n\n"


def test_settings_reach_the_template(with_template):
    tokenizer = with_template("{% if enable_thinking is not false %}think{% endif %}" + PLAIN)
    off = ChatSettings(kwargs=(("enable_thinking", False),))
    assert render_prompt(tokenizer, SHAPE, "Why?", off) == f"[user]{TURN}<|end|>"
    assert unused_kwargs(tokenizer, off) == []
    assert unused_kwargs(with_template(PLAIN), off) == ["enable_thinking"]


@pytest.mark.parametrize(
    ("template", "end", "text"),
    [
        (PLAIN, "<|end|>", ""),
        (PLAIN.replace("<|end|>", "\n<|start|>\n"), "<|start|>", ""),
        (PARTS.replace("<|end|>", "<|start|>"), "<|start|>", ""),
        (PLAIN.replace("<|end|>", "<|im_end|>\n"), "<|im_end|>", "<|im_end|>"),
        (PLAIN.replace("<|end|>", "\n\n### Question\n"), "<|end|>", ""),
        ("{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}", "<|end|>", ""),
        (None, "<|end|>", ""),
    ],
    ids=["its-end-token", "another-token", "parts", "no-token", "words", "no-answers", "no-template"],
)
def test_an_answer_ends_as_the_template_ends_a_turn(with_template, template, end, text):
    tokenizer = with_template(template)
    ending = turn_end(tokenizer, ChatSettings())
    assert tokenizer.decode(ending.tokens) == end
    assert ending.text == text


def test_nothing_ends_an_answer_without_template_and_end_token(with_template):
    assert turn_end(with_template(None, eos_token=None), "auto").tokens == ()


@pytest.mark.parametrize(
    ("template", "note"),
    [
        (PLAIN + "<think>\n", "opens <think> itself: what is written before its end counts as reasoning"),
        (PLAIN + "{{ strftime_now('%Y') }}" + START, "inserts the date: all prompts say 26 Jul 2024, whatever the day"),
        (PLAIN, "leaves it to the model to write '[assistant]' before its answer"),
        (NO_SYSTEM + START, "has no system turn: the system prompt stands at the start of the user turn"),
    ],
)
def test_what_a_template_does_by_itself_is_said(with_template, template, note):
    assert template_notes(with_template(template), ChatSettings(system="Be brief.")) == [note]
    assert template_notes(with_template(template), ChatSettings("never", system="Be brief.")) == []


def test_the_start_token_stands_once_and_no_end_token_is_added(with_template):
    from tokenizers.processors import TemplateProcessing

    tokenizer = with_template(None)
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|start|> $A <|end|>", special_tokens=[("<|start|>", start), ("<|end|>", end)]
    )
    plain = tokenizer("Why?", add_special_tokens=False).input_ids
    for text in ("Why?", "<|start|>Why?"):
        assert encode(tokenizer, text) == [start, *plain]
    assert encode(tokenizer, "\n<|start|>Why?").count(start) == 1
    assert encode(tokenizer, "Why?<|end|>") == [start, *plain, end]
    tokenizer.chat_template = PLAIN + START
    note = "writes no start token: the tokenizer puts <|start|> before the prompt"
    assert template_notes(tokenizer, ChatSettings()) == [note]
