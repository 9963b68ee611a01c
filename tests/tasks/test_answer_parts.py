"""Where an answer is: thinking that the prompt or the text opens, and answers that run on to another question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.answer_parts import after_opened_thinking, opened_thinking
from tasks.answers import GeneratedText, split_document_answer
from tasks.formats import FORMATS, get_format, split_answer
from tasks.labels import extract_label
from tasks.rendering import load_tokenizer, render_prompt

OPENED = "<|start|>user\nDoes rest help?<|end|>\n<|start|>assistant\n<think>\n"
NEXT = [
    "Question: Is coffee harmful?\nAnswer: yes",
    "Abstract: Ninety adults drank tea.\nQuestion: Is tea safe?\n\nAnswer: maybe",
    "MEDICAL QUESTION: Does X work?\n\nANSWER: Yes, it works.",
    "### Instruction:\nAnswer.\n\n### Input:\nDoes X work?\n\n### Response:\nIt does.\n\n### Answer\n\nYes.",
    "## Question 2:\n\nIs it safe?\n\nYes.",
    "**Question 2:** Is it safe?\n\n**Answer:** Yes.",
    "Q: Is it safe?\nA: yes. The answer is yes.",
    "User: And in children?\nAssistant: The answer is yes.",
    "Human: And in children?\n\nThe answer is yes.",
    "<|im_start|>user\nAnd in children?<|im_end|>\n<|im_start|>assistant\nYes.",
    "[INST] And in children? [/INST] Yes.",
    "<start_of_turn>user\nAnd in children?<end_of_turn>\n<start_of_turn>model\nYes.",
    "<\uff5cUser\uff5c>And in children?<\uff5cAssistant\uff5c>Yes.",
    "user\nAnd in children?\nassistant\nYes.",
]
RESPONSES = [
    "No.",
    "No, it does not.\n\nFew events were seen.",
    "Maybe",
    "It depends on the dose.",
    "The answer is no.",
]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("response", RESPONSES)
@pytest.mark.parametrize("invented", NEXT)
def test_another_question_changes_nothing(name, response, invented):
    for answer in (response, get_format(name).completion("Few events.", response)):
        alone = split_answer(answer, name)
        both = split_answer(f"{answer}\n\n{invented}", name, finish_reason="length")
        assert (both.reasoning, both.response, both.problems) == (alone.reasoning, alone.response, alone.problems)
        assert both.text == answer
        assert extract_label(f"{answer}\n\n{invented}", name) == extract_label(answer, name)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("chat", ["auto", "never"])
def test_another_prompt_with_its_answer_changes_nothing(name, chat, tiny_model):
    shape = get_format(name)
    question = "Abstract: Ninety adults were seen.\nQuestion: Is rest needed?\n\nAnswer with yes, no or maybe."
    prompt = render_prompt(load_tokenizer(str(tiny_model)), shape, question, chat)
    answer = shape.completion("Few events.", "No.")
    for invented in (prompt, prompt.replace("<|start|>", "").replace("<|end|>", "")):
        text = f"{answer}\n{invented}{shape.completion('Many events.', 'Yes.')}"
        assert split_answer(text, name)[:3] == split_answer(answer, name)[:3]
        assert extract_label(text, name) == "no"


@pytest.mark.parametrize("name", FORMATS)
def test_the_repeated_instruction_of_the_format_ends_an_answer_too(name):
    shape = get_format(name)
    answer = shape.completion("Few events.", "No.")
    if shape.instruction:
        assert split_answer(f"{answer}\n{shape.instruction}\n\nYes.", name)[:3] == split_answer(answer, name)[:3]
        assert extract_label(f"\n{shape.instruction}\n\nYes.", name) is None


@pytest.mark.parametrize("unfinished", ["<think>Few events", "## Thinking\n\nFew events", ""])
@pytest.mark.parametrize("name", FORMATS)
def test_an_answer_without_a_response_gets_none_from_another_questions_answer(name, unfinished):
    for invented in NEXT:
        invented_answer = get_format(name).completion("Many events.", "Yes.")
        assert extract_label(f"{unfinished}\n\n{invented}\n\n{invented_answer}", name) is None


@given(
    st.lists(st.sampled_from(["no", "yes", "maybe", "the", "question", "abstract", "answer is", ".", ",", "\n", "Q"])),
    st.sampled_from(NEXT),
    st.sampled_from(list(FORMATS)),
)
def test_another_question_changes_no_label_of_any_text(words, invented, name):
    text = " ".join(words)
    assert extract_label(f"{text}\n\n{invented}", name) == extract_label(text, name)


@pytest.mark.parametrize(
    "sentence",
    [
        "The question: is it safe? It is. No harm was found.",
        "This abstract: small, but clear.",
        "As to the abstract, question: none is open.",
        "Questions: many remain.",
        "Users: adults only.",
        "The user is an adult.",
        "Quality of life: better.",
    ],
)
def test_a_word_within_a_sentence_ends_no_answer(sentence):
    assert split_answer(f"Yes.\n{sentence}", "medical-question").response == f"Yes.\n{sentence}"


def test_a_question_restated_at_the_start_or_while_reasoning_ends_no_answer():
    restated = "Question: Is rest needed?\n\nAnswer: No."
    assert extract_label(restated, "medical-question") == "no"
    assert extract_label("Abstract: Ninety were seen.\n" + restated, "medical-question") == "no"
    assert extract_label(restated + "\n\nQuestion: Is tea safe?\nAnswer: yes", "medical-question") == "no"
    assert split_answer("**Question:** Is rest needed? It is not.", "medical-question").response.endswith("is not.")
    for name in ("thinking-headings", "think", "think-response"):
        shape = get_format(name)
        reasoning = "First the question.\n\nQuestion: Is rest needed?\n\nIt is not."
        assert split_answer(shape.completion(reasoning, "No."), name)[:2] == (reasoning, "No.")
    closed_only = "First the question.\n\nQuestion: Is rest needed?\n</think>\nNo."
    assert split_answer(closed_only, "think").response == "No."
    assert split_answer(f"{closed_only}\n<think>Again.</think>", "think").response == "No."
    assert split_answer(f"<think>Hm.<think>{closed_only}", "think").response == "No."


@pytest.mark.parametrize("name", ["thinking-headings", "think", "think-response", "alpaca"])
def test_an_answer_that_restates_its_whole_prompt_does_not_end_there(name):
    text = f"Question: Is rest needed?\n{get_format(name).instruction}\n\nAnswer: No."
    assert split_answer(text, name).text == text


def test_reasoning_that_is_closed_at_once_hides_no_question():
    text = "</think>No.\n\nQuestion: Is tea safe?\n\n</think>Yes."
    assert split_answer(text, "think").response == "No."


@pytest.mark.parametrize("name", FORMATS)
def test_thinking_that_the_prompt_opened_is_reasoning_in_every_format(name):
    shape = get_format(name)
    thinking = "So the answer is yes, unless"
    cut = split_answer(thinking, name, prompt_opened="<think>", finish_reason="length")
    assert (cut.reasoning, cut.response, cut.text) == (thinking, "", thinking)
    assert "missing: </think>" in cut.problems
    assert "truncated" in cut.problems
    assert extract_label(thinking, name, prompt_opened="<think>") is None
    closed = split_answer(f"{thinking}\n</think>\n\nNo.", name, prompt_opened="<think>", finish_reason="stop")
    assert (closed.reasoning, closed.response) == (thinking, "No.")
    assert bool(closed.problems) == (name != "think")
    whole = split_answer(f"\n</think>\n\n{shape.completion('Few.', 'No.')}", name, prompt_opened="<think>")
    if not shape.sections[0].closing:
        assert (whole.response, whole.problems) == ("No.", ())


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("opening", "closing"),
    [("<think>", "</think>"), ("<Thinking>", "</Thinking>"), ("<|begin_of_thought|>", "<|end_of_thought|>")],
)
def test_thinking_that_the_answer_opens_is_reasoning_in_every_format(name, opening, closing):
    assert split_answer(f"{opening}Is it no? Yes.", name)[:2] == ("Is it no? Yes.", "")
    assert split_answer(f"{opening}Is it no?{closing}\nYes.", name)[:2] == ("Is it no?", "Yes.")
    assert split_answer(f"Sure.{opening}Is it no?{closing}\nYes.", name).response == "Yes."
    assert split_answer(f"{opening}a{closing}{opening}b{closing}Yes.", name)[:2] == ("a\n\nb", "Yes.")
    assert split_answer(f"{opening}a{closing}Yes.{opening}b", name).response == "Yes."
    assert extract_label(f"Yes.{opening}no", name) is None


def test_a_heading_named_within_reasoning_does_not_end_it():
    reasoning = "It goes under ## Final Response below.\n\nQuestion: Is it?"
    text = f"## Thinking\n\n{reasoning}\n\n## Final Response\n\nNo."
    assert split_answer(text, "thinking-headings")[:2] == (reasoning, "No.")


def test_reasoning_after_the_response_may_restate_the_question_too():
    text = "## Final Response\n\nNo.\n\n## Thinking\n\nFew.\n\nQuestion: Is it?\n\n## Final Response\n\nYes."
    assert split_answer(text, "thinking-headings")[:2] == ("Few.\n\nQuestion: Is it?", "No.")


def test_thinking_before_a_formats_own_reasoning_is_part_of_it():
    text = "Hm.</think>## Thinking\n\nFew events.\n\n## Final Response\n\nNo."
    assert split_answer(text, "thinking-headings", prompt_opened="<think>")[:2] == ("Hm.\n\nFew events.", "No.")


def test_the_prompt_tells_which_thinking_it_opened():
    assert opened_thinking(OPENED) == "<think>"
    assert opened_thinking("<|Assistant|><thinking>") == "<thinking>"
    assert opened_thinking("Put your reasoning between <think> and </think>.") is None
    assert opened_thinking("<think>\n\n</think>\n\n") is None
    assert opened_thinking("") is None


def test_the_whole_prompt_may_be_given_for_the_thinking_that_it_opened():
    for opened in (OPENED, "<think>", "<think>\n"):
        assert split_answer("So yes.", "think", prompt_opened=opened)[:2] == ("So yes.", "")
    assert split_answer("So yes.", "think", prompt_opened="Use <think> and </think>.")[:2] == (None, "So yes.")


def test_a_completion_closes_the_thinking_that_its_prompt_left_open():
    completion = get_format("medical-question").completion("", "No.")
    assert after_opened_thinking("Why?", completion) == completion
    closed = after_opened_thinking(OPENED, completion)
    assert closed == "</think>\n\n No."
    parsed = split_answer(closed, "medical-question", prompt_opened=opened_thinking(OPENED))
    assert (parsed.response, parsed.problems) == ("No.", ())


def test_a_tasks_document_holds_what_its_answer_is_split_by():
    cut = GeneratedText("Yes", prompt_tokens=1, output_tokens=1, finish_reason="length", seconds=0.1)
    document = {"prompt": "Why?", "format": "medical-question"}
    assert split_document_answer(document, "Yes").problems == ()
    assert split_document_answer(document, cut).problems == ("truncated",)
    assert split_document_answer({**document, "prompt": OPENED}, cut)[:2] == ("Yes", "")
