"""What holds of every kind of metric: order changes nothing, interval and test agree, no denominator is predicted."""

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.comparison.compare_models import compare, judge, score
from reports.comparison.metric_inference import difference, one_model
from reports.comparison.sums import clusters_from_values, value_of_samples
from reports.document.schema import MetricInfo, Sample

PAIRS = {
    "perplexity": (-1.0, 0.5),
    "bits_per_byte": (-1.0, 0.5),
    "ratio": (0.5, 0.25),
}
KINDS = ("proportion", "mean", "share", "perplexity", "bits_per_byte", "ratio", "macro_f1", "batch_calibrated")
LEVELS = (0.05, 0.05 / 3, 0.01, 0.001, 1e-4)
MANY = settings(max_examples=8, deadline=None, derandomize=True)


def metric_of(kind, **options):
    return MetricInfo(
        key="m",
        title="M",
        kind="mean" if kind == "share" else kind,
        percent=kind == "share",
        higher_is_better=True,
        relevant=0.3,
        **options,
    )


def drawn(kind, generator, items):
    """Values of one model on some items, with ties and extremes."""
    if kind == "proportion":
        return [float(value) for value in generator.integers(0, 2, items)]
    if kind == "mean":
        return [float(value) for value in np.round(generator.lognormal(0, 1.5, items), generator.integers(0, 4))]
    if kind == "share":
        return [float(value) for value in np.round(generator.random(items), generator.integers(1, 4))]
    if kind == "macro_f1":
        gold = np.arange(items) % 3
        return [(float(g), float(p)) for g, p in zip(gold, generator.integers(0, 4, items), strict=True)]
    if kind == "batch_calibrated":
        rows = np.column_stack([np.arange(items) % 3, generator.normal(size=(items, 3))])
        return [tuple(row) for row in rows.tolist()]
    sign, spread = PAIRS[kind]
    counts = generator.integers(1, 200, items)
    return [(float(sign * n * generator.lognormal(0, spread)), float(n)) for n in counts]


def samples(values, model="base", repeats=1, clusters=None):
    return [
        Sample(
            id=f"i{number // repeats}",
            doc_hash="h",
            model=model,
            task="t",
            prompt="p",
            output="o",
            gold="g",
            metrics={"m": value},
            repeat=number % repeats,
            cluster=None if clusters is None else clusters[number // repeats],
        )
        for number, value in enumerate(values)
    ]


@functools.cache
def example(kind, seed, items):
    """Two models' samples: plain, repeated, or in groups by the seed."""
    generator = np.random.default_rng(seed)
    repeats = 3 if seed % 3 == 1 and kind != "macro_f1" else 1
    clusters = [f"c{number // 2}" for number in range(items)] if seed % 3 == 2 else None
    before, after = drawn(kind, generator, items * repeats), drawn(kind, generator, items * repeats)
    shared = generator.random(items * repeats) < 0.5
    after = [x if same else y for x, y, same in zip(before, after, shared, strict=True)]
    return samples(before, "base", repeats, clusters), samples(after, "new", repeats, clusters)


def inference_of(kind, before, after, clusters=None):
    tables = [np.asarray(values, dtype=float) for values in (before, after)]
    ids = [f"i{number:03}" for number in range(len(before))]
    labels = 4 if kind == "macro_f1" else 0
    sides = [clusters_from_values(metric_of(kind).kind, table, ids, clusters or ids, labels) for table in tables]
    return difference(metric_of(kind), *sides, seed=0)


seeds = st.integers(0, 5_000)
sizes = st.sampled_from((10, 13, 23))


@pytest.mark.parametrize("kind", KINDS)
@MANY
@given(seed=seeds, items=sizes)
def test_the_order_of_items_and_answers_changes_nothing(kind, seed, items):
    before, after = example(kind, seed, items)
    order = np.random.default_rng(seed + 1).permutation(len(before))
    shuffled = [[side[place] for place in order] for side in (before, after)]
    metric = metric_of(kind)
    assert score(metric, before, None, seed=0) == score(metric, shuffled[0], None, seed=0)
    (plain,) = judge([compare(metric, before, after, seed=0)[0]])
    (other,) = judge([compare(metric, *shuffled, seed=0)[0]])
    assert plain == other
    assert plain.p_value is not None


@pytest.mark.parametrize("kind", KINDS)
@MANY
@given(seed=seeds, items=sizes)
def test_swapping_the_models_mirrors_difference_interval_and_effect(kind, seed, items):
    before, after = example(kind, seed, items)
    (there,) = judge([compare(metric_of(kind), before, after, seed=0)[0]])
    (back,) = judge([compare(metric_of(kind), after, before, seed=0)[0]])
    assert (there.difference, there.low, there.high) == (-back.difference, -back.high, -back.low)
    assert (there.p_value, there.standard_error, there.differing) == (
        back.p_value,
        back.standard_error,
        back.differing,
    )
    assert there.effect_size == pytest.approx(-back.effect_size)
    words = {there.outcome, back.outcome}
    if kind in ("mean", *PAIRS):  # whose margin is a share of the baseline's score
        words = {"inconclusive" if word == "equivalent" else word for word in words}
    assert words == {"better", "worse"} or (len(words) == 1 and not words & {"better", "worse"})


@pytest.mark.parametrize("kind", KINDS)
@MANY
@given(seed=seeds, items=sizes)
def test_p_is_below_a_level_exactly_where_the_interval_at_that_level_excludes_0(kind, seed, items):
    before, after = example(kind, seed, items)
    inference = compare(metric_of(kind), before, after, seed=0)[0].inference
    for level in LEVELS:
        low, high = inference.ends(level)
        assert (inference.p_value() < level) == (low > 0 or high < 0)


@pytest.mark.parametrize("kind", KINDS)
@MANY
@given(seed=seeds, items=sizes)
def test_a_smaller_level_gives_an_interval_that_holds_the_greater_ones(kind, seed, items):
    before, after = example(kind, seed, items)
    pair = compare(metric_of(kind), before, after, seed=0)[0].inference
    single = score(metric_of(kind), before, None, seed=0)
    assert single.low < single.high
    ends = [pair.ends(level) for level in (1.0, 0.3, *LEVELS, 1e-8)]
    for (low, high), (lower, higher) in itertools.pairwise(ends):
        assert lower <= low + 1e-12
        assert higher >= high - 1e-12
    for low, high in ends[1:]:
        assert low < high
        assert low <= pair.estimate + 1e-12
        assert high >= pair.estimate - 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_have_a_width_where_all_values_are_the_same(kind):
    values = drawn(kind, np.random.default_rng(0), 1) * 12
    metric = metric_of(kind)
    single = score(metric, samples(values), None, seed=0)
    assert single.low < single.high
    (pair,) = judge([compare(metric, samples(values), samples(values, "new"), seed=0)[0]])
    assert (pair.difference, pair.p_value, pair.outcome) == (0.0, 1.0, "identical")
    assert pair.low < 0 < pair.high
    assert pair.low == pytest.approx(-pair.high)


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_models_in_the_family_changes_nothing(kind):
    before, _ = example(kind, 0, 23)
    candidates = [
        [sample.model_copy(update={"model": f"m{seed}"}) for sample in example(kind, seed, 23)[1]] for seed in (3, 6, 9)
    ]
    twin = [sample.model_copy(update={"model": "twin"}) for sample in candidates[0]]
    tested = [compare(metric_of(kind), before, candidate, seed=0)[0] for candidate in [*candidates, twin]]
    forwards = {each.candidate: each for each in judge(tested)}
    backwards = {each.candidate: each for each in judge(tested[::-1])}
    assert forwards == backwards
    first, second = forwards["m3"], forwards["twin"]
    assert first.model_copy(update={"candidate": "twin"}) == second


@MANY
@given(seed=seeds, items=st.integers(3, 40))
def test_changing_one_answer_moves_a_proportion_by_1_of_n_and_macro_f1_by_2_of_classes_times_smallest(seed, items):
    generator = np.random.default_rng(seed)
    gold, predicted = generator.integers(0, 3, items), generator.integers(0, 4, items)
    place, other = generator.integers(0, items), generator.integers(0, 4)
    changed = np.where(np.arange(items) == place, other, predicted)
    scores = [value_of_samples("macro_f1", np.column_stack([gold, each])) for each in (predicted, changed)]
    _, counts = np.unique(gold, return_counts=True)
    assert abs(scores[1] - scores[0]) <= 2 / (len(counts) * counts.min()) + 1e-12
    shares = [value_of_samples("proportion", (gold == each).astype(float)) for each in (predicted, changed)]
    assert abs(shares[1] - shares[0]) <= 1 / items + 1e-12


@MANY
@given(seed=seeds, items=st.integers(3, 40))
def test_what_a_model_says_never_changes_the_classes_that_macro_f1_averages_over(seed, items):
    """The mean of the F1 of each gold label, whatever else was predicted."""
    from sklearn.metrics import f1_score

    generator = np.random.default_rng(seed)
    gold, predicted = generator.integers(0, 3, items), generator.integers(0, 6, items)
    expected = f1_score(gold, predicted, labels=np.unique(gold), average="macro", zero_division=0.0)
    assert value_of_samples("macro_f1", np.column_stack([gold, predicted])) == pytest.approx(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_plain_arrays_in_another_order_give_the_same_up_to_rounding(kind):
    generator = np.random.default_rng(5)
    before, after = drawn(kind, generator, 30), drawn(kind, generator, 30)
    order = generator.permutation(30)
    plain = inference_of(kind, before, after)
    other = inference_of(kind, [before[place] for place in order], [after[place] for place in order])
    assert other.ends(0.05) == pytest.approx(plain.ends(0.05), rel=1e-9)
    assert other.p_value() == pytest.approx(plain.p_value(), rel=1e-6)


@pytest.mark.parametrize("kind", ["mean", "share", "perplexity"])
def test_models_that_mirror_each_other_have_a_symmetric_interval(kind):
    """The same values, exchanged in pairs of items: neither model can be the first."""
    generator = np.random.default_rng(6)
    left, right = drawn(kind, generator, 8), drawn(kind, generator, 8)
    if kind == "perplexity":
        left, right = ([(value[0], 50.0) for value in side] for side in (left, right))
    inference = inference_of(kind, left + right, right + left)
    low, high = inference.ends(0.05)
    assert low == pytest.approx(-high, rel=1e-9)
    assert inference.p_value() == pytest.approx(1.0, abs=1e-6)


def test_descriptive_calibration_error_has_no_interval_and_no_test():
    values = [(0.9, 1.0), (0.6, 0.0)] * 10
    metric = metric_of("ece", descriptive=True)
    assert score(metric, samples(values), None, seed=0).low is None
    (pair,) = judge([compare(metric, samples(values), samples([(0.9, 0.0)] * 20, "new"), seed=0)[0]])
    assert (pair.outcome, pair.low, pair.p_value, pair.caution) == ("not tested", None, None, "")
    assert one_model(metric, clusters_from_values("ece", np.array(values), range(20), range(20)), seed=0) is None
