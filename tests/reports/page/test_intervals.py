"""The drawn interval of a row: one scale, right is better, the outcome as a shape, and its numbers on hover."""

import re

from reports.page.intervals import draw, longest
from reports.result_rows import make_row
from tests.reports.test_result_rows import ACCURACY, comparison


def row(difference, low, high, outcome):
    return make_row("x", ACCURACY, (None, None), comparison(ACCURACY, difference, low, high, outcome))


def places(svg):
    """Ends of the band and of the interval, from 0 at the left to 200."""
    band = re.search(r'class="band" d="M([\d.]+) 0H([\d.]+)', svg)
    whisker = re.search(r'class="whisker" d="M([\d.]+) 12H([\d.]+)', svg)
    return tuple(float(number) for number in (*band.groups(), *whisker.groups()))


def test_the_band_is_one_relevant_difference_and_the_longest_interval_fits():
    better, worse = row(0.3, 0.1, 0.5, "better"), row(-0.3, -0.5, -0.05, "worse")
    most = longest([better, worse])
    assert most == 10
    low, high, left, right = places(draw(better, most))
    assert (low + high) / 2 == 100
    assert high < left < right == 192
    assert places(draw(worse, most))[2:] == (8, low)


def test_a_shape_and_a_text_say_the_outcome():
    outcomes = ("better", "worse", "different", "inconclusive", "equivalent")
    drawn = {outcome: draw(row(0.1, 0.0, 0.2, outcome), 10) for outcome in outcomes}
    shapes = {outcome: re.findall('class="marker" d="M[0-9.]+ ([^"]*)"', svg)[0] for outcome, svg in drawn.items()}
    assert len(set(shapes.values())) == 4
    assert shapes["inconclusive"] == shapes["equivalent"]
    svg = draw(row(0.1, 0.02, 0.2, "better"), 10)
    assert "<title>better: +10.0 pp [+2.0, +20.0], 99 % interval</title>" in svg
    assert svg.startswith('<svg class="interval better"')


def test_a_row_without_an_interval_is_not_drawn():
    assert draw(row(0.1, None, None, "not tested"), 10) == ""
    assert longest([row(0.1, None, None, "not tested")]) == 2
