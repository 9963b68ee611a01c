"""What stays in memory of samples whose texts go to a file."""

import math

import pytest

from harness.scoring.tally import Tally
from reports.document.schema import Sample


def sample(item="1", **more):
    given = {
        "id": item,
        "doc_hash": "h",
        "model": "base",
        "task": "t",
        "prompt": "Why?",
        "output": "yes",
        "gold": "yes",
    }
    return Sample(**given | {"metrics": {"accuracy": 1.0}} | more)


def tally_of(*samples, columns=()):
    tally = Tally(columns)
    for one in samples:
        tally.add(one)
    return tally


def test_tokens_and_problems_are_summed_over_all_samples():
    tally = tally_of(
        sample(prompt_tokens=7, output_tokens=3, problems=["empty: response", "missing: </think>"]),
        sample("2", prompt_tokens=5, output_tokens=4, problems=["empty: response"]),
        sample("3"),
    )
    assert (tally.prompt_tokens, tally.output_tokens) == (12, 7)
    assert tally.problems == {"empty: response": 2, "missing: </think>": 1}


def test_a_sample_keeps_what_statistics_need_of_it():
    given = {"cluster": "c", "repeat": 2, "fields": {"ward": "7"}, "question": "Why now?"}
    (value,) = tally_of(sample(**given), columns=["ward", "other"]).values
    assert (value.id, value.doc_hash, value.model, value.task) == ("1", "h", "base", "t")
    assert (value.cluster, value.repeat, value.metrics) == ("c", 2, {"accuracy": 1.0})
    assert (value.columns, value.question_length, value.choice) == ({"ward": "7"}, len("Why now?"), None)


@pytest.mark.parametrize(("output", "right"), [("yes", 1.0), ("no", 0.0)])
def test_a_choice_has_its_probability_and_whether_it_is_right(output, right):
    choices = {"yes": math.log(0.2), "no": math.log(0.05)}
    (value,) = tally_of(sample(choices=choices, output=output)).values
    assert value.choice == (pytest.approx(0.8), right)


def test_prompts_and_golds_are_told_apart():
    one, same, other = (tally_of(sample(prompt=text)) for text in ("Why?", "Why?", "Why not?"))
    assert one.values[0].prompt_hash == same.values[0].prompt_hash != other.values[0].prompt_hash
    assert one.prompts.hexdigest() == same.prompts.hexdigest() != other.prompts.hexdigest()
    assert one.golds.hexdigest() == other.golds.hexdigest() != tally_of(sample(gold="no")).golds.hexdigest()
