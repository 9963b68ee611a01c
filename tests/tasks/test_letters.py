"""The letter of a generated answer: statements, letters and texts that count, and those that do not."""

import time

import pytest

from tasks.letters import letter_of

OPTIONS = ["Aspirin", "Heparin", "Warfarin sodium", "A. fumigatus", "None of the above"]


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("Answer: B", "B"),
        ("answer: b", "B"),
        ("**B**", "B"),
        ("(B)", "B"),
        ("B. Heparin", "B"),
        ("The answer is (B)", "B"),
        ("The correct answer is **B. Heparin**", "B"),
        ("Therefore, the answer is option B", "B"),
        ("The answer is B because platelets stick.", "B"),
        (r"So $\boxed{\text{C}}$.", "C"),
        ("<answer>D</answer>", "D"),
        ("Final answer: **(C) Warfarin sodium**", "C"),
        ("Answer:\n\nB", "B"),
        ("The best drug is warfarin  sodium.", "C"),
        ("The answer is heparin.", "B"),
        ("The answer is A. fumigatus", "D"),
        ("Answer: None of the above", "E"),
        ("Antwort: B", "B"),
        ("Die richtige Antwort ist B.", "B"),
        ("La respuesta correcta es C.", "C"),
        ("La réponse est D.", "D"),
        ("Ответ: B", "B"),
        ("答案是B。", "B"),
        ("答案\uff1a\uff23", "C"),
        ("正解はD", "D"),
        ("정답은 C입니다", "C"),
    ],
)
def test_an_answer_is_found_however_it_is_written(response, letter):
    assert letter_of(response, OPTIONS) == letter


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("Answer: A\nWait, no.\nAnswer: C", "C"),
        ("If the answer is A, it fails. The correct answer is D", "D"),
        ("The answer is D. If the answer is A, it fails.", "D"),
        ("The correct answer is B, not A.", "B"),
        ("Option (A) is incorrect. Option B is right.", "B"),
        ("A. Aspirin\nB. Heparin\nC. Warfarin sodium\n\nAnswer: C", "C"),
        ("Answer: B\n\nAspirin does not reach the clot, and (C) is slow.", "B"),
        ("Aspirin is wrong; heparin it is", "B"),
    ],
)
def test_the_last_statement_counts(response, letter):
    assert letter_of(response, OPTIONS) == letter


@pytest.mark.parametrize(
    "response",
    [
        "",
        "A patient with this history needs care.",
        "I think so.",
        "The answer is a combination.",
        "The answer is not B.",
        "The answer cannot be determined.",
        "Answer: A and C",
        "Answer: A or B",
        "A, C",
        "Answer: Z",
        "Answer: F",  # there are five options
        "The answer is E. coli",
        "The patient has an A blood group",
        "Vitamin A is given.",
        "A. Aspirin\nB. Heparin\nC. Warfarin sodium\n",  # the options again
    ],
)
def test_articles_pronouns_and_several_letters_are_no_answer(response):
    assert letter_of(response, OPTIONS) is None


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("Answer: > 5 mg", "A"),
        ("The answer is <5 mg.", "B"),
        ("Answer: 5 mg", "C"),
        ("Use 5\nmg", "C"),
        ("Answer: $", None),
    ],
)
def test_signs_in_options_count(response, letter):
    assert letter_of(response, ["> 5 mg", "<5 mg", "5 mg", "$"]) == letter


@pytest.mark.parametrize("text", ["answer ", "(A ", "A. Aspirin\n", "the answer is not ", "option ", "\\boxed{", "["])
def test_long_responses_take_little_time(text):
    start = time.perf_counter()
    letter_of(text * 20_000, OPTIONS)
    assert time.perf_counter() - start < 2
