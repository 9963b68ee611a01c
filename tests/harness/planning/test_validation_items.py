"""Which items are set aside: fresh ones stay fresh, whatever tasks, limits and shared texts there are."""

import random
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from harness.planning.lm_tasks import LoadedTask
from harness.planning.validation_items import (
    check_scored_while_training,
    choosing_items,
    item_sources,
    set_aside,
    validation_lines,
)
from reports.document.schema import TaskInfo
from reports.errors import UserError
from training.recipes.recipe_file import load_recipe

CHOICES, TEXTS, WRITTEN = "my_choices", "my_texts", "my_answers"


def task(name, documents, indices=None, kind="multiple_choice"):
    """A stand-in for a task from elsewhere, with nothing but its items."""
    own = SimpleNamespace(eval_docs=documents, OUTPUT_TYPE=kind, higher_is_better=lambda: {"acc": True})

    def make(places):
        info = TaskInfo(name=name, title=name, setting=f"{len(places)} items")
        return LoadedTask(name, own, places, None, str(places), info, remade=make)

    return make([*range(len(documents))] if indices is None else indices)


def recipe(*settings, **of):
    trainer = {"choose_by": f"{CHOICES}/acc"} | of
    given = [f"trainer.{key}={value}" for key, value in trainer.items() if value is not None]
    return load_recipe("quickstart", [*given, *settings])


def questions(count, name="q"):
    return [{"question": f"{name} {n}", "answer": n} for n in range(count)]


def shared(left, right):
    """Texts that items of two tasks have in common."""
    texts = [
        {doc[key] for doc in of.documents() for key in ("question", "context") if doc.get(key)} for of in (left, right)
    ]
    return texts[0] & texts[1]


@pytest.mark.parametrize(("total", "given", "aside"), [(60, None, 12), (3000, None, 100), (60, 30, 30), (12, 2, 2)])
def test_a_fifth_of_the_items_or_as_many_as_given_are_set_aside(total, given, aside):
    (reported,), (validation,) = set_aside([task(CHOICES, questions(total))], recipe(validation_items=given))
    assert len(validation.indices) == aside
    assert sorted(reported.indices + validation.indices) == [*range(total)]
    assert reported.set_aside == aside
    assert reported.info.setting == f"{total - aside} items, {aside} others set aside for the training's own scores"
    assert reported.items_hash != validation.items_hash


def test_a_limit_reports_the_items_that_it_reports_without():
    documents = questions(60)
    limited, plain = recipe("scoring.limit=40"), recipe("scoring.limit=40", choose_by=None, score_steps=None)
    order = random.Random(plain.seed)
    places = [*range(60)]
    order.shuffle(places)
    (reported,), (validation,) = set_aside([task(CHOICES, documents, sorted(places[:40]))], limited)
    assert reported.indices == sorted(places[:40])
    assert validation.indices == sorted(places[-12:])
    whole = task(CHOICES, documents)
    assert set_aside([whole], plain) == ([whole], [])


@pytest.mark.parametrize("seed", range(20))
def test_items_with_a_text_in_common_are_on_the_same_side_in_every_task(seed):
    """Questions about shared contexts, asked in three tasks, some of them twice and in another order."""
    drawn = random.Random(seed)
    contexts = [f"context {n}" for n in range(25)]
    documents = [{"question": f"q {n % 70}", "context": drawn.choice(contexts)} for n in range(80)]
    others = [{"question": doc["question"]} for doc in drawn.sample(documents, 60)]
    written = [{"context": context} for context in contexts] + questions(9, "other")
    tasks = [
        task(CHOICES, documents),
        task(TEXTS, others, kind="loglikelihood"),
        task(WRITTEN, written, kind="generate_until"),
    ]
    reported, validation = set_aside(tasks, recipe(f"seed={seed}", score_steps=5))
    assert [one.name for one in validation] == [CHOICES, TEXTS]
    for choosing in validation:
        assert len(choosing.indices) >= 12
        for one in reported:
            assert shared(one, choosing) == set()
    assert all(len(one.indices) >= 2 for one in reported)


def test_a_text_that_most_items_have_in_common_is_not_a_source():
    documents = [{"question": f"q {n}", "context": "Answer with yes or no."} for n in range(50)]
    (reported,), (validation,) = set_aside([task(CHOICES, documents)], recipe())
    assert (len(reported.indices), len(validation.indices)) == (40, 10)
    assert len(item_sources(validation)) == 10


def test_items_with_nothing_but_such_a_text_are_on_one_side_each():
    documents = [{"context": "Answer with yes or no.", "answer": n} for n in range(50)]
    (reported,), (validation,) = set_aside([task(CHOICES, documents)], recipe())
    assert sorted(reported.indices + validation.indices) == [*range(50)]


def test_no_item_is_lost_when_pairs_share_a_text_or_tasks_ask_about_the_same():
    pairs = [{"question": f"q {n}", "context": f"context {n // 2}"} for n in range(60)]
    (reported,), (validation,) = set_aside([task(CHOICES, pairs)], recipe())
    assert len(reported.indices) + len(validation.indices) == 60
    same = [task(CHOICES, questions(60)), task(TEXTS, questions(60)[::-1], kind="loglikelihood")]
    reported_tasks, validation_tasks = set_aside(same, recipe(score_steps=5))
    assert [len(one.indices) for one in reported_tasks] == [48, 48]
    assert shared(*validation_tasks) == {f"q {place}" for place in validation_tasks[0].indices}


def test_the_items_that_choose_are_the_same_whatever_else_is_scored():
    """Else an adapter would not be recognised as trained if it is scored on fewer tasks."""
    choices, texts = task(CHOICES, questions(60)), task(TEXTS, questions(60)[::-1], kind="loglikelihood")
    given, chosen = recipe(score_steps=5), []
    for tasks in ([choices], [choices, texts], [texts, choices]):
        _, validation = set_aside(tasks, given)
        assert [one.name for one in validation] == [one.name for one in tasks]
        chosen.append(choosing_items(validation, given))
    assert chosen[0] == chosen[1] == chosen[2]


def test_only_what_compares_log_likelihoods_is_scored_while_training():
    tasks = [task(CHOICES, questions(50)), task(WRITTEN, questions(50, "w"), kind="generate_until")]
    by_answers = recipe(choose_by=f"{WRITTEN}/acc", score_steps=5)
    _, validation = set_aside(tasks, by_answers)
    assert validation_lines(validation, by_answers) == [
        f"set aside: 10 items of {CHOICES} are scored every 5 steps",
        f"set aside: 10 items of {WRITTEN} choose the checkpoint by {WRITTEN}/acc",
    ]
    _, (chosen,) = set_aside(tasks, recipe(choose_by=f"{WRITTEN}/acc"))
    assert chosen.name == WRITTEN


def test_what_stops_a_training_has_to_be_scored_without_generating():
    tasks = [task(CHOICES, questions(50)), task(WRITTEN, questions(50, "w"), kind="generate_until")]
    stops = {"score_steps": 5, "early_stopping_patience": 2}
    for by, stopped in ((CHOICES, True), (WRITTEN, False)):
        given = recipe(choose_by=f"{by}/acc", **stops)
        _, validation = set_aside(tasks, given)
        with nullcontext() if stopped else pytest.raises(UserError, match=f"no scores in {WRITTEN}/acc to stop by"):
            check_scored_while_training(validation, given)


def test_a_trained_adapter_can_be_scored_on_tasks_that_only_generate():
    """The training needs others; what it was scored on does not matter afterwards."""
    written, given = task(WRITTEN, questions(50), kind="generate_until"), recipe(choose_by=None, score_steps=5)
    assert set_aside([written], given) == ([written], [])
    with pytest.raises(UserError, match="none of the tasks compares log-likelihoods"):
        check_scored_while_training([], given)


@pytest.mark.parametrize(
    ("total", "given", "message", "fix"),
    [
        (40, None, "a fifth of the 40 items of my_choices is too few", "trainer.validation_items=20"),
        (12, 11, "setting 11 of the 12 items of my_choices aside leaves too few", "trainer.validation_items=2"),
    ],
)
def test_too_few_items_are_one_message(total, given, message, fix):
    with pytest.raises(UserError, match=message) as error:
        set_aside([task(CHOICES, questions(total))], recipe(validation_items=given))
    assert fix in error.value.fix


def test_a_task_whose_items_are_all_set_aside_is_one_message():
    tasks = [task(CHOICES, questions(50)), task(WRITTEN, questions(3), kind="generate_until")]
    with pytest.raises(UserError, match="all items of my_answers are among those set aside"):
        set_aside(tasks, recipe(validation_items=48))
