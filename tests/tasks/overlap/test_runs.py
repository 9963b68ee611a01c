"""Runs of equal words that two texts share: their length, position and share, and stock phrases."""

import pytest

from tasks.overlap.encoding import UniqueTexts, Vocabulary
from tasks.overlap.runs import find_shared_runs, run_size


@pytest.mark.parametrize(
    ("length", "word_length", "size"),
    [(7, 1, 0), (8, 1, 8), (12, 1, 12), (13, 1, 13), (99, 1, 13), (11, 1.6, 0), (12, 1.6, 12), (40, 1.6, 20),
     (99, 4, 52)],
)  # fmt: skip
def test_runs_are_13_words_or_all_of_8_to_12(length, word_length, size):
    assert run_size(length, word_length) == size


def shared(items, rows, word_length=1.0):
    vocabulary = Vocabulary()
    rows, items = UniqueTexts(rows, vocabulary), UniqueTexts(items, vocabulary)
    return list(find_shared_runs(items, rows, dict.fromkeys(range(len(items)), word_length)))


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


def test_the_first_and_only_run_of_the_rows_is_found():
    assert shared([numbered(0, 13)], [numbered(0, 13)]) == [(0, 0, 1.0, 0, 13)]
    assert shared([numbered(0, 30)], [numbered(0, 30)]) == [(0, 0, 1.0, 0, 13)]


def test_a_fifth_of_the_text_is_enough():
    row = f"x {numbered(20, 33)} y"
    assert shared([numbered(0, 65)], [row]) == [(0, 0, 0.2, 20, 13)]
    assert shared([numbered(0, 66)], [row]) == []


def test_texts_shorter_than_a_run_share_nothing():
    assert shared(["a b"], ["a b", numbered(0, 20)]) == []
    assert shared([numbered(0, 20)], ["w0 w1"]) == []
    assert shared([numbered(0, 20)], []) == []


def test_ten_texts_make_no_stock_phrase():
    rows = [f"{numbered(0, 17)} r{n}" for n in range(10)]
    assert [run.row_text for run in shared([numbered(0, 20)], rows)] == list(range(10))


def test_what_is_shared_besides_a_stock_phrase_counts_alone():
    rows = [f"{numbered(10, 24)} r{n}" for n in range(11)] + [f"{numbered(0, 24)} x {numbered(30, 50)}"]
    assert shared([numbered(0, 100)], rows) == [(0, 11, 0.3, 0, 13)]  # ten words before the phrase and twenty after it


def test_the_longest_phrase_is_of_words_and_not_of_their_tokens():
    rows = [f"{numbered(0, 79)} r{n}" for n in range(11)]
    assert shared([numbered(0, 120)], rows, word_length=2.0) == []
    assert len(shared([numbered(0, 120)], rows)) == 11


@pytest.mark.parametrize(("texts", "is_reported"), [(1000, True), (1001, False)])
def test_what_stands_in_more_than_a_thousand_texts_is_a_phrase(texts, is_reported):
    leaked = numbered(0, 45)
    rows = [f"{leaked} r{n}" for n in range(texts - 1)]  # and the item itself
    assert len(shared([leaked], rows)) == (len(rows) if is_reported else 0)


@pytest.mark.parametrize("place", [(1 << 20) - 1, 1 << 20])
def test_runs_are_found_across_chunks_of_the_stream(place):
    filler = "x " * (place - 2)  # a number stands before and after each text
    assert shared([numbered(0, 13)], [filler, numbered(0, 13)]) == [(0, 1, 1.0, 0, 13)]


@pytest.mark.parametrize(
    ("length", "common", "is_reported"),
    [
        (20, 17, False),
        (20, 18, True),  # nine tenths: nearly all of the text
        (60, 39, False),
        (60, 40, True),  # forty words, and no less than half of the text
        (90, 45, True),
        (100, 45, False),
    ],
)
def test_a_phrase_of_eleven_texts_is_short_or_less_than_half_of_the_text_and_never_nearly_all(
    length, common, is_reported
):
    rows = [f"{numbered(0, common)} r{n}" for n in range(11)]
    runs = shared([numbered(0, length)], rows)
    assert [(run.row_text, run.share) for run in runs] == [(n, common / length) for n in range(11) if is_reported]


def test_a_phrase_of_a_thousand_texts_that_nearly_all_hold_the_whole_text_counts():
    rows = [f"{numbered(0, 45)} r{n}" for n in range(998)] + [f"x {numbered(20, 34)} y"]  # and the item itself
    assert shared([numbered(0, 45)], rows)[-1] == (0, 998, 14 / 45, 20, 13)


def test_a_match_starts_at_its_first_run_that_is_no_stock_phrase():
    """Runs 0 to 32 are stock; the first copy has no others, the second has them from 33."""
    rows = [f"{numbered(0, 39)} r{n}" for n in range(11)] + [f"{numbered(20, 45)} s{n}" for n in range(11)]
    found = shared([numbered(0, 70)], [*rows, f"{numbered(0, 45)} x", numbered(0, 71)])
    assert found == [(0, 22, 45 / 70, 0, 13), (0, 23, 1.0, 33, 13)]


def test_items_that_share_runs_with_each_other_match_no_row():
    assert shared([numbered(0, 40), numbered(0, 30)], [numbered(100, 120)]) == []
