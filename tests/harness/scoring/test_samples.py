"""Samples are what lm-eval logged of an item, and metrics are means where they are."""

from types import SimpleNamespace

import pytest

from harness.planning.item_hashes import source_hash
from harness.planning.lm_tasks import LoadedTask
from harness.scoring.samples import foreign_metrics, make_samples, metric_key
from reports.document.schema import TaskInfo
from tasks.answers import GeneratedText, ScoredText

CONFIG = SimpleNamespace(repeats=1)


def task(documents, name="other", **attributes):
    made = SimpleNamespace(config=CONFIG, eval_docs=documents, **attributes)
    return LoadedTask(name, made, list(range(len(documents))), None, "", TaskInfo(name=name, title=name))


def logged(document, number=0, **changes):
    entry = {"doc_id": number, "doc": document, "doc_hash": f"hash {number}", "filter": "none", "target": "B"}
    return entry | {"arguments": [("Prompt?", "")], "metrics": ["acc"], "acc": 1.0, "resps": [["B"]]} | changes


def scored(*logprobs, seconds=0.5, tokens=7):
    return [ScoredText(logprobs, greedy=False, prompt_tokens=tokens, seconds=seconds)]


def test_the_answer_of_a_choice_is_the_most_likely_one():
    documents = [{"question": "Q?"}]
    loaded = task(documents, OUTPUT_TYPE="multiple_choice", doc_to_choice=lambda _: ["A", "B", "C"])
    responses = [scored(-3.0), scored(-1.0, -0.25, tokens=9), scored(-2.0)]
    (sample,) = make_samples(loaded, "base", [logged(documents[0], resps=responses, target=2)])
    assert (sample.output, sample.gold) == ("B", "C")
    assert sample.choices == {"A": -3.0, "B": -1.25, "C": -2.0}
    assert (sample.prompt_tokens, sample.output_tokens, sample.seconds) == (9, 4, 1.5)
    assert (sample.id, sample.doc_hash, sample.model, sample.task) == ("0", "hash 0", "base", "other")
    assert (sample.prompt, sample.metrics, sample.question, sample.cluster) == ("Prompt?", {"acc": 1.0}, None, None)
    for target, gold in (("C", "C"), (3, "3"), (0, "A")):
        (sample,) = make_samples(loaded, "base", [logged(documents[0], resps=responses, target=target)])
        assert sample.gold == gold
    broken = [scored(-3.0), scored(float("nan")), scored(-2.0)]
    (sample,) = make_samples(loaded, "base", [logged(documents[0], resps=broken)])
    assert sample.choices is None


def test_a_text_that_is_scored_as_a_whole_has_no_answer():
    documents = [{"text": "So."}]
    loaded = task(documents, OUTPUT_TYPE="loglikelihood_rolling")
    (sample,) = make_samples(loaded, "base", [logged(documents[0], resps=[scored(-3.0, -1.0)])])
    assert (sample.output, sample.choices, sample.output_tokens) == ("", None, 2)


def test_a_generated_answer_has_its_cost():
    text = GeneratedText("B", prompt_tokens=5, output_tokens=3, finish_reason="length", seconds=0.12345)
    documents = [{"question": "Q?"}]
    (sample,) = make_samples(task(documents), "base", [logged(documents[0], resps=[[text]])])
    assert (sample.output, sample.gold, sample.finish_reason) == ("B", "B", "length")
    assert (sample.prompt_tokens, sample.output_tokens, sample.seconds) == (5, 3, 0.1235)


def test_filters_are_metrics_of_one_sample_and_items_that_share_a_text_are_a_cluster():
    documents = [{"context": "One text.", "question": "First?"}, {"context": "One text.", "question": "Second?"}]
    entries = [
        logged(documents[1], 1, filter="strict", acc=0.0),
        logged(documents[0], 0),
        logged(documents[1], 1, filter="none", acc=True),
    ]
    samples = make_samples(task(documents), "base", entries)
    assert [sample.id for sample in samples] == ["0", "1"]
    assert samples[1].metrics == {"acc,strict": 0.0, "acc": 1.0}
    assert [sample.cluster for sample in samples] == [source_hash(documents[0])] * 2
    assert (metric_key("acc", "none"), metric_key("acc", "strict")) == ("acc", "acc,strict")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (3, 3.0),
        (False, 0.0),
        (float("inf"), None),
        ("text", None),
        ((1, 2.5), (1.0, 2.5)),
        ((1.0, float("nan")), None),
        ((1.0,), None),
        ((1.0, "text"), None),
        (None, None),
    ],
)
def test_values_that_are_finite_numbers_are_kept(value, kept):
    documents = [{"question": "Q?"}]
    (sample,) = make_samples(task(documents), "base", [logged(documents[0], acc=value)])
    assert sample.metrics == {"acc": kept}


@pytest.mark.parametrize(
    ("values", "figure", "kind", "percent"),
    [
        ([1.0, 0.0, 1.0, 1.0], 0.75, "proportion", True),
        ([1.0, 0.5], 0.75, "mean", False),
        ([4e9, 2e9], 3e9 + 1, "mean", False),  # as exact as lm-eval's own sums
        ([4e9, 2e9], 3e9 + 10, "other", False),
        ([0.4, 0.2], 0.3 + 2e-9, "other", False),
        ([1.0, None], 1.0, "other", False),
        ([(1.0, 2.0)], 1.0, "other", False),
        ([], 0.0, "other", False),
    ],
)
def test_a_metric_that_is_the_mean_of_its_items_can_be_compared(values, figure, kind, percent):
    samples = [SimpleNamespace(metrics={"score,strict": value}) for value in values]
    (info,) = foreign_metrics(samples, {"score,strict": figure}, {"score": False})
    assert (info.key, info.title, info.kind, info.percent) == ("score,strict", "score,strict", kind, percent)
    assert info.higher_is_better is False
    (unknown,) = foreign_metrics(samples, {"score,strict": figure}, {})
    assert unknown.higher_is_better is None
