"""`--questions`: the user's own multiple-choice questions beside the recipe's tasks. All questions are invented."""

import json
import random

import pytest
import yaml

from harness.opening import open_run
from reports.errors import UserError

TASKS = ["medbench_pubmedqa", "medbench_perplexity", "medbench_generation"]
ROW = {"question": "Which drug?", "options": ["one", "two", "three"], "answer": "two"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_questions_are_scored_beside_the_recipes_tasks(here):
    (here / "mine.jsonl").write_text(json.dumps(ROW) + "\n")
    lines: list[str] = []
    recipe, folder = open_run(questions="mine.jsonl", say=lines.append)
    assert recipe.scoring.tasks == [*TASKS, "medbench_questions"]
    assert (recipe.data.questions.source, recipe.name, str(folder.path)) == (
        "mine.jsonl",
        "quickstart",
        "runs/quickstart",
    )
    read, scored_by = lines
    assert read == (
        "questions: mine.jsonl, 1 rows read as multiple-choice (question: question, answer: answer, options: options;"
        " answers: texts of the options); 0 duplicates removed, 0 unusable left out"
    )
    assert scored_by == "scored by medbench_questions, options shuffled by seed 42"
    settings = ["scoring.tasks=[medbench_questions_reasoned]"]
    assert open_run(questions=["mine.jsonl"], settings=settings)[0].scoring.tasks == ["medbench_questions_reasoned"]


def test_the_heading_of_the_report_names_the_questions(here):
    (here / "mine.jsonl").write_text(json.dumps(ROW) + "\n")

    def title(**given):
        return open_run(questions="mine.jsonl", **given)[0].report.title

    assert title() == "Quickstart on synthetic samples, own questions"
    assert title(tasks=["medbench_questions", "medbench_questions_reasoned"]) == "Own questions"
    assert title(tasks=["medbench_questions", "medbench_pubmedqa"]) == "Quickstart on synthetic samples, own questions"
    assert title(settings=["report.title=Ward 7"]) == "Ward 7"
    recipe, folder = open_run(questions="mine.jsonl", out="run")
    folder.path.mkdir()
    folder.recipe.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    assert title(out="run") == "Quickstart on synthetic samples, own questions"


def test_questions_go_with_data(here):
    (here / "mine.jsonl").write_text(json.dumps(ROW) + "\n")
    rows = [{"question": f"Q{number}", "reasoning": "R", "answer": f"A{number}"} for number in range(20)]
    (here / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe, _ = open_run(data="rows.jsonl", questions="mine.jsonl")
    assert recipe.scoring.tasks == ["medbench_perplexity", "medbench_generation", "medbench_questions"]
    assert (recipe.data.train.source, recipe.data.questions.source) == ("rows.jsonl", "mine.jsonl")


def test_columns_are_those_of_the_questions_unless_there_is_data_too(here):
    (here / "mine.csv").write_text("Stem,w,x,y,Key\nWhich?,one,two,three,2\nWhat?,one,two,three,3\n")
    columns = {"question": "Stem", "options": "w|x|y", "answer": "Key"}
    recipe, _ = open_run(questions="mine.csv", columns=columns)
    assert recipe.data.questions.columns == columns
    with pytest.raises(UserError, match="they could be those of --data or of --questions"):
        open_run(data="mine.csv", questions="mine.csv", columns=columns)


def test_the_columns_of_data_and_of_questions_can_both_be_set(here):
    (here / "mine.csv").write_text("Stem,w,x,y,Key\nWhich?,one,two,three,2\nWhat?,one,two,three,3\n")
    (here / "rows.csv").write_text("Frage,Antwort\n" + "".join(f"Q{n},A{n}\n" for n in range(9)))
    settings = [
        "data.train.columns={question: Frage, response: Antwort}",
        "data.questions.columns={question: Stem, options: w|x|y, answer: Key}",
        "format.name=plain",
    ]
    recipe, _ = open_run(data="rows.csv", questions="mine.csv", settings=settings)
    assert recipe.data.train.columns == {"question": "Frage", "response": "Antwort"}
    assert recipe.data.questions.columns == {"question": "Stem", "options": "w|x|y", "answer": "Key"}
    assert recipe.scoring.tasks == ["medbench_perplexity", "medbench_generation", "medbench_questions"]


def test_questions_take_no_place_of_the_tasks_that_data_has_instead_of_synthetic_items(here):
    (here / "mine.jsonl").write_text(json.dumps(ROW) + "\n")
    rows = [{"question": f"Q{number}", "reasoning": "R", "answer": f"A{number}"} for number in range(20)]
    (here / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe, _ = open_run()
    value = recipe.model_dump(mode="json") | {"scoring": {"tasks": ["medbench_pubmedqa"]}}
    (here / "own.yaml").write_text(yaml.safe_dump(value))
    recipe, _ = open_run("own.yaml", data="rows.jsonl", questions="mine.jsonl")
    assert recipe.scoring.tasks == ["medbench_perplexity", "medbench_generation", "medbench_questions"]


def test_questions_that_no_task_scores_are_noted(here):
    (here / "mine.jsonl").write_text(json.dumps(ROW) + "\n")
    lines: list[str] = []
    open_run(settings=["data.questions.source=mine.jsonl"], say=lines.append)
    (note,) = lines
    assert note == (
        "note: data.questions is set, but no task scores it; to score it: --tasks"
        " medbench_pubmedqa,medbench_perplexity,medbench_generation,medbench_questions"
    )
    lines.clear()
    open_run(settings=["data.questions.source=mine.jsonl"], tasks=["medbench_questions"], say=lines.append)
    assert lines == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "--questions", "none.csv"), "none.csv: there is no such data file"),
        (("score", "mine.csv"), "medbench score mine.csv: it belongs to no option"),
        (("run", "--data", "a", "--questions", "b", "c"), "medbench run c: it could belong to --data or --questions"),
        (
            ("score", "--questions", "mine.csv", "--tasks", "medbench_pubmedqa"),
            "--questions: no task scores the questions\n  fix: add one of medbench_questions, medbench_questions_",
        ),
        (
            ("plan", "--questions", "mine.csv"),
            "line 2), like 1 more\n  fix: say how they are read: --set data.questions",
        ),
        (
            ("score", "--tasks", "medbench_questions", "--models", "base", "--recipe", "RECIPE"),
            "data.questions: no questions are given\n  fix: add --questions FILE",
        ),
    ],
)
def test_mistakes_are_one_message(here, command, tiny_recipe, words, message):
    (here / "mine.csv").write_text("question,A,B,C,answer\nWhich?,one,two,three,2\nWhat?,one,two,three,1\n")
    code, _, err = command(*(str(tiny_recipe) if word == "RECIPE" else word for word in words))
    assert code == 2
    assert message in err


def invented(count):
    """Questions with 4 or 5 options and the position of the right one."""
    draw = random.Random(1)
    for number in range(count):
        options = [f"{place + 2} drops of the drug {number}-{place} at sunset" for place in range(draw.choice([4, 5]))]
        yield f"Which invented drug helps most of the patients with sign {number}?", options, draw.randrange(4)


def in_four_shapes(folder, count):
    """The same questions as CSV with columns, JSONL with a list, JSON with an object, Parquet numbered from 1."""
    import pandas as pd

    rows = list(invented(count))
    columns = [dict(zip("ABCDE", [*options, ""], strict=False)) for _, options, _ in rows]
    table = [
        {"Question": q, **cells, "Answer": "ABCDE"[gold]} for (q, _, gold), cells in zip(rows, columns, strict=True)
    ]
    pd.DataFrame(table).to_csv(folder / "columns.csv", index=False)
    lines = [{"question": q, "options": options, "answer": options[gold]} for q, options, gold in rows]
    (folder / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    objects = [
        {"stem": q, "choices": dict(zip("ABCDE", options, strict=False)), "answer_idx": "ABCDE"[gold]}
        for q, options, gold in rows
    ]
    (folder / "objects.json").write_text(json.dumps({"data": objects}))
    numbered = [
        {"question": q, **{f"op{n}": cells.get(n.upper()) for n in "abcde"}, "cop": gold + 1}
        for (q, _, gold), cells in zip(rows, columns, strict=True)
    ]
    pd.DataFrame(numbered).to_parquet(folder / "numbers.parquet")
    return ["columns.csv", "list.jsonl", "objects.json", "numbers.parquet"]


def samples_of(run, task):
    lines = (run / "samples" / "base" / f"{task}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_2000_questions_in_four_shapes_are_the_same_questions_with_the_same_scores(here, tiny_recipe, without_plots):
    import harness

    runs = []
    for name in in_four_shapes(here, 2000):
        tasks, out = ["medbench_questions"], here / f"run-{name}"
        results = harness.score(str(tiny_recipe), questions=name, models="base", tasks=tasks, out=out, quiet=True)
        samples = samples_of(out, "medbench_questions")
        assert results.tasks[0].setting == f"{name}, all rows; 6 of 2000 items drawn by seed"
        runs.append(
            (
                [
                    (one["id"], one["prompt"], one["gold"], one["output"], one["fields"]["options_order"])
                    for one in samples
                ],
                [(score.metric, score.value) for score in results.scores],
                [source.sha256 for source in results.data],
            )
        )
    assert runs == [runs[0]] * 4
    assert [metric for metric, _ in runs[0][1]] == [
        "accuracy",
        "accuracy_calibrated",
        "brier",
        "log_score",
        "ece",
        "position_spread",
    ]


@pytest.fixture(scope="module")
def scored(tiny_recipe, tmp_path_factory):
    """A run of both tasks on forty questions, with the rows of the training in it."""
    import harness

    folder = tmp_path_factory.mktemp("both")
    in_four_shapes(folder, 40)
    (first, options, _), (second, *_) = invented(2)
    listed = "\n".join(f"{letter}) {option}" for letter, option in zip("ABCDE", options, strict=False))
    trained = [{"question": q, "reasoning": "Invented.", "answer": "Yes."} for q in (f"{first}\n{listed}", second)]
    rows = [{"question": f"What is sign {n}?", "reasoning": "Invented.", "answer": f"Sign {n}."} for n in range(8)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, *trained]))
    settings = [
        f"data.train={{source: {folder / 'rows.jsonl'}}}",
        "data.validation_rows=null",
        "trainer.eval_steps=null",
        "trainer.max_steps=1",
        "scoring.limit=null",
        "scoring.noise_items=0",
    ]
    harness.run(
        str(tiny_recipe),
        questions=str(folder / "columns.csv"),
        tasks=["medbench_questions", "medbench_questions_reasoned"],
        out=folder / "run",
        settings=settings,
        quiet=True,
    )
    return folder


def test_the_report_shows_truncation_position_effect_and_both_ways_of_answering(scored):
    report = (scored / "run" / "report.md").read_text(encoding="utf-8")
    results = json.loads((scored / "run" / "results.json").read_text(encoding="utf-8"))
    reasoned = next(task for task in results["tasks"] if task["name"] == "medbench_questions_reasoned")
    assert [metric["key"] for metric in reasoned["metrics"]] == ["accuracy", "truncated", "answered", "position_spread"]
    assert results["verdict"][0].startswith(
        "Truncated reasoning: the limit of 12 new tokens cut 100.0 % of the answers of base to Own questions, reasoned,"
        " 40 items of columns.csv"
    )
    assert "### Log-likelihood and reasoning" in report
    assert "### Position effect" in report
    effect = next(one for one in results["positions"] if (one["model"], one["task"]) == ("base", "medbench_questions"))
    accuracy = next(one["value"] for one in results["scores"] if (one["model"], one["metric"]) == ("base", "accuracy"))
    assert sum(count["gold"] for count in effect["counts"]) == sum(count["chosen"] for count in effect["counts"]) == 40
    assert sum(count["correct"] for count in effect["counts"]) / 40 == accuracy


def test_questions_that_are_trained_on_are_named_by_line(scored):
    matches = json.loads((scored / "run" / "results.json").read_text(encoding="utf-8"))["overlap"]["matches"]
    named = {(match["task"], match["kind"], match["item_source"], match["row_source"]) for match in matches}
    assert named == {
        (task, kind, f"columns.csv, line {line}", f"rows.jsonl, line {row}")
        for task in ("medbench_questions", "medbench_questions_reasoned")
        for kind, line, row in (("near", 2, 9), ("n-gram", 3, 10))  # with its options, and without
    }


def test_prompts_and_scores_are_those_of_stock_lm_eval(scored, tiny_model, tiny_recipe, tmp_path):
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    import harness
    from tasks.catalog import CONFIG_FOLDER

    source = str(scored / "columns.csv")
    settings = ["quantization.method=none", "scoring.limit=null"]
    tasks = ["medbench_questions", "medbench_questions_reasoned"]
    results = harness.score(
        str(tiny_recipe), questions=source, models="base", tasks=tasks, out=tmp_path, settings=settings, quiet=True
    )
    ours = {(score.task, score.metric): score.value for score in results.scores}
    metadata = {"questions": source, "seed": 7, "pretrained": str(tiny_model)}
    stock = simple_evaluate(
        "hf",
        model_args=f"pretrained={tiny_model},dtype=float32,softmax_dtype=float32",
        tasks=tasks,
        device="cpu",
        batch_size=8,
        bootstrap_iters=0,
        gen_kwargs="max_gen_toks=12",
        task_manager=TaskManager(include_path=str(CONFIG_FOLDER), include_defaults=False, metadata=metadata),
    )
    for task in tasks:
        prompts = {one["id"]: one["prompt"] for one in samples_of(tmp_path, task)}
        assert prompts == {one["doc"]["id"]: one["arguments"][0][0] for one in stock["samples"][task]}
        values = {
            key.removesuffix(",none"): value for key, value in stock["results"][task].items() if key.endswith(",none")
        }
        values = {key: value for key, value in values.items() if not key.endswith("_stderr")}
        assert {key: ours[task, key] for key in values} == pytest.approx(values, rel=1e-4)
