"""The rules about memory, speed, size, truncation, overlap and completeness."""

from dataclasses import replace

import pytest

from reports.document.evidence import OverlapCheck, OverlapMatch
from reports.document.schema import TaskCost, TaskInfo, Training
from tests.reports.gate.examples import LENGTH, ROUGE, inputs, shifted, verdict, with_items

VALUES = shifted(40, 0)
MEASURED = {"peak_memory_bytes": 3 * 2**30, "tokens_per_second": 1500.0}
TRAINING = Training.model_construct(**MEASURED)


def judge(rule, **changes):
    """The result of a rule on a candidate with these results."""
    baseline, candidate = inputs(ROUGE, *VALUES, **changes)
    return verdict(rule, baseline, replace(candidate, trained_here=True))[0]


def summary(result):
    return result.verdict, result.reason, result.value, result.limit


# Memory, speed, size


def test_peak_memory_of_training():
    reason = "3.00 GiB at the peak of training"
    assert summary(judge({"rule": "peak_memory", "max_gib": 3}, training=TRAINING)) == (
        "pass",
        reason,
        3.0,
        "at most 3 GiB",
    )
    result = judge({"rule": "peak_memory", "max_gib": 2.5}, training=TRAINING)
    assert (result.name, result.rule) == ("peak memory", "peak_memory")
    assert summary(result) == ("fail", reason, 3.0, "at most 2.5 GiB")


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"rule": "peak_memory", "max_gib": 9}, "the results do not say how much memory training adapter took"),
        ({"rule": "throughput", "min_tokens_per_second": 1}, "the results do not say how fast training adapter was"),
    ],
)
def test_training_that_is_not_in_the_results_or_of_another_model(rule, reason):
    assert summary(judge(rule)) == ("fail", reason, None, "")
    both = inputs(ROUGE, *VALUES, training=TRAINING)
    assert summary(verdict(rule, *both)[0]) == ("fail", reason, None, "")


def test_throughput_of_training():
    rule = {"rule": "throughput", "min_tokens_per_second": 1500}
    reason = "1,500.0 tokens per second of training"
    assert summary(judge(rule, training=TRAINING)) == ("pass", reason, 1500.0, "at least 1500 tokens per second")
    assert judge(rule | {"min_tokens_per_second": 1501}, training=TRAINING).verdict == "fail"


def cost(model="adapter", task="t", seconds=2.0):
    return TaskCost(model=model, task=task, seconds=seconds, prompt_tokens=1, output_tokens=100)


def test_throughput_of_scoring_is_that_of_the_generating_tasks_of_the_candidate():
    rule = {"rule": "throughput", "of": "scoring", "min_tokens_per_second": 40}
    costs = [cost(), cost(seconds=3.0), cost(model="base", seconds=90.0), cost(task="other", seconds=90.0)]
    reason = "40.0 tokens per second of scoring"
    assert summary(judge(rule, costs=costs)) == ("pass", reason, 40.0, "at least 40 tokens per second")
    unknown = ("fail", "the results do not say how fast scoring adapter was", None, "")
    assert summary(judge(rule, costs=[])) == summary(judge(rule, costs=[cost(seconds=0.0)])) == unknown
    assert judge(rule, costs=[cost(seconds=0.5)]).value == 200.0


def test_throughput_counts_tasks_with_some_generated_answers():
    baseline, candidate = inputs(ROUGE, *VALUES)
    rule = {"rule": "throughput", "of": "scoring", "min_tokens_per_second": 40}
    scored = with_items(candidate, lambda item: item.model_copy(update={"finish_reason": None}))
    assert verdict(rule, baseline, scored)[0].verdict == "fail"
    mixed = with_items(
        candidate, lambda item: item.model_copy(update={"finish_reason": None}) if item.id == "3" else item
    )
    assert verdict(rule, baseline, mixed)[0].value == 50.0


def test_adapter_size():
    reason = "3.00 MiB of adapter weights"
    assert summary(judge({"rule": "adapter_size", "max_mib": 3})) == ("pass", reason, 3.0, "at most 3 MiB")
    assert summary(judge({"rule": "adapter_size", "max_mib": 2.9})) == ("fail", reason, 3.0, "at most 2.9 MiB")
    candidate, baseline = inputs(ROUGE, *VALUES)
    result, _ = verdict({"rule": "adapter_size", "max_mib": 3}, baseline, candidate)
    assert result.reason == "the results do not say how large the weights of base are"
    assert result.verdict == "fail"


# Truncation


def test_truncated_answers_are_counted_and_listed():
    reason = "2 of 40 answers were cut off"
    result = judge({"rule": "truncated", "max_share": 0.05})
    assert summary(result) == ("pass", reason, 0.05, "at most 5.0 %")
    assert (result.n, result.moved) == (40, [])
    result = judge({"rule": "truncated"})
    assert summary(result) == ("fail", reason, 0.05, "at most 0.0 %")
    assert [(item.task, item.id, item.question, item.answer) for item in result.moved] == [
        ("t", "0", "p", "o"),
        ("t", "1", "p", "o"),
    ]


def test_at_most_ten_truncated_answers_are_listed():
    baseline, candidate = inputs(ROUGE, *VALUES)
    cut = with_items(candidate, lambda item: item.model_copy(update={"finish_reason": "length"}))
    assert [item.id for item in verdict({"rule": "truncated"}, baseline, cut)[0].moved] == [str(n) for n in range(10)]


def test_without_generated_answers_truncation_is_unknown():
    baseline, candidate = inputs(ROUGE, *VALUES)
    scored = with_items(candidate, lambda item: item.model_copy(update={"finish_reason": None}))
    assert summary(verdict({"rule": "truncated"}, baseline, scored)[0]) == (
        "fail",
        "adapter generated no answers",
        None,
        "",
    )


# Overlap with the training rows


def match(item, kind="exact"):
    return OverlapMatch(task="t", item=str(item), row="r", role="train", kind=kind, part="q", share=1.0, rows=1)


def overlap(*matches, **fields):
    return OverlapCheck(
        **{"method": "", "models": ["adapter"], "rows": 1, "items": {"t": 40}} | fields, matches=matches
    )


@pytest.mark.parametrize(
    ("rule", "kind", "counts"),
    [
        ("leakage", "exact", True),
        ("leakage", "near", True),
        ("leakage", "n-gram", False),
        ("contamination", "n-gram", True),
        ("contamination", "exact", False),
        ("contamination", "near", False),
    ],
)
def test_each_rule_counts_its_kinds_of_overlap(rule, kind, counts):
    result = judge({"rule": rule}, overlap=overlap(match(3, kind)))
    assert (result.verdict, result.value, result.n) == ("fail" if counts else "pass", float(counts), 40)
    assert result.limit == "at most 0 items"
    assert [(item.task, item.id) for item in result.moved] == [("t", "3")] * counts


def test_overlaps_up_to_the_limit_pass_and_ten_are_listed():
    check = overlap(*[match(n) for n in range(12)])
    result = judge({"rule": "leakage", "max_items": 12}, overlap=check)
    assert result.reason == "12 test items are (nearly) equal to rows that were trained on"
    assert (result.verdict, result.moved) == ("pass", [])
    result = judge({"rule": "leakage", "max_items": 11}, overlap=check)
    assert (result.verdict, len(result.moved)) == ("fail", 10)
    assert result.reason.startswith("12 test items are (nearly) equal to rows that were trained on, such as item 0")
    result = judge({"rule": "contamination"}, overlap=overlap(match(3, "n-gram")))
    assert result.reason.startswith("1 test items share text with rows that were trained on, such as item 3")


UNKNOWN = (
    "what adapter was trained on is unknown; declare its data when you score it (--set trained_on.adapter=FILE), or"
    " accept this with the policy line `unknown: pass` under `rule: leakage`"
)


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (None, UNKNOWN),
        (overlap(models=[]), UNKNOWN),
        (overlap(items={}), "the items of t were not compared with the training rows"),
    ],
)
def test_an_unknown_overlap_blocks(check, reason):
    assert summary(judge({"rule": "leakage"}, overlap=check)) == ("fail", reason, None, "")


def test_all_tasks_without_a_comparison_are_named():
    tasks = [TaskInfo(name=name, title=name, metrics=[]) for name in ("a", "t", "b")]
    result = judge({"rule": "leakage"}, overlap=overlap(), tasks=tasks)
    assert result.reason == "the items of a, b were not compared with the training rows"


@pytest.mark.parametrize("rule", ["leakage", "contamination"])
def test_an_unknown_overlap_passes_only_by_a_line_of_the_policy(rule):
    reason = "what adapter was trained on is unknown, which the policy accepts"
    assert summary(judge({"rule": rule, "unknown": "pass"}, overlap=None)) == ("pass", reason, None, "")
    leaked = overlap(match(3), match(4, "n-gram"))
    assert judge({"rule": rule, "unknown": "pass"}, overlap=leaked).verdict == "fail"


def test_a_base_is_not_taken_for_a_model_that_was_never_fine_tuned():
    candidate, baseline = inputs(ROUGE, *VALUES, overlap=None)
    result, _ = verdict({"rule": "leakage"}, baseline, candidate)
    assert (result.verdict, result.reason) == ("fail", UNKNOWN.replace("adapter", "base"))
    candidate, baseline = inputs(ROUGE, *VALUES, overlap=overlap(match(3), models=["base"]))
    result, _ = verdict({"rule": "leakage"}, baseline, candidate)
    assert (result.verdict, result.value) == ("fail", 1.0)


@pytest.mark.parametrize(("known", "note"), [("known", ""), ("declared", ", as the recipe declares them (trained_on)")])
def test_declared_rows_are_called_so(known, note):
    models = inputs(ROUGE, *VALUES)[1].results.models
    models = [models[0], models[1].model_copy(update={"training_data": known})]
    result = judge({"rule": "leakage"}, overlap=overlap(), models=models)
    assert (result.verdict, result.reason) == (
        "pass",
        f"0 test items are (nearly) equal to rows that were trained on{note}",
    )


def test_a_model_whose_rows_are_unknown_is_not_believed_to_be_compared():
    models = inputs(ROUGE, *VALUES)[1].results.models
    models = [models[0], models[1].model_copy(update={"training_data": "unknown"})]
    assert judge({"rule": "leakage"}, overlap=overlap(), models=models).reason == UNKNOWN


def test_text_that_cannot_be_split_is_named():
    check = overlap(unsearched={"t": ["3", "4"], "u": ["5", "6"]})
    assert judge({"rule": "leakage"}, overlap=check).reason == (
        "the text of 4 items cannot be split into words, so they were not searched: 3 of t, 4 of t, 5 of u; fix or"
        " leave them out"
    )
    rows = [f"b.csv, line {n}" for n in range(9)]
    assert judge({"rule": "leakage"}, overlap=overlap(unsearched_rows=rows)).reason == (
        "the questions of training rows cannot be split into words, so they were not searched: b.csv, line 0; b.csv,"
        " line 1; b.csv, line 2"
    )


# Completeness


def test_a_complete_run():
    result = judge({"rule": "complete"})
    assert (result.verdict, result.reason, result.n) == ("pass", "all 1 tasks are finished", 40)


def test_every_primary_metric_needs_a_value():
    missing = [LENGTH.model_copy(update={"key": key}) for key in "abcd"]
    tasks = [TaskInfo(name="t", title="T", metrics=[ROUGE, *missing])]
    result = judge({"rule": "complete"}, tasks=tasks)
    assert summary(result) == ("fail", "; ".join(f"adapter of r has no value of t/{key}" for key in "abc"), None, "")
    secondary = [TaskInfo(name="t", title="T", metrics=[ROUGE, missing[0].model_copy(update={"secondary": True})])]
    assert judge({"rule": "complete"}, tasks=secondary).verdict == "pass"


def test_a_fault_is_named_once_and_tasks_need_metrics():
    fields = [ROUGE, LENGTH.model_copy(update={"key": "b"})]
    tasks = [TaskInfo(name="x", title="X", metrics=fields), TaskInfo(name="y", title="Y", metrics=[])]
    baseline, candidate = inputs(ROUGE, *VALUES, tasks=tasks)
    broken = replace(candidate, faults={"x": "the samples of x are missing"})
    result, _ = verdict({"rule": "complete"}, baseline, broken)
    assert result.reason == "adapter of r: the samples of x are missing; y has no metrics"
    assert judge({"rule": "complete"}, tasks=[]).reason == "no task was scored"
    assert judge({"rule": "complete"}, tasks=[]).verdict == "fail"
