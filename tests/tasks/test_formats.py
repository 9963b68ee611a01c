"""Answer formats: what is written is read back, and every breach is named."""

import time

import pytest

from reports.errors import UserError
from tasks.formats import FORMATS, get_format


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_format_writes_it_reads_back_as_strict(name):
    shape = get_format(name)
    parsed = shape.parse(shape.completion("First this,\n\nthen that.", "It is this."))
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
        ("think", "<think>why", ["missing: </think>"]),
        ("think", "</think>what<think>why", ["order: </think>", "extra: text outside the parts"]),
        ("think", "<think>why</think>", ["empty: response"]),
        ("think-response", "<think>a</think><response>b</response> c", ["extra: text outside the parts"]),
        ("alpaca", "why", ["missing: ### Answer"]),
        ("medical-question", "  ", ["empty: response"]),
    ],
)
def test_every_breach_is_named(name, text, problems):
    assert list(get_format(name).parse(text).problems) == problems


def test_an_answer_cut_off_is_not_compliant():
    text = get_format("think").completion("why", "what")
    assert get_format("think").parse(text, truncated=True).problems == ("truncated",)


def test_the_whole_answer_stands_for_a_response_without_its_marker():
    assert get_format("thinking-headings").parse(" It is this. ").response == "It is this."


@pytest.mark.parametrize("name", FORMATS)
def test_parsing_is_fast_on_long_and_hostile_text(name):
    started = time.perf_counter()
    for text in ("<think>" * 20_000, "## Thinking\n" * 20_000, "\n" * 200_000, " \t" * 100_000):
        get_format(name).parse(text)
    assert time.perf_counter() - started < 2


def test_an_unknown_format_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match="did you mean think-response"):
        get_format("think-respons")
