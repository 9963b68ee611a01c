"""How often a model at the margin is called equivalent, how often an equal one is, and an equal one different."""

import math

import numpy as np
import pytest

from reports.document.schema import TaskInfo
from reports.verification.equivalence import ALPHA, NATS_PER_TOKEN, Margins, judge
from tests.reports.verification.deployments import CHOICES, MACRO_F1, TEXTS, quiz, random_nats, texts

pytestmark = pytest.mark.slow
DRAWS = 200
LIMIT = ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / DRAWS)  # two standard errors of the simulation above the level


def share(outcome, draw, part):
    """Share of simulated deployments whose part has this outcome."""
    return np.mean([part(draw(np.random.default_rng(seed))).outcome == outcome for seed in range(DRAWS)])


def likelihoods(parts):
    return parts.likelihoods


def metric(parts):
    return parts.metrics[0]


def rare(items, how_often, size):
    return lambda rng: (rng.random((items, 1)) < how_often) * size + rng.normal(0, 1e-4, (items, 2))


def skewed(items):
    return lambda rng: rng.lognormal(math.log(NATS_PER_TOKEN) - 1.125, 1.5, (items, 1)) * np.ones(2)


def normal(items, size=NATS_PER_TOKEN):
    return lambda rng: rng.normal(0, size * math.sqrt(math.pi / 2), (items, 2))


@pytest.mark.parametrize("items", [30, 300])
@pytest.mark.parametrize(
    "change", [normal, skewed, lambda n: rare(n, 0.2, 0.1), lambda n: rare(n, 0.05, 0.4), lambda n: rare(n, 0.02, 1.0)]
)
def test_log_likelihoods_at_the_margin_are_seldom_equivalent(change, items):
    """The mean absolute difference is the margin in all of these, by a little of every item or much of a few."""

    def draw(rng):
        nats = rng.normal(-4, 2, (items, 2))
        return judge([CHOICES], quiz(nats), quiz(nats + change(items)(rng)))

    assert share("equivalent", draw, likelihoods) <= LIMIT


def right(rng, items, shares):
    """Choices of both models: right by both, by the reference only, by the target only, by neither."""
    which = rng.choice(4, items, p=shares)
    nats = [np.where(is_right[:, None], [-0.5, -1.0], [-1.0, -0.5]) for is_right in (which < 2, which % 2 == 0)]
    return nats, np.zeros(items, int)


@pytest.mark.parametrize("items", [20, 60, 150, 400])
@pytest.mark.parametrize("discordant", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("sign", [1, -1])
def test_accuracy_at_the_margin_is_seldom_equivalent(items, discordant, sign):
    lost, gained = (discordant + sign * 0.05) / 2, (discordant - sign * 0.05) / 2

    def draw(rng):
        (before, after), _ = right(rng, items, (0.4, lost, gained, 0.6 - lost - gained))
        return judge([CHOICES], quiz(before), quiz(after))

    assert share("equivalent", draw, metric) <= LIMIT


def test_macro_f1_of_a_rare_class_at_the_margin_is_seldom_equivalent():
    """5 % of the items are of a rare label, of which the target loses so much that macro-F1 falls by the margin."""
    task = TaskInfo(name="quiz", title="Quiz", metrics=[MACRO_F1])

    def draw(rng, items, margin=0.05):
        gold = (rng.random(items) < 0.05).astype(int)
        before = np.where(rng.random(items) < 0.95, gold, 1 - gold)
        after = np.where((gold == 1) & (rng.random(items) < 0.27), 0, before)
        nats = [np.where(labels[:, None] == [0, 1], -0.5, -1.0) for labels in (before, after)]
        return judge([task], quiz(nats[0], gold), quiz(nats[1], gold), margins=Margins({"quiz/f1": margin}))

    margin = abs(metric(draw(np.random.default_rng(0), 40_000)).difference)
    assert margin == pytest.approx(0.05, abs=0.02)
    for items in (60, 400):
        assert share("equivalent", lambda rng, items=items: draw(rng, items, margin), metric) <= LIMIT


def test_perplexity_at_the_margin_is_seldom_equivalent():
    def draw(rng):
        nats = rng.normal(-2, 0.5, 80)
        return judge([TEXTS], texts(nats), texts(nats - math.log(1.05) + rng.normal(0, 0.2, 80)))

    assert share("equivalent", draw, metric) <= LIMIT


def test_an_equal_target_is_equivalent_with_the_number_of_items_asked_for_and_never_different():
    def draw(items):
        def parts(rng):
            (before, after), _ = right(rng, items, (0.5, 0.02, 0.02, 0.46))
            return judge([CHOICES], quiz(before), quiz(after), margins=Margins(nats_per_token=0.1))

        return parts

    needed = metric(draw(60)(np.random.default_rng(0))).items_needed
    assert 60 < needed < 2000
    assert share("equivalent", draw(needed), metric) >= 0.8
    assert share("different", draw(needed), metric) <= LIMIT


def test_rounding_to_8_bits_is_equivalent_on_500_items_and_4_bits_are_different():
    nats = random_nats(500)
    for size, outcome in ((0.005, "equivalent"), (0.08, "different")):
        rate = share(
            outcome,
            lambda rng, size=size: judge([CHOICES], quiz(nats), quiz(nats + normal(500, size)(rng))),
            likelihoods,
        )
        assert rate >= 0.95, size
