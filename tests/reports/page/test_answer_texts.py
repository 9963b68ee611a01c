"""The question out of a prompt with chat markup, and where answers differ."""

import pytest

from reports.page.answer_texts import differing_parts, question_of

CHAT = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nWhy is it blue?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("prompt", "question"),
    [
        (CHAT, "Why is it blue?"),
        (CHAT.replace("Why", "Abstract: x\nQuestion: Why").replace("?", "?\nAnswer:"), "Why is it blue?"),
        ("<s>[INST] Why is it blue? [/INST]", "Why is it blue?"),
        (
            "<start_of_turn>user\nFirst?<end_of_turn>\n<start_of_turn>model\nYes.<end_of_turn>\n<start_of_turn>user\nLast?<end_of_turn>",
            "Last?",
        ),
        ("Question: One?\nAnswer: yes\n\nQuestion: Two?\nAnswer:", "Two?"),
        ("No markup at all", "No markup at all"),
        ("user\n", "user"),
        ("", ""),
    ],
)
def test_the_question_is_the_last_turn_of_the_user_without_markup(prompt, question):
    assert question_of(prompt) == question


def marked(text, other):
    parts = differing_parts(text, other)
    assert "".join(part.text for part in parts) == text
    return [part.text for part in parts if part.differs]


def test_words_that_the_other_answer_lacks_are_marked():
    assert marked("Give two grams of it daily.", "Give one gram of it daily.") == ["two grams "]
    assert marked("Give it daily", "Give it daily, with food") == ["daily"]
    assert marked("the same", "the same") == []
    assert marked("  \n leading blanks stay", "leading blanks stay") == ["  \n "]


def test_answers_without_a_counterpart_or_with_little_in_common_are_not_marked():
    assert marked("anything", None) == []
    assert marked("one two three four five", "six seven eight nine one") == []
    assert marked("x " * 5000 + "y", "x " * 5000 + "z") == []
    assert marked("", "something") == []


def test_characters_are_compared_where_no_blanks_part_words():
    assert marked("每日两次服用", "每日三次服用") == ["两"]
