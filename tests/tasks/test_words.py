"""The definition of a word, script by script, and against rouge_score's on ASCII text."""

# ruff: noqa: RUF001 - letters that look like others are the point

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.tokenizers import DefaultTokenizer

from tasks.words import words, words_and_symbols

ASCII = st.text(st.characters(max_codepoint=127))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Give 3.5 mg, or 10mg; don't stop the beta-blocker.", "give 3 5 mg or 10mg don t stop the beta blocker"),
        ("snake_case_name __init__ p<.05", "snake case name init p 05"),
        ("Müller verschreibt GRÖSSERE Dosen, größere!", "müller verschreibt grössere dosen grössere"),
        ("Повышен ФЕРРИТИН.", "повышен ферритин"),
        ("Οδός ΟΔΌΣ", "οδόσ οδόσ"),
        ("الْعَرَبِيَّةُ لُغَةٌ، نعم؟", "الْعَرَبِيَّةُ لُغَةٌ نعم"),
        ("कृपया दवा लें।", "कृपया दवा लें"),
        ("혈청 페리틴", "혈청 페리틴"),
        ("血清铁蛋白升高。", "血 清 铁 蛋 白 升 高"),
        ("カルテ、くすり、二〇〇年", "カ ル テ く す り 二 〇 〇 年"),
        ("ストーーー", "ス ト ー ー ー"),
        ("コーヒーと薬を", "コ ー ヒ ー と 薬 を"),
        ("ใช้ยา ๑๐ มก.", "ใ ช้ ย า ๑๐ ม ก"),
        ("ໃຊ້ຢາ", "ໃ ຊ້ ຢ າ"),
        ("ថ្នាំ", "ថ្ នាំ"),
        ("ဆေးဝါး", "ဆေး ဝါး"),
        ("首选ACEI治疗10mg", "首 选 acei 治 疗 10mg"),
        ("Ｆｕｌｌ ㎎ ½ m² \u01f0", "full mg 1 2 m2 \u01f0"),
    ],
)
def test_words_of_many_scripts(text, wanted):
    assert words(text) == wanted.split()


@pytest.mark.parametrize("text", ["", " \n\t", "?!... -- _", "👍🏽 …", "\u0301\u0301", "\ud800"])
def test_text_without_letters_and_digits_has_no_words(text):
    assert words(text) == []


def test_how_a_letter_is_encoded_changes_nothing():
    text = "Élévation modérée, größer, कि, が"
    assert words(unicodedata.normalize("NFD", text)) == words(text)
    assert "élévation" in words(text)


def test_invisible_characters_do_not_divide_words_but_a_zero_width_space_does():
    assert words("کتاب\u200cها 'Hyper\u00adtonie\u200f") == ["کتابها", "hypertonie"]
    assert words("葛\U000e0100 ™\ufe0f") == ["葛", "tm"]
    assert words("Größe\u200bGewicht") == ["grösse", "gewicht"]


def test_digits_keep_together_next_to_unspaced_letters():
    assert words("第2024年25%") == ["第", "2024", "年", "25"]


@given(ASCII)
def test_words_of_ascii_text_are_those_of_rouge_score(text):
    assert words(text) == DefaultTokenizer(use_stemmer=False).tokenize(text)


@given(st.text())
def test_words_of_words_are_the_same_words(text):
    assert words(" ".join(words(text))) == words(text)


@given(st.text(), st.text())
def test_words_of_two_texts_are_the_words_of_both(one, other):
    assert words(f"{one}\n{other}") == words(one) + words(other)


@pytest.mark.parametrize("piece", ["a", "é ", "\u0301\u0327", "\u0301\u200d\u0327", "के", "血", "ﷺ", "👍", "\u0e33"])
def test_time_is_linear_in_the_length(piece):
    text = "ä" + piece * (100_000 // len(piece))
    started = time.process_time()
    words(text)
    assert time.process_time() - started < 1


def test_words_and_symbols_are_all_but_white_space():
    assert words_and_symbols("No!! (3.5 mg)") == ["no", "!", "!", "(", "3", ".", "5", "mg", ")"]
    assert words_and_symbols("血钾?") == ["血", "钾", "?"]


def test_a_letter_keeps_at_most_30_marks():
    assert words("b" + "\u0301" * 40) == words("b" + "\u0301" * 30) == ["b" + "\u0301" * 30]
