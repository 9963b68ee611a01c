"""Plots of compared runs: labels that cover nothing, cheaper to the right, a heat map with a scale, values on hover."""

import re
from itertools import combinations

from reports.document.configurations import Configuration, RunsCompared
from reports.page.configuration_views import configuration_plots
from tests.reports.test_result_rows import ACCURACY, PERPLEXITY, results

GIB = 2**30


def compared(metric, qualities, seconds, *, front=True):
    """Plots of two ranks by three learning rates, with these qualities and training times."""
    names = [f"r-{rank}-rate-{rate:g}" for rank in (8, 16) for rate in (1e-5, 1e-4, 1e-3)]
    cells = [
        Configuration(
            model=name,
            run=name,
            settings={"lora.r": name.split("-")[1], "rate": name.split("rate-")[1]},
            quality=quality,
            training_seconds=time,
            peak_memory_bytes=GIB,
            on_front=front,
        )
        for name, quality, time in zip(names, qualities, seconds, strict=True)
    ]
    runs = RunsCompared(task="quiz", metric=metric.key, rule="r", best=names[0], configurations=cells)
    return configuration_plots(results(metric, models=("base", *names), compared=runs))


def boxes(svg):
    """Estimated boxes (left, top, right, bottom) of the labels of models."""
    labels = re.findall(r'<text font-size="9px" text-anchor="middle" x="([\d.]+)" y="([\d.]+)">(r-[^<]*)<', svg)
    assert len(labels) == 6
    return [(float(x) - 2.5 * len(text), float(y) - 9, float(x) + 2.5 * len(text), float(y)) for x, y, text in labels]


def cover(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def test_labels_of_close_points_cover_neither_each_other_nor_the_axes():
    for seconds in ([100.0] * 6, [100.0, 100.1, 100.2, 100.3, 100.4, 150.0]):
        time, *_ = compared(ACCURACY, [0.5, 0.5, 0.505, 0.51, 0.9, 0.9], seconds)
        labels = boxes(time.svg)
        assert not [pair for pair in combinations(labels, 2) if cover(*pair)]
        assert min(left for left, *_ in labels) > 30


def test_only_the_front_has_names_and_every_point_has_them_on_hover():
    time, *_ = compared(ACCURACY, [0.5, 0.6, 0.7, 0.5, 0.6, 0.7], range(100, 106), front=False)
    assert len(re.findall(r">r-[^<]*</text>", time.svg)) == 1  # the best
    assert "<title>r-8-rate-1e-05: 50.0 % at 100, the best</title>" in time.svg
    assert "<title>r-16-rate-0.001: 70.0 % at 105</title>" in time.svg


def test_right_is_cheaper_and_up_is_better():
    for metric, qualities in ((ACCURACY, [0.1, 0.2, 0.3, 0.4, 0.5, 0.9]), (PERPLEXITY, [90, 50, 40, 30, 20, 10])):
        time, *_ = compared(metric, qualities, [600, 500, 400, 300, 200, 100])
        places = {
            words: (float(x), float(y))
            for words, x, y in re.findall(r"<title>(r-[^:]*):.*?<use [^>]*x=\"([\d.]+)\" y=\"([\d.]+)\"", time.svg)
        }
        (left, low), (right, high) = places["r-8-rate-1e-05"], places["r-16-rate-0.001"]
        assert left < right
        assert high < low  # SVG counts from the top


def test_a_heat_map_has_a_scale_from_the_worst_to_the_best():
    for metric, ends in ((ACCURACY, ("10.0 %", "90.0 %")), (PERPLEXITY, ("0.900", "0.100"))):
        heat = compared(metric, [0.1, 0.2, 0.3, 0.4, 0.5, 0.9], [1.0] * 6)[-1]
        texts = re.findall(r"<text[^>]*>([^<]*)</text>", heat.svg)
        assert texts[-3:] == [*ends, f"{metric.title}, darker is better"]
        assert f"<title>lora.r 16, rate 0.001: {'90.0 %' if metric is ACCURACY else '0.900'}</title>" in heat.svg
