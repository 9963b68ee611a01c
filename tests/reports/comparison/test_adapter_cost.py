"""Gain on the target beside the loss on retention and languages, from right and wrong answers with given counts."""

import pytest

from reports.comparison.adapter_cost import cost_sentences, effects, has_cost
from reports.comparison.compare_models import compare, judge, score
from reports.comparison.suite_means import SuitePart, compare_suite, suite_score
from reports.comparison.verdict import sentences
from reports.cost_tables import cost_table
from reports.document.schema import MetricInfo, SuiteInfo, TaskInfo
from tests.reports.comparison.handmade import model
from tests.reports.comparison.test_suite_means import samples
from tests.reports.skeleton import results_of

ACC = MetricInfo(key="acc", title="Accuracy", kind="proportion", higher_is_better=True, percent=True)
RETENTION = ("hellaswag", "arc", "mmlu")


def answers(task, gained, lost, items):
    """Answers of base and adapter that differ on so many items; half of the rest is right."""
    same = [n % 2 for n in range(items - gained - lost)]
    return {
        "base": samples("base", task, [0] * gained + [1] * lost + same),
        "adapter": samples("adapter", task, [1] * gained + [0] * lost + same),
    }


def results(target=(), retention=(), languages=(), *, with_mean=True):
    """A run of base and adapter whose comparisons are those of a real run, from (gained, lost, items) of each task."""
    counts = {"quiz": ("target", target)} if target else {}
    counts |= {name: ("retention", part) for name, part in zip(RETENTION, retention, strict=False)}
    counts |= {f"lang{n}": ("languages", part) for n, part in enumerate(languages)}
    given = {name: answers(name, *part) for name, (_, part) in counts.items()}
    parts = [SuitePart(ACC, given[name]) for name in RETENTION if name in given]
    tested = [compare(ACC, sides["base"], sides["adapter"], seed=0)[0] for sides in given.values()]
    rows = [compare_suite("retention", "base", "adapter", parts, seed=0)] if parts and with_mean else []
    judged = judge([*tested, *rows])
    suite = SuiteInfo(
        name="retention",
        tasks=list(RETENTION),
        title="Mean of retention",
        parts=dict.fromkeys(RETENTION, "acc"),
        scores=[suite_score("retention", name, parts) for name in ("base", "adapter") if rows],
        comparisons=judged[len(tested) :],
    )
    return results_of(
        models=[model("base", "base"), model("adapter")],
        tasks=[
            TaskInfo(name=name, title=name.title(), metrics=[ACC], purpose=purpose)
            for name, (purpose, _) in counts.items()
        ],
        suites=[suite] if rows else [],
        scores=[score(ACC, given[task][name], None, seed=0) for task in given for name in ("base", "adapter")],
        comparisons=judged[: len(tested)],
    )


FORGETTER = results((90, 30, 500), [(5, 50, 300), (4, 45, 300), (12, 40, 300)])
KEEPER = results((90, 30, 500), [(6, 6, 300), (5, 6, 300), (8, 7, 300)])


def test_one_sentence_says_what_was_gained_and_lost_and_comes_first():
    (sentence,) = cost_sentences(FORGETTER)
    assert sentence == (
        "adapter improves by 12.0 pp in Accuracy (Quiz) [+7.3, +16.9]; loses 12.7 pp of general knowledge"
        " (retention mean [-16.3, -9.3]), more than the margin of 5.0 pp."
    )
    assert sentences(FORGETTER)[0] == sentence


def test_a_loss_of_the_margin_is_ruled_out_by_the_mean_where_every_part_leaves_it_open():
    few = results((30, 29, 500), [(12, 12, 200)] * 3)
    (sentence,) = cost_sentences(few)
    assert sentence == (
        "adapter is not shown to gain in Accuracy (Quiz) (+0.2 pp [-3.9, +4.3]); a loss of 5.0 pp of general knowledge"
        " is ruled out (retention mean 0.0 pp [-3.9, +3.9])."
    )
    assert [effect.loss for effect in effects(few, "adapter")] == [
        "ruled out",
        "ruled out",
        *["not decided"] * 3,
    ]


@pytest.mark.parametrize(
    ("counts", "loss"),
    [
        ((5, 50, 300), "a loss of more than 5.0 pp is shown"),
        ((1, 15, 1000), "a loss is shown, and one of 5.0 pp is ruled out"),
        ((10, 40, 500), "a loss is shown"),
        ((10, 10, 1000), "a loss of 5.0 pp is ruled out"),
        ((10, 20, 200), "not decided"),
        ((0, 0, 20), "not decided"),
        ((0, 0, 400), "a loss of 5.0 pp is ruled out"),
    ],
)
def test_a_loss_is_read_off_the_interval(counts, loss):
    (effect,) = effects(results(retention=[counts], with_mean=False), "adapter")
    assert effect.loss_text == loss


def test_a_metric_of_which_less_is_better_is_turned_round():
    (effect,) = effects(results(retention=[(50, 5, 300)], with_mean=False), "adapter")
    errors = effect.metric.model_copy(update={"higher_is_better": False})
    assert effect.loss == "ruled out"
    assert type(effect)(effect.title, "retention", errors, effect.pair).loss == "large"


def test_a_large_loss_of_a_part_that_the_mean_hides_is_named():
    hidden = results((30, 29, 500), [(0, 42, 300), (40, 5, 300), (20, 15, 300)])
    assert cost_sentences(hidden)[0].endswith(
        "is ruled out (retention mean -0.2 pp [-3.1, +2.7]); loses 14.0 pp in Accuracy (Hellaswag) [-19.9, -9.6],"
        " more than the margin of 5.0 pp."
    )


def test_languages_are_counted_and_their_losses_named():
    several = results((30, 29, 500), languages=[(10, 10, 1000), (10, 90, 1000), (10, 20, 200)])
    assert cost_sentences(several)[0].split("; ")[1:] == [
        "loses 8.0 pp in Accuracy (Lang1) [-10.6, -5.7], more than the margin of 5.0 pp",
        "a loss of the margin is ruled out on 1 of 3 tasks of the suite languages",
        "not decided on 1 of 3 tasks of the suite languages.",
    ]


def test_the_table_has_the_target_first_then_the_mean_and_its_parts():
    table = cost_table(FORGETTER)
    assert table.columns == (
        *("Model", "Measured on", "Purpose", "Baseline", "Fine-tuned", "Difference", "Confidence", "Outcome"),
    )
    assert [row[1:3] for row in table.rows] == [
        ("Accuracy (Quiz) \N{UPWARDS ARROW}", "target"),
        ("Mean of retention \N{UPWARDS ARROW}", "general knowledge"),
        ("Accuracy (Hellaswag) \N{UPWARDS ARROW}", "general knowledge"),
        ("Accuracy (Arc) \N{UPWARDS ARROW}", "general knowledge"),
        ("Accuracy (Mmlu) \N{UPWARDS ARROW}", "general knowledge"),
    ]
    assert table.rows[0][3:] == (
        "44.0 % [39.7, 48.4]",
        "56.0 % [51.6, 60.3]",
        "+12.0 pp [+7.3, +16.9]",
        "97.5 %",
        "better",
    )
    assert [row[-1] for row in table.rows[1:]] == [
        *["a loss of more than 5.0 pp is shown"] * 3,
        "a loss is shown",
    ]
    assert [row[-1] for row in cost_table(KEEPER).rows] == [
        "better",
        *["a loss of 5.0 pp is ruled out"] * 4,
    ]


def test_without_retention_and_languages_there_is_nothing_to_say():
    only_target = results((90, 30, 500))
    assert not has_cost(only_target, "adapter")
    assert cost_table(only_target) is None
    assert cost_sentences(only_target) == []
