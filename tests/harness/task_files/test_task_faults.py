"""Every fault of a task file is one message with file, line and a way forward; none is a traceback or a wrong score."""

import json
import re

import pytest

from harness.task_files.task_checks import METRICS
from reports.errors import UserError
from tests.harness.task_files.conftest import ROWS

ACC = {"metric": "acc", "aggregation": "mean", "higher_is_better": True}
KEYS = {
    "line 3: lm-eval knows no key 'data_set_path'": ({"data_set_path": "json"}, "did you mean dataset_path?"),
    "lm-eval computes no metric 'accc' for multiple_choice": (
        {"metric_list": [{**ACC, "metric": "accc"}]},
        "did you mean acc?",
    ),
    "lm-eval computes no metric 'perplexity' for multiple_choice": (
        {"metric_list": [{**ACC, "metric": "perplexity"}]},
        "metrics of multiple_choice: acc, acc_norm",
    ),
    "lm-eval knows no aggregation 'men'": ({"metric_list": [{**ACC, "aggregation": "men"}]}, "did you mean mean?"),
    "metric_list is a list of mappings": ({"metric_list": ["acc"]}, "write `metric_list: [{metric: acc"),
    "lm-eval knows no filter 'regexp'": (
        {"filter_list": [{"name": "x", "filter": [{"function": "regexp"}]}]},
        "did you mean regex?",
    ),
    "there is no output_type 'multiple-choice'": ({"output_type": "multiple-choice"}, "did you mean multiple_choice?"),
    "it has no dataset_path": ({"dataset_path": None}, "write `dataset_path: json`"),
    "it says no split to score": ({"test_split": None}, "write `test_split: train`"),
    "it has no doc_to_choice": ({"doc_to_choice": None}, "name a column"),
    "the name ../organs cannot be that of a file": ({"task": "../organs"}, "samples are saved"),
    "the name medbench_organs starts with medbench_": ({"task": "medbench_organs"}, "choose another name"),
    "lm-eval has a task, group or tag arc_easy of its own": ({"task": "arc_easy"}, "choose another name"),
    "medbench asks models text only": ({"doc_to_image": "image"}, "leave the task out"),
    "it runs the code that a model writes": ({"unsafe_code": True}, "leave the task out"),
    "dataset_path: json needs the files to read": ({"dataset_kwargs": None}, "write `dataset_kwargs: {data_files"),
    "the data file none.jsonl does not exist": (
        {"dataset_kwargs": {"data_files": "none.jsonl"}},
        "it starts at the task file's folder",
    ),
    "dataset_path names a file, not the kind of file": (
        {"dataset_path": "organs.jsonl", "dataset_kwargs": None},
        "write `dataset_path: json` and `dataset_kwargs: {data_files: organs.jsonl}`",
    ),
    "the data folder ./none does not exist": ({"dataset_path": "./none", "dataset_kwargs": None}, "check the path"),
    "datasets 4 runs no scripts": ({"dataset_path": "organs.py"}, "save its rows as JSON, CSV or Parquet"),
    "its data has no split 'test'": ({"test_split": "test"}, "the splits are train"),
    "its data cannot be read": ({"dataset_path": "parquet"}, "correct the data"),
    "doc_to_text cannot be filled in: 'qestion' is undefined": (
        {"doc_to_text": "{{qestion}}"},
        "did you mean question? the columns are question, choices, answer",
    ),
    "doc_to_text names no column: 'qestion'": ({"doc_to_text": "qestion"}, "did you mean question?"),
    "doc_to_target names no column: 'anwser'": ({"doc_to_target": "anwser"}, "did you mean answer?"),
    "doc_to_text is no Jinja template": ({"doc_to_text": "{{question"}, "correct the template"),
    "doc_to_choice gives no list of choices": ({"doc_to_choice": "{{question}}"}, "name a column with lists"),
}


@pytest.mark.parametrize("what", KEYS)
def test_a_fault_names_file_line_and_fix(what, write_task, load):
    changes, fix = KEYS[what]
    path = write_task(**changes)
    with pytest.raises(UserError) as caught:
        load(path)
    problem = what.removeprefix("line 3: ").replace("../organs", "'../organs'")
    assert problem in caught.value.what
    assert re.match(rf"{re.escape(str(path))}, line \d+$", caught.value.where)
    assert fix in caught.value.fix
    assert "network" not in caught.value.fix


TEXTS = {
    "task: [a": "not YAML",
    "task: !!python/object/apply:os.system ['exit']": "not YAML: could not determine a constructor for the tag",
    "- task": "a task file is a mapping of keys",
    "dataset_path: json": "it has no key task (or group)",
    "task: a\ntask: b": "the key task is given twice",
    "include: none.yaml\ntask: a": "the included file none.yaml does not exist",
    "include: organs.yaml\ntask: a": "organs.yaml includes itself",
    "task: a\ndescription: &x [*x, *x]": "not YAML",
    "group: mine\ntask: [nowhere]": "there is no task 'nowhere'",
}


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_no_task_file_is_one_error(text, write_task, load):
    path = write_task(text=text)
    with pytest.raises(UserError) as caught:
        load(path)
    assert TEXTS[text] in caught.value.what
    assert caught.value.where.startswith(str(path))
    assert caught.value.fix


def test_aliases_that_grow_without_bound_are_refused(write_task, load):
    lines = ["task: a", "a0: &a0 [x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]" for n in range(1, 9)]
    with pytest.raises(UserError, match="more than 100,000 values"):
        load(write_task(text="\n".join(lines)))


def test_all_faults_of_all_files_are_reported_together(write_task, load):
    write_task("a.yaml", task="a", output_type="choice", test_split=None)
    folder = write_task("b.yaml", task="b", dataset_kwargs={"data_files": "none.jsonl"}).parent
    with pytest.raises(UserError, match="task files have 3 faults") as caught:
        load(folder)
    assert [line.split(": ")[0].rpartition("/")[2] for line in str(caught.value).splitlines()[1:4]] == [
        "a.yaml, line 5",
        "a.yaml, line 1",
        "b.yaml, line 4",
    ]


def test_a_name_in_two_files_is_an_error_that_names_both(write_task, load):
    write_task("a.yaml")
    folder = write_task("b.yaml").parent
    with pytest.raises(UserError, match=r"the name my_organs is used twice; first in .*a\.yaml, line 1") as caught:
        load(folder)
    assert caught.value.where == f"{folder / 'b.yaml'}, line 1"


def test_a_folder_may_not_hide_a_file_without_a_task(write_task, load):
    write_task("_shared.yaml", task=None)
    write_task("organs.yaml")
    folder = write_task("typo.yaml", text="tsk: a\n").parent
    with pytest.raises(UserError, match=r"typo\.yaml: it has no key task or group, and no other file includes it"):
        load(folder)


def test_a_folder_without_task_files_and_a_missing_path_are_errors(load, tmp_path):
    with pytest.raises(UserError, match="the folder has no task files"):
        load(tmp_path)
    with pytest.raises(UserError, match=r"knows no task .* and there is no such file") as caught:
        load(tmp_path / "none.yaml")
    assert caught.value.where == f"--tasks {tmp_path / 'none.yaml'}"
    with pytest.raises(UserError) as caught:
        load("medbench_perplexity", task_paths=[str(tmp_path / "none")])
    assert caught.value.where == "scoring.task_paths"


def test_different_data_of_one_name_is_not_chosen_silently(write_task, load, tmp_path, monkeypatch):
    path = write_task()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "organs.jsonl").write_bytes((path.parent / "organs.jsonl").read_bytes())
    assert len(load(path)) == 1
    (tmp_path / "organs.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    with pytest.raises(UserError, match="stands beside the task file and in the working directory, and they differ"):
        load(path)


ITEMS: dict[str, dict] = {
    "item 1: its gold answer 3 is none of its 3 choices": {"answer": 3},
    "item 1: it has no gold answer": {"answer": None},
    "item 1: its choices are not texts (None)": {"choices": None},
    "item 1: its prompt is not a text (None)": {"question": None},
}


@pytest.mark.parametrize("what", ITEMS)
def test_items_that_lm_eval_would_count_as_wrong_are_named(what, write_task, load):
    path = write_task(rows=[ROWS[0], {**ROWS[1], **ITEMS[what]}, *ROWS[2:]], doc_to_text="question")
    with pytest.raises(UserError) as caught:
        load(path)
    assert f"1 of 4 items cannot be scored: {what}" in caught.value.what


def test_empty_data_is_an_error(write_task, load, tmp_path):
    path = write_task(dataset_path="csv", dataset_kwargs={"data_files": "empty.csv"})
    (tmp_path / "tasks" / "empty.csv").write_text("question,choices,answer\n")
    with pytest.raises(UserError) as caught:
        load(path)
    assert (caught.value.what, caught.value.where) == ("its data has no rows", f"{path}, line 2")


def test_the_metrics_that_a_task_may_name_are_registered_in_lm_eval():
    from lm_eval.api.registry import get_metric

    assert all(get_metric(name) is not None for names in METRICS.values() for name in names)
