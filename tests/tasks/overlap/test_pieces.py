"""The pieces of the leakage search: words without inflection, options, lengths of runs, candidates."""

# ruff: noqa: RUF001 - full-width punctuation and Cyrillic letters are meant

import pytest

from tasks.overlap.candidates import find_candidates
from tasks.overlap.encoding import UniqueTexts, Vocabulary
from tasks.overlap.runs import find_shared_runs, run_size
from tasks.overlap.tokens import compared_words, folded, sentences, split_options, word_length
from tasks.words import words


@pytest.mark.parametrize(
    ("forms", "stem"),
    [
        ("cause causes caused causing", "caus"),
        ("study studies studied", "study"),
        ("stop stopped stopping", "stop"),
        ("diagnosis diagnoses", "diagno"),
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
    assert {folded(form) for form in forms.split()} <= {stem, *([stem + "s"] if stem == "diagno" else [])}


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
        ("A. one B. two", "A. one B. two", ()),
    ],
)  # fmt: skip
def test_options_are_told_from_the_stem(text, stem, options):
    assert split_options(text) == (stem, options)


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


@pytest.mark.parametrize(
    ("length", "word_length", "size"),
    [(7, 1, 0), (8, 1, 8), (12, 1, 12), (13, 1, 13), (99, 1, 13), (11, 1.6, 0), (12, 1.6, 12), (40, 1.6, 20),
     (99, 4, 52)],
)  # fmt: skip
def test_runs_are_13_words_or_all_of_8_to_12(length, word_length, size):
    assert run_size(length, word_length) == size


def shared(items, rows):
    vocabulary = Vocabulary()
    rows, items = UniqueTexts(rows, vocabulary), UniqueTexts(items, vocabulary)
    return list(find_shared_runs(items, rows, dict.fromkeys(range(len(items)), 1.0)))


def numbered(start, stop):
    return " ".join(f"w{n}" for n in range(start, stop))


def test_shared_runs_have_their_place_and_share():
    (run,) = shared([numbered(0, 50)], [numbered(900, 910), numbered(10, 30), numbered(40, 52)])
    assert run == (0, 1, 0.4, 10, 13)
    both, second = shared(
        [numbered(0, 40), numbered(500, 520)], [f"{numbered(0, 14)} x {numbered(14, 28)}", numbered(500, 513)]
    )
    assert both == (0, 0, 28 / 40, 0, 13)
    assert second == (1, 1, 13 / 20, 0, 13)


@pytest.mark.parametrize(("texts", "is_reported"), [(1000, True), (1001, False)])
def test_what_stands_in_more_than_a_thousand_texts_is_a_phrase(texts, is_reported):
    leaked = numbered(0, 45)
    rows = [f"{leaked} r{n}" for n in range(texts - 1)]  # and the item itself
    assert len(shared([leaked], rows)) == (len(rows) if is_reported else 0)


def test_runs_are_found_across_chunks_of_the_stream():
    filler = "x " * ((1 << 20) - 20)
    assert [run.row_text for run in shared([numbered(0, 30)], [filler, numbered(0, 30), numbered(5, 30)])] == [1, 2]


def test_texts_are_numbered_once_by_words_and_signs():
    texts = UniqueTexts(["a b", "A, b!", "c", "", "a < b", "a > b"], Vocabulary())
    assert texts.number_of.tolist() == [0, 0, 1, 2, 3, 4]
    assert (len(texts), texts.first) == (5, [0, 2, 3, 4, 5])
    assert [texts.words_of(n).tolist() for n in range(5)] == [[1, 2], [3], [], [1, 2], [1, 2]]
    assert texts.stream.tolist() == [0, 1, 2, 0, 3, 0, 0, 1, 2, 0, 1, 2, 0]


def candidates(items, rows):
    vocabulary = Vocabulary()
    encoded = [[vocabulary.encode(text) for text in texts] for texts in (rows, items)]
    return list(find_candidates(encoded[1], encoded[0], vocabulary))


def test_candidates_share_rare_words_whatever_their_form():
    rows = ["Which nerves are injured?", "What is gout?", "Was the nerve injured there?", "肺炎如何治疗"]
    assert candidates(["the nerve injured", "nothing here", "肺炎治疗"], rows) == [(0, 0), (0, 2), (2, 3)]
    assert candidates([], rows) == candidates(["a"], []) == candidates(["the of"], ["the of"]) == []


def test_the_thirty_nearest_rows_are_candidates():
    rows = [f"gout urate {'x ' if n < 35 else ''}n{n}" for n in range(40)]
    found = candidates(["gout urate"], rows)
    assert len(found) == 30
    assert [row for _, row in found[:5]] == [35, 36, 37, 38, 39]


def test_candidates_share_two_fifths_by_weight():
    rows = ["a1 b1 c1", "a1 z1", "z2"]
    assert candidates(["a1 b1 c1"], rows) == [(0, 0)]
    assert candidates(["a1 b1"], ["a1", "b1"]) == [(0, 0), (0, 1)]
    assert candidates(["a1 b1 c1"], ["a1", "b1", "c1"]) == []
