"""Tasks in users' own files: named by path or through the recipe, alone, in folders and in groups."""

import json

import pytest
from lm_eval.tasks import TaskManager

from harness.runs.unchanged import input_hashes
from harness.scoring.questions import make_questions
from harness.task_files.lm_eval_names import possible_names
from reports.document.reading import read_results
from tests.harness.task_files.conftest import ROWS, TASK
from training.recipes.recipe_file import load_recipe

pytestmark = pytest.mark.usefixtures("without_plots")


def names(tasks):
    return [task.name for task in tasks]


def test_a_file_is_scored_beside_tasks_by_name(write_task, tiny_recipe, tmp_path, command):
    words = ("--recipe", tiny_recipe, "--models", "base", "--out", tmp_path / "run")
    tasks = f"{write_task()},medbench_perplexity"
    code, out, err = command("score", *words, "--tasks", tasks)
    assert code == 0, err
    assert "my_organs: organs.yaml, 4 of 4 items" in out
    results = read_results(tmp_path / "run")
    assert {task.name: task.setting for task in results.tasks}["my_organs"] == "organs.yaml, 4 of 4 items"
    assert {data.role: data.source for data in results.data}["my_organs"] == "organs.yaml"
    assert str(tmp_path / "tasks") not in (tmp_path / "run" / "results.json").read_text().replace(tasks, "")
    code, out, _ = command("score", *words, "--tasks", "my_organs", "--set", f"scoring.task_paths=[{tmp_path}/tasks]")
    assert "base, my_organs: answered already, kept" in out


@pytest.mark.parametrize("start", ["tasks", "."])
def test_prompts_choices_and_targets_are_those_of_stock_lm_eval(start, write_task, load, tmp_path, monkeypatch):
    path = write_task()
    (path.parent / "organs.jsonl").rename(tmp_path / start / "organs.jsonl")
    monkeypatch.chdir(tmp_path / start)
    (own,) = load(path)
    stock = TaskManager(include_path=str(path.parent), include_defaults=False).load(["my_organs"])["tasks"]["my_organs"]
    requests = []
    for task in (own.task, stock):
        task.set_fewshot_seed(0)
        task.build_all_requests()
        requests.append([instance.args for instance in task.instances])
    assert requests[0] == requests[1]
    assert requests[0][4] == ("Which organ filters blood?\nAnswer:", " Ear")


def test_paths_of_a_recipe_start_at_the_working_directory_like_those_of_data(write_task, load, tmp_path, monkeypatch):
    write_task()
    monkeypatch.chdir(tmp_path)
    assert names(load("my_organs", task_paths=["tasks/organs.yaml"])) == ["my_organs"]
    assert names(load("my_organs", task_paths=["tasks"])) == ["my_organs"]
    assert names(load("tasks/organs.yaml")) == names(load("tasks/")) == names(load("tasks")) == ["my_organs"]


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "json"])
def test_local_data_may_be_in_any_table(kind, write_task, load, tmp_path):
    import pandas as pd

    rows = pd.DataFrame([{"q": row["question"], "a": row["choices"][row["answer"]]} for row in ROWS])
    file = tmp_path / "tasks" / f"table.{kind}"
    file.parent.mkdir()
    if kind == "parquet":
        rows.to_parquet(file)
    elif kind == "json":
        rows.to_json(file, orient="records")
    else:
        rows.to_csv(file, index=False, sep="\t" if kind == "tsv" else ",")
    path = write_task(
        dataset_path="csv" if kind == "tsv" else kind,
        dataset_kwargs={"data_files": {"test": file.name}} | ({"sep": "\t"} if kind == "tsv" else {}),
        test_split="test",
        doc_to_text="q",
        doc_to_choice=["Heart", "Kidney", "Red cells", "Liver"],
        doc_to_target="a",
    )
    (task,) = load(path)
    assert [task.task.doc_to_target(row) for row in task.documents()] == ["Heart", "Kidney", "Red cells", "Liver"]


def test_a_data_folder_is_looked_for_beside_the_file(write_task, load, tmp_path):
    path = write_task(dataset_path="rows", dataset_kwargs=None, test_split="test")
    (tmp_path / "tasks" / "rows").mkdir()
    (tmp_path / "tasks" / "organs.jsonl").rename(tmp_path / "tasks" / "rows" / "test.jsonl")
    assert len(load(path)[0].indices) == 4


def test_included_files_and_aliases_are_merged_as_lm_eval_does(write_task, load):
    write_task("_base.yaml", task=None, doc_to_text="Q: {{question}}")
    path = write_task("variant.yaml", text="include: _base.yaml\ntask: variant\ndescription: &hint 'Think. '\n")
    (task,) = load(path.parent)
    assert task.name == "variant"
    assert task.task.doc_to_text(ROWS[0]) == "Q: Which organ pumps blood?"
    assert task.file == "variant.yaml"


def test_a_group_brings_the_tasks_of_its_folder_and_those_written_in_it(write_task, load):
    write_task()
    inline = {**TASK, "task": "inline", "dataset_kwargs": {"data_files": "organs.jsonl"}}
    group = write_task(
        "group.yaml", text=json.dumps({"group": "mine", "task": ["my_organs", inline], "num_fewshot": 1})
    )
    alone, grouped = load("my_organs", task_paths=[str(group.parent)]), load(group)
    assert names(grouped) == ["my_organs", "inline"]
    assert [task.task.config.num_fewshot for task in (*alone, *grouped)] == [None, 1, 1]
    assert alone[0].items_hash != grouped[0].items_hash
    assert names(load(group.parent)) == ["my_organs", "inline"]


def test_a_tag_is_a_name_too(write_task, load):
    path = write_task(tag="organ_tasks")
    assert names(load("organ_tasks", task_paths=[str(path)])) == ["my_organs"]


CHANGES = {
    "prompt": {"doc_to_text": "{{question}} Answer:"},
    "metric": {"metric_list": [{"metric": "acc_norm", "aggregation": "mean", "higher_is_better": True}]},
    "delimiter": {"target_delimiter": "\n"},
    "rows": {"rows": ROWS[::-1]},
}


def test_a_setting_that_a_group_gives_its_tasks_changes_their_hash(write_task, load):
    write_task()
    hashes = []
    for setting in ({}, {"description": "Think. "}, {"description": "Hurry. "}):
        group = write_task("group.yaml", text=json.dumps({"group": "mine", "task": ["my_organs"], **setting}))
        hashes.append(load(group)[0].items_hash)
    assert hashes[0] == load("my_organs", task_paths=[str(group.parent)])[0].items_hash
    assert len(set(hashes)) == 3


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_prompts_targets_or_metrics_changes_the_hash(change, write_task, load):
    before = load(write_task())[0].items_hash
    assert load(write_task())[0].items_hash == before
    assert load(write_task(**CHANGES[change]))[0].items_hash != before


def test_an_included_file_counts_and_the_folder_does_not(write_task, load, tmp_path):
    write_task("_base.yaml", task=None)
    path = write_task("variant.yaml", text="include: _base.yaml\ntask: variant\n")
    before = load(path)[0].items_hash
    path.parent.rename(tmp_path / "moved")
    assert load(tmp_path / "moved" / "variant.yaml")[0].items_hash == before
    text = (tmp_path / "moved" / "_base.yaml").read_text()
    (tmp_path / "moved" / "_base.yaml").write_text(text.replace("Answer:", "Reply:"))
    assert load(tmp_path / "moved" / "variant.yaml")[0].items_hash != before


def test_few_shot_rows_of_another_split_count(write_task, load, tmp_path):
    files = {"test": "organs.jsonl", "shots": "shots.jsonl"}
    shots = tmp_path / "tasks" / "shots.jsonl"
    hashes = []
    for rows in (ROWS[:2], ROWS[2:]):
        path = write_task(dataset_kwargs={"data_files": files}, test_split="test", fewshot_split="shots", num_fewshot=1)
        shots.write_text("".join(json.dumps(row) + "\n" for row in rows))
        hashes.append(load(path)[0].items_hash)
    assert hashes[0] != hashes[1]


def test_a_sweep_sees_that_a_task_file_or_its_rows_changed(write_task, tiny_recipe):
    path = write_task()
    recipe = load_recipe(str(tiny_recipe), [f"scoring.tasks=[{path}]"])
    before = input_hashes(recipe)
    assert {str(path), str(path.parent / "organs.jsonl")} < before.keys()
    write_task(rows=ROWS[:3])
    after = input_hashes(recipe)
    assert [file for file in before if before[file] != after[file]] == [str(path.parent / "organs.jsonl")]


def test_every_model_is_asked_the_same_few_shot_examples_again(write_task, load, tiny_model):
    from harness.scoring.lm import RequestMaker
    from tasks.rendering import load_tokenizer

    (task,) = load(write_task(num_fewshot=2))
    maker = RequestMaker(load_tokenizer(str(tiny_model)), 0)
    requests = [make_questions(task, maker, seed=3).by_type for _ in range(2)]
    assert requests[0] == requests[1]


@pytest.mark.slow
def test_no_name_of_lm_eval_is_overlooked():
    assert set(TaskManager().task_index) <= possible_names()
