"""Code of task files runs only if the recipe allows it, and templates run in a sandbox in any case."""

import json

import pytest

from reports.errors import UserError
from tests.harness.task_files.conftest import ROWS, TASK

# Code that leaves a file behind wherever it runs, also at import.
UTILS = """from pathlib import Path

Path(__file__).with_name("ran").touch()


def shout(doc):
    return doc["question"].upper()
"""
SHOUT = "include: organs.yaml\ntask: shouted\ndoc_to_text: !function utils.shout\n"
CODE = {
    SHOUT: "line 3: it would run Python code, which is not allowed: doc_to_text: !function utils.shout",
    "task: a\nclass: !function utils.Task\n": "class: !function utils.Task",
    "task: a\nclass: utils.Task\n": "class: utils.Task is Python code",
    "task: a\ncustom_dataset: !function utils.rows\n": "custom_dataset: !function utils.rows",
    "task: a\ndataset_path: pandas\n": "dataset_path: reads pickled files",
    "task: a\nmetric_list: [{metric: !function utils.score}]\n": "metric_list.0.metric: !function utils.score",
    "task: a\nmetric_list: [{metric: ./score.py, hf_evaluate: true}]\n": "hf_evaluate: downloads the metric's script",
    "task: a\nfilter_list: [{name: x, filter: [{function: custom, filter_fn: !function utils.f}]}]\n": "filter_fn",
    "task: a\nuse_prompt: 'prompts.yaml:first'\n": "use_prompt: imports promptsource, or reads a YAML file",
    "group: a\ntask: [{task: b, process_docs: !function utils.f}]\n": "task.0.process_docs: !function utils.f",
    "include: code.inc\ntask: a\n": "code.inc, line 1: it would run Python code",
}


@pytest.fixture
def utils(write_task):
    folder = write_task().parent
    (folder / "utils.py").write_text(UTILS)
    (folder / "code.inc").write_text("process_docs: !function utils.f\n")
    return folder / "utils.py"


@pytest.mark.parametrize("text", CODE)
def test_code_is_refused_before_it_runs_with_the_way_to_allow_it(text, utils, write_task, load):
    path = write_task("code.yaml", text=text)
    with pytest.raises(UserError) as caught:
        load(path)
    assert CODE[text] in str(caught.value)
    assert str(path.parent) in str(caught.value.where)
    assert "--set scoring.trust_task_code=true" in str(caught.value.fix)
    assert not utils.with_name("ran").exists()


def test_several_places_are_one_message(utils, write_task, load):
    path = write_task("code.yaml", text=f"{SHOUT}process_docs: !function utils.f\n")
    with pytest.raises(UserError, match="task files would run Python code") as caught:
        load(path)
    assert "line 3: doc_to_text: !function utils.shout" in str(caught.value)
    assert "line 4: process_docs: !function utils.f" in str(caught.value)


def test_code_that_the_recipe_trusts_runs_and_counts(utils, write_task, load):
    path = write_task("shout.yaml", text=SHOUT)
    (task,) = load(path, trust_task_code=True)
    assert task.task.doc_to_text(ROWS[0]) == "WHICH ORGAN PUMPS BLOOD?"
    utils.write_text(UTILS + "\n\ndef score(doc, results):\n    return {}\n")
    assert load(path, trust_task_code=True)[0].items_hash != task.items_hash


def test_a_data_set_may_be_a_function(utils, write_task, load):
    utils.write_text(
        "import datasets\n\n\ndef rows(**_):\n"
        f"    return datasets.DatasetDict(train=datasets.Dataset.from_list({json.dumps(ROWS)}))\n"
    )
    rest = {key: value for key, value in TASK.items() if not key.startswith("dataset")}
    path = write_task(
        "own.yaml",
        text=f"custom_dataset: !function utils.rows\n{json.dumps(rest)[1:-1]}".replace(
            json.dumps(rest)[1:-1], "\n".join(f"{key}: {json.dumps(value)}" for key, value in rest.items())
        ),
    )
    assert len(load(path, trust_task_code=True)[0].indices) == 4


def test_a_function_that_is_not_there_or_fails_is_one_error(utils, write_task, load):
    path = write_task("shout.yaml", text=SHOUT.replace("utils.shout", "utils.whisper"))
    with pytest.raises(UserError, match=r"!function utils\.whisper cannot be imported"):
        load(path, trust_task_code=True)
    utils.write_text('def shout(doc):\n    return doc["qestion"]\n')
    with pytest.raises(UserError, match="its code failed in shout") as caught:
        load(write_task("shout.yaml", text=SHOUT), trust_task_code=True)
    assert caught.value.where == f"{utils}, line 2"


@pytest.mark.parametrize(
    "template", ["{{ question.__class__.__mro__ }}", "{{ cycler.__init__.__globals__.os.system('exit') }}"]
)
def test_a_template_reaches_nothing_but_the_row(template, write_task, load):
    path = write_task(doc_to_text=template)
    with pytest.raises(UserError, match="doc_to_text reaches for what Jinja's sandbox refuses") as caught:
        load(path)
    assert caught.value.where == f"{path}, line 7"
