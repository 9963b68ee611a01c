"""Metrics of one answer in many scripts: ROUGE-L against rouge_score, repetition, copies of the prompt, lengths."""

# ruff: noqa: RUF001 - letters that look like others are the point

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from tasks.text_metrics import copies_prompt, count_words, distinct_trigrams, rouge_l
from tasks.words import words

ASCII = st.text(st.characters(max_codepoint=127))
WORDY = st.text(st.sampled_from("aB9 ,_-'éÉ\u0301ß血清เกแมกมी"), max_size=30)
SENTENCES = {
    "English": "Start low-dose aspirin (81 mg) and re-check in 2 weeks.",
    "accented Latin": "Élévation modérée; größere Dosis für Señor Müller, 3,5 µg.",
    "Arabic": "الْمَرِيضُ يُعَانِي مِنْ ارتفاع ضغط الدم.",
    "Russian": "Назначить железо внутрь и повторить анализ.",
    "Chinese": "血清铁蛋白升高提示铁过载，建议检查。",
    "Thai": "ผู้ป่วยควรได้รับยาปฏิชีวนะ",
    "Japanese": "鉄欠乏性貧血にはフェリチンが低い。",
    "Hindi": "रोगी को आयरन की कमी है।",
}


@pytest.mark.parametrize("text", SENTENCES.values(), ids=SENTENCES)
def test_identical_text_scores_1_in_every_language(text):
    assert rouge_l(text, text) == 1.0
    assert rouge_l(f"*{text}*\n", text) == 1.0


@pytest.mark.parametrize("one", SENTENCES)
@pytest.mark.parametrize("other", SENTENCES)
def test_sentences_of_two_languages_share_nothing(one, other):
    if one != other and {one, other} != {"Chinese", "Japanese"}:
        assert rouge_l(SENTENCES[one], SENTENCES[other]) == 0.0


@pytest.mark.parametrize(
    ("prediction", "reference", "wanted"),
    [
        ("禁用 ACEI 10 mg", "首选 ACEI 10 mg", 3 / 5),
        ("Müller größer", "Möller grässer", 0.0),
        ("сначала NSAID", "никогда NSAID", 1 / 2),
        ("the cat", "the cat sat", 2 * 1 * (2 / 3) / (1 + 2 / 3)),
        ("sat the cat", "the cat sat", 2 / 3),
        ("3.5 mg", "5.3 mg", 2 / 3),
        ("", "", 0.0),
        ("?!", "?!", 0.0),
        ("👍", "👍", 0.0),
        ("", "the cat", 0.0),
    ],
)
def test_rouge_l_of_short_texts(prediction, reference, wanted):
    assert rouge_l(prediction, reference) == pytest.approx(wanted)


@given(ASCII, ASCII)
def test_rouge_l_of_ascii_text_is_that_of_rouge_score(prediction, reference):
    plain = RougeScorer(["rougeL"]).score(reference, prediction)["rougeL"].fmeasure
    assert rouge_l(prediction, reference) == plain


@given(WORDY, WORDY)
def test_rouge_l_is_0_exactly_where_no_word_is_shared(prediction, reference):
    assert (rouge_l(prediction, reference) == 0) == (not set(words(prediction)) & set(words(reference)))
    assert 0 <= rouge_l(prediction, reference) <= 1
    assert rouge_l(prediction, reference) == pytest.approx(rouge_l(reference, prediction))
    assert rouge_l(prediction, prediction) == (1.0 if words(prediction) else 0.0)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        *((text, 1.0) for text in SENTENCES.values()),
        ("Yes.", 1.0),
        ("好", 1.0),
        ("x" * 50, 1.0),
        ("", 0.0),
        (" \n", 0.0),
        ("?!?!…", 0.0),
        ("!" * 500, 0.0),
        ("no no", 0.0),
        ("a a a", 0.0),
        ("a a a a", 0.0),
        ("好" * 9, 0.0),
        ("दवा " * 9, 0.0),
        ("x" * 51, 0.0),
        ("no, no", 1 / 2),
        ("a b a", 1 / 2),
        ("a b a b a", 1 / 2),
        ("the cat " * 50, 1 / 97),
        ("ha" * 26, 1 / 49),
        ("It is so " + "!" * 100, 3 / 100),
        ("a b c d a b c", 3 / 4),
    ],
)
def test_what_repeats_itself_has_few_distinct_trigrams_and_the_worst_loop_has_none(text, wanted):
    assert distinct_trigrams(text) == pytest.approx(wanted)


@given(WORDY)
def test_distinct_trigrams_are_a_share(text):
    assert 0 <= distinct_trigrams(text) <= 1


PROMPT = "Which drug is best for gout: low-dose aspirin, colchicine or allopurinol? Answer with your reasoning."


@pytest.mark.parametrize(
    ("text", "prompt", "wanted"),
    [
        (PROMPT, PROMPT, True),
        ("WHICH drug is best for gout? Low-dose aspirin", PROMPT, True),
        ("which drug is best for gout low dose", PROMPT, True),
        ("which drug is best for gout low dose one two", PROMPT, False),  # one run of three
        ("which drug is best for gout low dose one", PROMPT, True),  # one run of two
        (" ".join(PROMPT.split()[:11]) + " and now for six new words", PROMPT, False),  # 5 runs of 11
        ("Low-dose aspirin.", PROMPT, False),  # an answer that the question names
        ("which drug is best for gout, low", PROMPT, False),
        ("Colchicine, since it works within a day and is well tolerated.", PROMPT, False),
        ("", PROMPT, False),
        ("Where did the cat sit?", "Where did the cat sit?", True),
        ("Where did the cat", "Where did the cat sit?", False),
        ("The mat.", "", False),
        ("", "", False),
        ("血清铁蛋白升高提示什么？", "血清铁蛋白升高提示什么？请回答。", True),
        ("提示铁过载，建议检查转铁蛋白。", "血清铁蛋白升高提示什么？请回答。", False),
    ],
)
def test_copies_of_the_prompt(text, prompt, wanted):
    assert copies_prompt(text, prompt) is wanted


def test_lengths_count_words_of_every_script():
    counts = {name: count_words(text) for name, text in SENTENCES.items()}
    assert counts["English"] == 12
    assert counts["Arabic"] == 6
    assert counts["Russian"] == 6
    assert counts["Chinese"] == 16
    assert count_words(None) == count_words("") == count_words("...") == 0
