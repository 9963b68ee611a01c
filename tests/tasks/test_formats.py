"""Answer formats: what is written is read back, and every breach is named."""

import time

import pytest

from reports.errors import UserError
from tasks.formats import FORMATS, get_format, gold_problems, split_answer, split_marked


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_format_writes_it_reads_back_as_strict(name):
    shape = get_format(name)
    parsed = split_answer(shape.completion("First this,\n\nthen that.", "It is this."), shape)
    assert parsed.problems == ()
    assert parsed.response == "It is this."
    assert parsed.reasoning == ("First this,\n\nthen that." if shape.has_reasoning else None)


@pytest.mark.parametrize(
    ("name", "text", "problems"),
    [
        ("thinking-headings", "It is this.", ["missing: ## Thinking", "missing: ## Final Response"]),
        ("thinking-headings", "## Thinking\n\nwhy", ["missing: ## Final Response"]),
        (
            "thinking-headings",
            "## Final Response\n\nwhat\n\n## Thinking\n\nwhy",
            ["order: ## Thinking, ## Final Response"],
        ),
        ("thinking-headings", "## Thinking\n\n## Final Response\n\nwhat", ["empty: reasoning"]),
        ("thinking-headings", "## Thinking\n\nwhy\n\n## Final Response\n", ["empty: response"]),
        ("thinking-headings", "## Thinking\n\nwhy\n\n## Final Response\n\n**.**", ["empty: response"]),
        (
            "thinking-headings",
            "## Thinking\n\nwhy\n\n## Thinking\n\nagain\n\n## Final Response\n\nwhat",
            ["duplicate: ## Thinking"],
        ),
        (
            "thinking-headings",
            "Hello. \n## Thinking\n\nwhy\n\n## Final Response\n\nwhat",
            ["extra: text outside the parts"],
        ),
        (
            "thinking-headings",
            "see ## Thinking\n\n## Final Response\n\nwhat",
            ["missing: ## Thinking", "extra: text outside the parts"],
        ),
        (
            "thinking-headings",
            "<think>hm</think>## Thinking\n\nwhy\n\n## Final Response\n\nwhat",
            ["extra: text outside the parts"],
        ),
        ("thinking-headings", "<think>\n</think>\n\n## Thinking\n\nwhy\n\n## Final Response\n\nwhat", []),
        ("think", "<think>why", ["missing: </think>"]),
        ("think", "</think>what<think>why", ["order: </think>", "extra: text outside the parts"]),
        ("think", "<think>why</think>", ["empty: response"]),
        ("think", "<think></think>what", ["empty: reasoning"]),
        ("think", "<think>why</think>.", ["empty: response"]),
        ("think", "<think>a</think>what<think>b</think>", ["duplicate: <think>", "duplicate: </think>"]),
        ("think", "<thinking>why</thinking>what", ["variant: <think>", "variant: </think>"]),
        ("think-response", "<think>a</think><response>b</response> c", ["extra: text outside the parts"]),
        ("think-response", "<think>a</think><response>b", ["missing: </response>"]),
        ("alpaca", "why", ["missing: ### Answer"]),
        ("alpaca", "### Answer\n\nwhat", ["empty: reasoning"]),
        ("medical-question", "  ", ["empty: response"]),
        ("medical-question", " .", ["empty: response"]),
        ("medical-question", "5", []),
        ("medical-question", "是", []),
    ],
)
def test_every_breach_is_named(name, text, problems):
    assert list(split_answer(text, name).problems) == problems


@pytest.mark.parametrize(
    ("heading", "problems"),
    [
        ("## Final Response", []),
        ("## Final Response  ", []),
        ("## Final Response:", []),
        ("## Final Response : ", []),
        ("# Final Response", ["variant: ## Final Response"]),
        ("### Final response:", ["variant: ## Final Response"]),
        ("##Final Response", ["variant: ## Final Response"]),
        ("**Final Response**", ["variant: ## Final Response"]),
        ("## **Final Response:**", ["variant: ## Final Response"]),
        ("Final Response:", ["variant: ## Final Response"]),
        ("FINAL RESPONSE\uff1a", ["variant: ## Final Response"]),
        ("  __Final Response__ :", ["variant: ## Final Response"]),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_heading_may_have_a_colon_and_other_spellings_are_read_but_not_compliant(heading, problems, line_end):
    text = f"## Thinking\n\nFirst this.\n\n{heading}\n\nIt is this.".replace("\n", line_end)
    parsed = split_answer(text, "thinking-headings")
    assert (parsed.reasoning, parsed.response) == ("First this.", "It is this.")
    assert list(parsed.problems) == problems


def test_a_response_is_read_where_the_reasonings_heading_is_missing():
    assert split_answer("Few events.\n\n## Final Response\n\nNo.", "thinking-headings")[:2] == (None, "No.")


def test_text_on_the_headings_own_line_is_read():
    parsed = split_answer("**Thinking:** few events\n\n**Final Response:** No.", "thinking-headings")
    assert parsed[:2] == ("few events", "No.")
    assert parsed.problems == ("variant: ## Thinking", "variant: ## Final Response")


@pytest.mark.parametrize("line", ["The final response is no.", "Final Response", "I give the ## Final Response: now"])
def test_a_sentence_with_a_headings_words_is_no_heading(line):
    assert split_answer(f"## Thinking\n\nwhy\n\n{line}", "thinking-headings").response == ""


def test_the_spelling_of_the_format_counts_where_both_occur():
    parsed = split_answer("## Thinking\n\nwhy\n\n## Final Response\n\n**Final Response:** No.", "thinking-headings")
    assert parsed.response == "**Final Response:** No."
    assert parsed.problems == ()


def test_of_repeated_parts_the_first_counts():
    text = "## Thinking\n\na\n\n## Final Response\n\nNo.\n\n## Thinking\n\nb\n\n## Final Response\n\nYes."
    parsed = split_answer(text, "thinking-headings")
    assert parsed.response == "No."
    assert parsed.problems == ("duplicate: ## Thinking", "duplicate: ## Final Response")
    assert split_answer("<think>a</think>No.<think>b</think>Yes.", "think").response == "No."
    twice = split_answer("## Thinking\n\na\n\n## Thinking\n\nb\n\n## Final Response\n\nNo.", "thinking-headings")
    assert twice.reasoning == "a\n\n## Thinking\n\nb"


def test_an_answer_cut_off_is_not_compliant():
    text = get_format("think").completion("why", "what")
    assert split_answer(text, "think", finish_reason="length").problems == ("truncated",)
    assert split_answer(text, "think", finish_reason="stop").problems == ()


def test_the_whole_answer_stands_for_a_response_without_its_marker():
    assert split_answer(" It is this. ", "thinking-headings")[:2] == (None, "It is this.")
    assert split_answer("It is this.", "alpaca")[:2] == (None, "It is this.")
    assert split_answer("<think>why</think> It is this.", "think-response")[:2] == ("why", "It is this.")


@pytest.mark.parametrize("name", FORMATS)
def test_parsing_is_fast_on_long_and_hostile_text(name):
    started = time.perf_counter()
    for piece in ("<think>", "</think>", "## Thinking\n", "\n", " \t", "Question:\n", "> ", "**Final Response ", "Q 1"):
        for start in ("", "## Thinking", "## Final Response", "Question", "<think>a"):
            split_answer(start + piece * (200_000 // len(piece)) + "x", name)
    assert time.perf_counter() - started < 10


def test_an_unknown_format_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match="did you mean think-response"):
        get_format("think-respons")
    with pytest.raises(UserError, match="did you mean alpaca"):
        split_answer("No.", "alpacca")


@pytest.mark.parametrize(
    ("name", "reasoning", "response", "problems"),
    [
        ("think", "Few events.", "No.", ()),
        (
            "think",
            "Few events.",
            "<think>Few.</think>No.",
            ("duplicate: <think>", "duplicate: </think>", "empty: response"),
        ),
        ("thinking-headings", "Few.", "No.\n\n## Final Response\n\nYes.", ("duplicate: ## Final Response",)),
        ("plain", "", "No.\nQuestion: And ice?", ("cut: a line that starts another question",)),
        ("plain", "", "<think>Few events.</think>No.", ("extra: text outside the parts",)),
        ("plain", "", "...", ("empty: response",)),
        ("medical-question", "", "No.\r\n\r\nIce helps.", ()),
    ],
)
def test_gold_answers_are_read_back_by_the_parser_that_scores(name, reasoning, response, problems):
    assert gold_problems(get_format(name), reasoning, response) == problems


@pytest.mark.parametrize(
    "text",
    [
        "No.",
        "<think>No.",
        "</think>No.",
        "Well. <think>Few.</think>No.",
        "<think>Few.</think>No.<think>Few.</think>Yes.",
        "## Thinking\n\nFew.\n\nNo.",
        "<think>Few.</think>No.\nQuestion: And ice?",
    ],
)
def test_texts_with_some_markers_only_are_left_as_they_are(text):
    assert split_marked(text) == ("", text)
