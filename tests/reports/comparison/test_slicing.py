"""Grouping items by a column: values, quarters of numbers, items without a value, and the length of questions."""

from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reports.comparison.slicing import column_value, group_items, question_length
from tests.reports.comparison.handmade import sample


def grouped(*values, column="c", lengths=None):
    items = {str(place): value for place, value in enumerate(values)}
    return group_items(column, items, lengths or {})


def sizes(grouping):
    return {value: len(items) for value, items in grouping.items.items()}


def test_texts_are_slices_by_frequency_and_items_without_a_value_one_of_their_own():
    grouping = grouped("b", "a", "a", None, " a ", "", "  ", "b", "c")
    assert (grouping.kind, sizes(grouping)) == ("value", {"a": 3, "b": 2, "c": 1, None: 3})
    assert list(grouping.items) == ["a", "b", "c", None]
    assert grouping.items[None] == ["3", "5", "6"]


def test_many_numbers_are_divided_into_quarters_named_as_in_the_data():
    grouping = grouped(*map(str, range(2001, 2013)))
    assert (grouping.kind, sizes(grouping)) == (
        "quantile",
        {"2001 to 2003": 3, "2004 to 2006": 3, "2007 to 2009": 3, "2010 to 2012": 3},
    )
    assert sizes(grouped(*"123456789", *["nan"] * 2, None, "NaN")) == {
        "1 to 3": 3,
        "4 to 5": 2,
        "6 to 7": 2,
        "8 to 9": 2,
        None: 4,
    }


def test_up_to_eight_numbers_are_slices_of_their_own():
    assert sizes(grouped(*"12345678", "8", "nan")) == {value: 2 if value == "8" else 1 for value in (*"12345678", None)}
    assert sizes(grouped("1", "2", "x", "nan")) == {"1": 1, "2": 1, "nan": 1, "x": 1}
    assert grouped(*map(str, range(20)), "inf").kind == grouped(*map(str, range(20)), "-").kind == "value"


def test_equal_numbers_are_never_divided():
    assert sizes(grouped(*["0"] * 90, *map(str, range(1, 11)))) == {"0": 90, "1 to 10": 10}
    assert sizes(grouped(*["1", "1.0"] * 30, *map(str, range(2, 12)))) == {"1": 60, "2 to 11": 10}


@settings(deadline=None)
@given(st.lists(st.none() | st.text(max_size=3) | st.integers(-50, 50).map(str) | st.floats().map(str), min_size=1))
def test_every_item_is_in_exactly_one_slice(values):
    grouping = grouped(*values)
    if grouping is None:
        assert all(value is None or value.strip().lower() in ("", "nan", "-nan", "+nan") for value in values)
        return
    items = [item for of in grouping.items.values() for item in of]
    assert sorted(items, key=int) == [str(place) for place in range(len(values))]
    assert all(grouping.items.values())


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=9, unique=True))
@example([0.0, 1.0, 2.0, 3.0, 4.0, 5e-324, -1.0, -2.0, -3.0, -4.0])  # no number lies between the third and fourth
@example([-1.7e308, *map(float, range(8)), 1.7e308])  # their difference overflows
def test_quarters_are_in_order_and_about_equal(numbers):
    grouping = grouped(*map(repr, numbers))
    assert grouping.kind == "quantile"
    groups = [[numbers[int(item)] for item in items] for items in grouping.items.values()]
    assert [max(group) for group in groups[:-1]] < [min(group) for group in groups[1:]]
    assert [number for group in groups for number in group] == sorted(numbers)
    assert max(map(len, groups)) - min(map(len, groups)) <= 1


def test_length_is_that_of_the_question_unless_a_column_has_that_name():
    lengths = {str(place): place for place in range(12)}
    assert grouped(*[None] * 12, column="length", lengths=lengths).kind == "quantile"
    assert sizes(grouped("a", *[None] * 11, column="length", lengths=lengths)) == {"a": 1, None: 11}
    assert grouped(*[None] * 12, column="size", lengths=lengths) is None


def test_long_gold_answers_are_no_labels():
    assert grouped("x" * 201, "y" * 201, column="class") is None
    assert sizes(grouped("x" * 201, "y", column="class")) == {"y": 1, None: 1}


@pytest.mark.parametrize(("column", "value"), [("class", "yes"), ("speciality", "surgery"), ("year", None)])
def test_a_column_of_a_sample(column, value):
    one = sample("base", 1, 1).model_copy(update={"fields": {"speciality": "surgery", "class": "other"}})
    assert column_value(one, column) == value


def test_the_length_of_a_question_is_without_the_prompt_around_it():
    one = sample("base", 1, 1)
    assert question_length(one) == len("question 1")
    assert question_length(one.model_copy(update={"question": "why?"})) == 4
    assert Counter([question_length(one.model_copy(update={"question": ""}))]) == {0: 1}
