"""Overlap of training rows and test items: planted copies are found, clean data stays clean."""

import random
import time

import pytest

from tasks.data import DataSource, load_pubmedqa, load_reasoning
from tasks.overlap import Passage, TrainingIndex
from tasks.words import words

TRAIN = load_reasoning(DataSource(source="samples:reasoning_train"), seed=0)
HELD_OUT = load_reasoning(DataSource(source="samples:reasoning_heldout"), seed=0)
PUBMEDQA = load_pubmedqa(DataSource(source="samples:pubmedqa"), seed=0)


def reasoning(rows):
    return [
        Passage(row.id, part, text)
        for row in rows
        for part, text in (("question", row.question), ("answer", f"{row.reasoning} {row.response}"))
    ]


def pubmedqa(items):
    return [
        Passage(item.id, part, text)
        for item in items
        for part, text in (("question", item.question), ("context", " ".join(item.contexts)))
    ]


def find(rows, items):
    return {found.item: found for found in TrainingIndex(rows).find(items)}


def reworded(text, generator):
    """The text with one word put in another's place."""
    parts = text.split()
    parts[generator.randrange(len(parts))] = "reportedly"
    return " ".join(parts)


def test_the_samples_are_clean():
    assert find(reasoning(TRAIN), reasoning(HELD_OUT)) == {}
    assert find(reasoning(TRAIN), pubmedqa(PUBMEDQA)) == {}


@pytest.mark.parametrize("seed", range(5))
def test_three_copied_and_two_reworded_questions_are_found_and_no_more(seed):
    generator = random.Random(seed)
    chosen = generator.sample(PUBMEDQA, 5)
    planted = [
        Passage(f"planted {item.id}", "question", item.question if n < 3 else reworded(item.question, generator))
        for n, item in enumerate(chosen)
    ]
    found = find(reasoning(TRAIN) + planted, pubmedqa(PUBMEDQA))
    assert {item: each.row for item, each in found.items()} == {each.id: f"planted {each.id}" for each in chosen}
    assert [found[each.id].kind for each in chosen] == ["exact"] * 3 + ["near"] * 2
    assert all(found[each.id].share == 1 for each in chosen[:3])


def test_a_question_is_the_same_whatever_its_case_punctuation_and_letters():
    found = find(
        [Passage("row", "question", "IS \uff21\uff23\uff34H (fasting) raised?")],
        [Passage("i", "question", "is acth fasting raised")],
    )
    assert found["i"].kind == "exact"


def test_an_abstract_inside_a_training_answer_is_found_by_its_runs_of_words():
    item = PUBMEDQA[3]
    row = Passage("row", "answer", f"As was written: {item.contexts[1]} So it is.")
    found = find([row], pubmedqa(PUBMEDQA))
    assert list(found) == [item.id]
    length = [len(words(text)) for text in item.contexts]
    assert (found[item.id].kind, found[item.id].part) == ("n-gram", "context")
    assert found[item.id].share == pytest.approx(length[1] / sum(length), abs=1e-4)


def test_a_short_question_inside_a_long_prompt_is_found():
    found = find(
        [Passage("row", "question", "Read this and say. Does zinc shorten the common cold in adults? Answer:")],
        [Passage("i", "question", "Does zinc shorten the common cold in adults?")],
    )
    assert (found["i"].kind, found["i"].share) == ("n-gram", 1.0)


def test_stock_phrases_are_no_overlap():
    phrase = "Which of the following is the most appropriate next step in the management of this patient?"
    rows = [Passage(str(n), "question", f"{row.question} {phrase}") for n, row in enumerate(TRAIN[:20])]
    items = [Passage(row.id, "question", f"{row.question} {phrase}") for row in HELD_OUT]
    assert [found for found in find(rows, items).values() if found.kind == "n-gram"] == []


def test_each_item_is_told_once_with_the_row_that_shares_most():
    question = HELD_OUT[0].question
    rows = [Passage("near", "question", reworded(question, random.Random(0))), Passage("same", "question", question)]
    found = find(rows, reasoning(HELD_OUT[:1]))
    assert (found[HELD_OUT[0].id].row, found[HELD_OUT[0].id].rows) == ("same", 2)


def test_empty_texts_match_nothing():
    assert find([Passage("row", "question", "...")], [Passage("i", "question", "?"), Passage("j", "context", "")]) == {}


def test_thousands_of_rows_take_seconds():
    generator = random.Random(0)
    vocabulary = [f"w{n}" for n in range(20_000)]

    def text(length):
        return " ".join(generator.choices(vocabulary, k=length))

    rows = [
        Passage(str(n), part, text(size)) for n in range(3000) for part, size in (("question", 40), ("answer", 300))
    ]
    items = [
        Passage(str(n), part, text(size)) for n in range(500) for part, size in (("question", 15), ("context", 200))
    ]
    started = time.process_time()
    assert find(rows, [*items, Passage("copy", "context", rows[1].text)]).keys() == {"copy"}
    assert time.process_time() - started < 10
