"""Pieces by which questions are compared: stems, options, sentences, words without ages and frames."""

# ruff: noqa: RUF001 - full-width punctuation and Cyrillic letters are meant

import pytest

from tasks.overlap.tokens import compared_words, comparison_signs, folded, sentences, split_options, word_length
from tasks.words import words


@pytest.mark.parametrize(
    ("forms", "stem"),
    [
        ("cause causes caused causing", "caus"),
        ("study studies studied", "study"),
        ("stop stopped stopping", "stop"),
        ("diagnosis diagnoses", "diagnos"),
        ("metastasis metastases", "metastas"),
        ("illness", "illness"),
        ("passing passed pass", "pass"),
        ("drug drugs", "drug"),
        ("mass", "mass"),
        ("virus", "virus"),
        ("pelvis", "pelvis"),
        ("used", "used"),
        ("tumour tumours tumors", "tumor"),
        ("oedema edema", "edema"),
        ("metastasise metastasize metastasising", "metastasiz"),
        ("b12", "b12"),
        ("größe", "groß"),
        ("больного больному больным", "больн"),
        ("العلاج علاج والعلاج", "علاج"),
        ("هِيَ هي", "هي"),
        ("환자는 환자에게 환자", "환자"),
        ("肺", "肺"),
    ],
)
def test_forms_of_a_word_have_one_stem(forms, stem):
    assert {folded(form) for form in forms.split()} == {stem}


@pytest.mark.parametrize(
    ("text", "stem", "options"),
    [
        ("Which? A. one B. two", "Which?", ("one", "two")),
        ("Which? (a) one (b) two (c) three", "Which?", ("one", "two", "three")),
        ("Which?\n1) one\n2) two", "Which?", ("one", "two")),
        ("Which?\n- one\n- two", "Which?", ("one", "two")),
        ("Which? Options: one, two, or three", "Which?", ("one", "two", "three")),
        ("选哪个？选项：一、二", "选哪个？", ("一", "二")),
        ("Is A. better than C. in this?", "Is A. better than C. in this?", ()),
        ("Which?\n- one", "Which?\n- one", ()),
        ("Which? Options:\n- one, small\n- two", "Which? Options:", ("one, small", "two")),
        ("A. one B. two", "A. one B. two", ()),
    ],
)  # fmt: skip
def test_options_are_told_from_the_stem(text, stem, options):
    assert split_options(text) == (stem, options)


def test_comparison_signs_of_any_width():
    assert comparison_signs("TSH < 5, T4 >= 2") == ["<", ">="]
    assert comparison_signs("TSH \uff1c 5 ≥ 2") == ["<", "≥"]


def test_sentences_end_in_any_script():
    assert sentences("One. Two? 三。四！\nخمسة؟ ... ") == ["One.", "Two?", "三。", "四！", "خمسة؟"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("A 60-year-old man", "a man"),
        ("aged 60 years, he", "he"),
        ("women older than 60 years old", "women older than 60 years old"),
        ("a two month old boy", "a boy"),
        ("六十五岁男性", "男 性"),
        ("六十岁以上", "六 十 岁 上"),
        ("больной 65 лет", "больной"),
        ("patients' and patient's don't", "patients and patient do not"),
        ("アスピリンと水", "アスピリン 水"),
    ],
)
def test_a_patients_age_and_frames_are_left_out(text, wanted):
    assert " ".join(compared_words(text)) == wanted


@pytest.mark.parametrize(
    ("text", "length"),
    [("", 1), ("two words", 1), ("血钾偏低", 1.6), ("めまい", 2.5), ("ยา", 4), ("血钾 low now", 4 / 3.25)],
)
def test_a_word_of_unspaced_text_is_several_tokens(text, length):
    assert word_length(words(text)) == pytest.approx(length)
