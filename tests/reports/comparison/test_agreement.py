"""Krippendorff's alpha of ordinal marks, with the example of the paper."""

import pytest

from reports.comparison.agreement import agreement
from reports.rating_sheet import Rating

# Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section E: four observers, twelve units.
OBSERVERS = {
    "A": "1 2 3 3 2 1 4 1 2 . . .",
    "B": "1 2 3 3 2 2 4 1 2 5 . 3",
    "C": ". 3 3 3 2 3 4 2 2 5 1 .",
    "D": "1 2 3 3 2 4 4 1 2 5 1 .",
}


def ratings(observers, aspect="fluency"):
    return [
        Rating(observer, f"answer {unit}", {aspect: int(mark)}, "")
        for observer, marks in observers.items()
        for unit, mark in enumerate(marks.split())
        if mark != "."
    ]


def test_the_example_of_the_paper():
    assert agreement(ratings(OBSERVERS), "fluency") == pytest.approx(0.815, abs=0.0005)


def test_full_agreement_is_1_and_opposite_marks_are_below_chance():
    assert agreement(ratings({"A": "1 5 3", "B": "1 5 3"}), "fluency") == 1.0
    assert agreement(ratings({"A": "1 5 1 5", "B": "5 1 5 1"}), "fluency") < 0


def test_there_is_none_without_two_raters_of_one_answer():
    assert agreement(ratings({"A": "1 2 3"}), "fluency") is None
    assert agreement(ratings({"A": "1 . 3", "B": ". 2 ."}), "fluency") is None
    assert agreement(ratings(OBSERVERS), "completeness") is None
