"""Which texts can be searched, and how excerpts of them are cut."""

import pytest

from tasks.overlap import excerpt, is_split


@pytest.mark.parametrize(
    ("first", "wanted"),
    [(0, "aa bb cc dd ..."), (4, "... dd ee ff gg ..."), (9, "... gg hh ii jj"), (99, "... gg hh ii jj")],
)
def test_an_excerpt_starts_before_the_word_of_interest(first, wanted):
    assert excerpt("aa bb cc dd ee ff gg hh ii jj", first, 1, most=11) == wanted


def test_a_short_text_is_its_own_excerpt():
    assert excerpt(" one\n two ", 1, 1) == "one two"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Is it?", True),
        ("血钾", True),
        ("", False),
        ("?!", False),
        ("\U0001f642", False),
        ("a" * 40, True),
        ("a" * 41, False),
        (f"{'a' * 41} {'b' * 40} c", True),
        (f"{'a' * 41} {'b' * 40}", False),
        ("\ua9b1\ua9a9\ua9b4\ua995\ua9ab", False),  # Javanese
        ("\u0e22\u0e32\u0e2d\u0e30\u0e44\u0e23", True),  # Thai
    ],
)
def test_text_can_be_searched_where_it_has_words(text, wanted):
    assert is_split(text) == wanted


@pytest.mark.parametrize(
    ("length", "wanted"),
    [
        (6, "... a bbbbbb cc dddddddddd ..."),
        (7, "... bbbbbbb cc ddddddddddd ..."),
        (12, "... bbbbbbbbbbbb cc dddddd ..."),
        (13, "... bbbbbbbb cc dddddddddd ..."),
    ],
)
def test_an_excerpt_starts_with_a_word_unless_a_quarter_would_go_to_it(length, wanted):
    text = f"{'a' * 30} {'b' * length} cc {'d' * 40}"
    assert excerpt(text, 2, 1, most=22) == wanted


@pytest.mark.parametrize(
    ("first", "wanted"),
    [
        (0, "患者血钾降低最可能由噻嗪 ..."),
        (12, "... 能由噻嗪类利尿剂引起应复 ..."),
        (30, "... 补钾并考虑改用保钾利尿剂"),
    ],
)
def test_an_excerpt_of_unspaced_text_is_cut_around_its_characters(first, wanted):
    text = "患者血钾降低最可能由噻嗪类利尿剂引起应复查电解质口服补钾并考虑改用保钾利尿剂"
    assert excerpt(text, first, 4, most=12) == wanted
