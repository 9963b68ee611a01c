"""The data that ships with medbench: enough of it, labelled, and held-out rows held out."""

from collections import Counter

from tasks.data import DataSource, load_pubmedqa, load_reasoning
from tasks.data.source import SAMPLES_FOLDER


def rows(name):
    return load_reasoning(DataSource(source=f"samples:{name}"), seed=0)


def test_there_are_enough_reasoning_rows_and_none_is_in_both_sets():
    train, heldout = rows("reasoning_train"), rows("reasoning_heldout")
    assert len(train) >= 96
    assert len(heldout) >= 32
    assert not {row.question for row in train} & {row.question for row in heldout}
    assert not {row.response for row in train} & {row.response for row in heldout}


def test_pubmedqa_items_have_roughly_the_official_shares():
    items = load_pubmedqa(DataSource(source="samples:pubmedqa"), seed=0)
    shares = {label: count / len(items) for label, count in Counter(item.answer for item in items).items()}
    assert len(items) >= 60
    for label, official in {"yes": 0.552, "no": 0.338, "maybe": 0.110}.items():
        assert abs(shares[label] - official) < 0.03


def test_the_samples_say_that_they_are_synthetic():
    assert "synthetic" in (SAMPLES_FOLDER / "README.md").read_text(encoding="utf-8").lower()
