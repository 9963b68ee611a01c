"""Questions side by side: won, lost and same against the baseline, the answers in a few words, marked differences."""

import pytest

from reports.document.checksums import write_samples
from reports.document.schema import ModelInfo, Sample, TaskInfo
from reports.page.answers import side_by_side
from reports.page.digest import digest
from tests.reports.skeleton import results_of
from tests.reports.test_result_rows import ACCURACY

RIGHT, WRONG = "yes", "no"  # the gold label is yes


def questions(tmp_path, answers, *, choices=True):
    """The questions of a report, by id, from the answers of each model to questions a, b, ..."""
    models = [ModelInfo(name=name, kind="adapter", source=name, sha256=name, weights="float32") for name in answers]
    results = results_of(models=models, tasks=[TaskInfo(name="quiz", title="Quiz", metrics=[ACCURACY])])
    for model, given in answers.items():
        rows = [
            Sample(
                id=item,
                doc_hash=item,
                model=model,
                task="quiz",
                prompt=f"<|user|>Is {item}?<|end|>",
                output=answer,
                gold=RIGHT,
                metrics={"accuracy": float(answer == RIGHT)},
                choices={RIGHT: -1.0, WRONG: -1.0} if choices else None,
                finish_reason=None if choices else "stop",
            )
            for item, answer in zip("abcdef", given, strict=False)
        ]
        write_samples(tmp_path / "samples" / model / "quiz.jsonl", rows)
    (task,) = side_by_side(results, digest(tmp_path, results), 9)
    return task, {question.id: question for question in task.questions}


def test_badges_name_who_won_and_lost_and_same_is_only_what_nobody_won_or_lost(tmp_path):
    task, shown = questions(
        tmp_path,
        {
            "base": [RIGHT, WRONG, RIGHT, WRONG],
            "one": [RIGHT, RIGHT, WRONG, RIGHT],
            "two": [RIGHT, WRONG, WRONG, RIGHT],
        },
    )
    assert task.rivals == 2
    assert {item: question.badges for item, question in shown.items()} == {
        "a": [("same", ["one", "two"])],
        "b": [("won", ["one"])],
        "c": [("lost", ["one", "two"])],
        "d": [("won", ["one", "two"])],
    }
    assert [shown[item].marks for item in "abcd"] == [["same"], ["won"], ["lost"], ["won"]]
    assert shown["b"].brief == [
        ("gold", "yes", ""), ("base", "no", ""), ("one", "yes", "won"), ("two", "no", "same")
    ]  # fmt: skip
    assert shown["b"].heading == "Is b?"
    assert shown["b"].prompt == "<|user|>Is b?<|end|>"


def test_of_many_models_the_first_answers_stand_in_the_line(tmp_path):
    _, shown = questions(tmp_path, {name: [RIGHT] for name in ("base", *"uvwxyz")})
    assert [name for name, *_ in shown["a"].brief] == ["gold", "base", "u", "v", "and"]
    assert shown["a"].brief[-1][1] == "4 more"


@pytest.mark.parametrize(
    ("models", "marked"),
    [
        (["base", "one"], {"base": ["beer."], "one": ["water."]}),
        (["base", "one", "two"], {"base": [], "one": ["water."], "two": ["wine."]}),
    ],
)
def test_words_are_marked_against_the_baseline_and_in_it_only_with_one_other(tmp_path, models, marked):
    texts = {"base": "Drink a lot of beer.", "one": "Drink a lot of water.", "two": "Drink a lot of wine."}
    _, shown = questions(tmp_path, {name: [texts[name]] for name in models}, choices=False)
    answers = shown["a"].answers
    assert {answer.model: [part.text for part in answer.parts if part.differs] for answer in answers} == marked
    assert shown["a"].brief == [(name, "Accuracy no", "" if name == "base" else "same") for name in models]
