"""`--data`: the user's own rows with another recipe's settings, split by seed and named after the files."""

import json

import pytest

from harness.commands.options import column_names, recipe_and_data
from harness.opening import open_run
from reports.errors import UserError
from tasks.data import DataSource
from training.recipes.own_data import run_name
from training.splits import held_out_source, training_rows


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, numbers, columns=("Prompt", "Rationale", "Answer")):
    path.parent.mkdir(exist_ok=True)
    rows = [dict(zip(columns, (f"Q{number}", f"R{number}", f"A{number}"), strict=True)) for number in numbers]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


COLUMNS = {"question": "Prompt", "reasoning": "Rationale", "answer": "Answer"}


def test_rows_are_split_by_seed_and_the_quickstart_decides_the_rest(here):
    write(here / "My Q&A.jsonl", [*range(50), 0])
    lines: list[str] = []
    recipe, folder = open_run(data="My Q&A.jsonl", columns=COLUMNS, base="some/base", seed=3, say=lines.append)
    train, scored = training_rows(recipe), held_out_source(recipe)
    assert (len(train.train), len(scored.ids)) == (40, 10)
    assert {row.id for row in train.train}.isdisjoint(scored.ids)
    assert (recipe.model.base, recipe.seed, recipe.trainer.max_steps, recipe.format.name) == (
        "some/base",
        3,
        36,
        "thinking-headings",
    )
    assert recipe.scoring.tasks == ["medbench_perplexity", "medbench_generation"]
    assert (recipe.name, str(folder.path)) == ("my-q-a", "runs/my-q-a")
    assert lines == [
        "data: My Q&A.jsonl, 50 different rows, question from Prompt, reasoning from Rationale, answer from Answer",
        "split by seed 3: 10 rows to score on, 40 to train on",
        "left out: medbench_pubmedqa, whose items are synthetic; set data.pubmedqa.source to score on others",
        "all other settings are those of quickstart; name of the run: my-q-a",
    ]


def test_settings_come_last(here):
    write(here / "rows.jsonl", range(20))
    write(here / "test.jsonl", range(100, 105))
    settings = ["data.reasoning={source: test.jsonl}", "scoring.tasks=[medbench_pubmedqa]", "name=mine"]
    recipe, _ = open_run(data=["rows.jsonl"], columns=COLUMNS, settings=settings)
    assert len(training_rows(recipe).train) == 20
    assert (recipe.name, recipe.data.reasoning_rows, recipe.scoring.tasks) == ("mine", None, ["medbench_pubmedqa"])
    recipe, _ = open_run(data=["rows.jsonl"], columns=COLUMNS, settings=["data.reasoning_rows=7"])
    assert len(training_rows(recipe).train) == 13


def test_splits_that_the_data_has_are_chosen_by_settings(here):
    for split, numbers in {"train": range(20), "test": range(100, 105)}.items():
        write(here / "data" / f"{split}.jsonl", numbers)
    with pytest.raises(UserError, match="several splits") as caught:
        open_run(data="data", columns=COLUMNS)
    assert "--set data.train.split=NAME" in caught.value.fix
    settings = ["data.train.split=train", "data.reasoning={source: data, split: test, columns: {question: Prompt}}"]
    recipe, folder = open_run(data="data", columns=COLUMNS, settings=settings)
    assert (len(training_rows(recipe).train), recipe.data.reasoning.split, folder.path.name) == (20, "test", "train")


def test_plain_texts_are_not_asked_for_answers(here):
    (here / "notes.jsonl").write_text("".join(f'{{"text": "Note {number}."}}\n' for number in range(10)))
    lines: list[str] = []
    recipe, _ = open_run(data="notes.jsonl", say=lines.append)
    assert recipe.scoring.tasks == ["medbench_perplexity"]
    assert "left out: medbench_generation, since plain texts hold no questions to answer" in lines


def test_columns_of_pubmedqa_rows_can_be_mapped(here):
    rows = [{"question": f"{n}?", "context": ["Some."], "label": "no", "long_answer": "No."} for n in range(5)]
    (here / "items.json").write_text(json.dumps(rows))
    settings = ["data.train.kind=pubmedqa", "format.name=plain"]
    recipe, _ = open_run(data="items.json", columns={"answer": "label"}, settings=settings)
    assert {row.response for row in training_rows(recipe).train} == {"No. No."}


def test_the_numbers_of_a_split_are_those_of_the_rows_that_the_format_can_use(here):
    write(here / "rows.jsonl", range(10))
    with (here / "rows.jsonl").open("a") as file:
        file.write('{"Prompt": "Q", "Answer": "A"}\n' * 5)
    lines: list[str] = []
    settings = ["data.train.unusable_rows=drop", "data.train.rows=3"]
    recipe, _ = open_run(data="rows.jsonl", columns=COLUMNS, settings=settings, say=lines.append)
    assert lines[1] == "split by seed 42: 2 rows to score on, 3 to train on"
    assert len(training_rows(recipe).train) == 3


@pytest.mark.parametrize(
    ("row", "flag"),
    [
        ({"frage": "Rest?", "answer": "No."}, "--columns question=NAME"),
        ({"question": "Rest?", "answer": "No."}, "--columns reasoning=NAME"),
        ({"prompt": "Rest?", "chosen": "No.", "rejected": "Yes."}, "--columns response=chosen"),
        ({"question": "Rest?", "final_decision": "no"}, "--set data.train.kind=pubmedqa"),
    ],
)
def test_the_way_out_is_a_flag(write_rows, row, flag):
    with pytest.raises(UserError) as caught:
        open_run(data=str(write_rows(row, row | {"id": "other"})))
    assert caught.value.fix.endswith(f"; on the command line: {flag}")


@pytest.mark.parametrize(
    ("words", "data", "recipe", "others"),
    [
        (["tiny.yaml"], None, "tiny.yaml", []),
        (["quickstart"], ["a.csv"], "quickstart", []),
        (["b.csv", "cards", "tiny.yaml"], ["a.csv"], "tiny.yaml", ["b.csv", "cards"]),
        (["b.csv", "owner/name"], ["a.csv"], None, ["b.csv", "owner/name"]),
    ],
)
def test_words_without_an_option_are_a_recipe_or_more_data(here, words, data, recipe, others):
    (here / "cards").mkdir()
    assert recipe_and_data(words, data) == (recipe, others)


def test_the_rows_of_another_recipe_are_replaced(here):
    write(here / "rows.jsonl", range(20))
    recipe, _ = open_run("llama32-3b-think", data="rows.jsonl", columns=COLUMNS)
    rows = training_rows(recipe)
    assert (len(rows.train), len(rows.validation), recipe.data.reasoning_rows) == (12, 4, 4)
    assert (recipe.format.name, recipe.scoring.tasks[0]) == (
        open_run("llama32-3b-think")[0].format.name,
        "medbench_pubmedqa",
    )


def test_several_files_are_one_source(here):
    for name in ("a", "b"):
        write(here / "Cards" / f"{name}.jsonl", [f"{name}{number}" for number in range(4)])
    lines: list[str] = []
    recipe, _ = open_run(data=["Cards/b.jsonl", "Cards/a.jsonl"], columns=COLUMNS, say=lines.append)
    assert (recipe.name, len(training_rows(recipe).train)) == ("cards", 7)
    assert lines[0].startswith("data: a.jsonl, b.jsonl, 8 different rows")
    same, _ = open_run(data="Cards/*.jsonl", columns=COLUMNS)
    assert training_rows(same).train == training_rows(recipe).train


def test_a_column_that_is_not_there_is_named_with_those_that_are(here, command):
    write(here / "rows.jsonl", range(3))
    code, _, err = command("run", "--data", "rows.jsonl", "--columns", "question=Promt,answer=Answer")
    assert code == 2
    assert "there is no column Promt" in err
    assert "Prompt, Rationale, Answer" in err
    assert "did you mean Prompt?" in err
    assert "--columns question=NAME" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "rows.jsonl"), "medbench run rows.jsonl: it belongs to no option"),
        (("plan", "quickstart", "rows.jsonl"), "medbench plan rows.jsonl: it belongs to no option"),
        (("train", "--data", "one.jsonl", "two.jsonl"), "two.jsonl, in a list: there is no such data file"),
        (
            ("plan", "--columns", "question=Prompt"),
            "--columns: there are no rows to read columns of\n  fix: add --data",
        ),
        (("run", "--data", "one.jsonl", "two.jsonl"), "two.jsonl, in a list: there is no such data file"),
        (("run", "--data", "none.csv"), "none.csv: there is no such data file"),
        (
            ("run", "--data", "one.jsonl", "--columns", "question=Prompt,reasoning=Rationale,answer=Answer"),
            "one row cannot",
        ),
        (("run", "--data", "one.jsonl", "--columns", "Prompt"), "--columns Prompt: 'Prompt' is not NAME=COLUMN"),
        (("run", "--data", "one.jsonl", "--columns", "answer=Answer,response=Answer"), "both answer and response"),
        (("run", "--data", "one.jsonl", "--columns", "a=b,a=c"), "--columns a=b,a=c: a is there twice"),
    ],
)
def test_mistakes_are_one_message(here, command, words, message):
    write(here / "one.jsonl", [1])
    code, _, err = command(*words)
    assert code == 2
    assert message in err


def test_a_column_may_have_commas_in_its_name():
    assert column_names(["question=Prompt, in full, answer=A=B", "id=No."]) == {
        "question": "Prompt, in full",
        "answer": "A=B",
        "id": "No.",
    }


@pytest.mark.parametrize(
    ("files", "source", "name"),
    [
        (["qa.csv.gz"], "qa.csv.gz", "qa"),
        (["Übung_1.JSONL"], "Übung_1.JSONL", "ubung_1"),
        (["数据.csv"], "数据.csv", "data"),
        (["con.csv"], "con.csv", "data-con"),
        (["v1.5.parquet"], "v1.5.parquet", "v1.5"),
        (["cards/a.csv", "cards/b.csv"], "cards", "cards"),
        (["cards/a.csv", "cards/b.csv"], "cards/*.csv", "cards"),
        (["cards/x/a.csv", "cards/y/b.csv"], ["cards/x/a.csv", "cards/y/b.csv"], "cards"),
        ([], "owner/Medical-QA:en", "medical-qa"),
        ([], "samples:reasoning_train", "reasoning_train"),
    ],
)
def test_a_run_is_named_after_its_data(here, files, source, name):
    for file in files:
        (here / file).parent.mkdir(parents=True, exist_ok=True)
        (here / file).write_text("x")
    assert run_name(DataSource(source=source)) == name
