"""Pairs of questions that are worth comparing: those that share enough of their rarer words."""

import pytest

from tasks.overlap.candidates import find_candidates
from tasks.overlap.encoding import Vocabulary


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


def test_function_words_are_no_features():
    assert candidates(["is this it", "these"], ["is this it", "these"]) == []
    assert candidates(["gout urate"], ["gout urate", "the of"]) == [(0, 0)]


def test_unspaced_text_shares_pairs_of_neighbouring_characters():
    assert candidates(["肺炎治疗"], ["心脏手术"]) == []
    assert candidates(["甲乙丙"], ["乙甲丙"]) == []
    assert candidates(["甲乙丙"], ["丙乙", "甲乙丙"]) == [(0, 1)]
    assert candidates(["甲乙丙"], ["甲乙", "乙丙"]) == [(0, 0), (0, 1)]


def test_the_rows_that_share_most_come_first():
    rows = ["gout z1", *(f"gout urate n{n}" for n in range(30)), "gout urate"]
    assert candidates(["gout urate"], rows) == [(0, 31), *((0, n) for n in range(1, 30))]


@pytest.mark.parametrize(("words", "is_candidate"), [(36, True), (37, False)])
def test_a_candidate_has_at_most_three_times_the_words_and_30(words, is_candidate):
    row = " ".join(["gout", "urate", *(f"n{n}" for n in range(words - 2))])
    assert candidates(["gout urate"], [row]) == ([(0, 0)] if is_candidate else [])


@pytest.mark.parametrize(
    ("rows", "holders", "is_rare"), [(36, 30, True), (36, 31, False), (400, 40, True), (400, 41, False)]
)
def test_words_of_over_30_rows_and_a_tenth_are_ignored_if_there_are_two_rarer_ones(rows, holders, is_rare):
    common = [f"c1 c2 c3 c4 n{n}" for n in range(holders)]
    texts = ["a1 b1 n"] * 5 + common + ["z"] * (rows - 5 - holders)
    found = {row for _, row in candidates(["a1 b1 c1 c2 c3 c4"], texts)}
    assert bool(found & set(range(5, 5 + holders))) is is_rare
    # One rarer word alone does not replace the common ones.
    assert (0, 5) in candidates(["a1 c1 c2 c3 c4"], texts)
