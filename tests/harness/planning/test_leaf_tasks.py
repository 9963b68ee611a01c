"""Groups and tags taken apart into single tasks, as lm-eval itself builds them."""

import pytest

from harness.planning.leaf_tasks import leaf_tasks
from harness.planning.local_data import local_spec
from tests.benchmark_data import arc, write

TASK = """
task: {name}
tag: both
dataset_path: owner/{name}
dataset_name: ARC-Easy
dataset_kwargs: {{revision: v1}}
test_split: test
output_type: multiple_choice
doc_to_text: question
doc_to_choice: "{{{{choices.text}}}}"
doc_to_target: answerKey
num_fewshot: 0
"""
INNER = """
group: inner
task: [one, {task: two, description: "Of two. "}]
description: "Of the inner group. "
target_delimiter: "-"
"""
OUTER = """
group: outer
task:
  - inner
  - group: nested
    task:
      - task: three
        description: "Of three. "
description: "Of the outer group. "
"""


@pytest.fixture
def manager(tmp_path):
    from lm_eval.tasks import TaskManager

    files = {name: TASK.format(name=name) for name in ("one", "two", "three")} | {"inner": INNER, "outer": OUTER}
    (tmp_path / "tasks").mkdir()
    for name, text in files.items():
        (tmp_path / "tasks" / f"{name}.yaml").write_text(text)
    return TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)


@pytest.fixture
def folders(tmp_path):
    folder = write(tmp_path / "rows", {"ARC-Easy": {"test": arc()}})
    return {f"owner/{name}": str(folder) for name in ("one", "two", "three")}


def test_the_tasks_of_groups_and_tags_with_their_data(manager):
    index = manager.task_index
    assert [leaf.name for leaf in leaf_tasks("outer", index)] == ["one", "two", "three"]
    assert [leaf.name for leaf in leaf_tasks("both", index)] == ["one", "three", "two"]
    leaf = next(leaf_tasks("two", index))
    assert (leaf.hub_data, leaf.revision, leaf.dataset_config) == ("owner/two", "v1", "ARC-Easy")


@pytest.mark.parametrize("name", ["one", "both", "inner", "outer"])
def test_settings_are_those_that_lm_eval_gives_them(manager, folders, name):
    """The folders are named in the task files for comparison, which lm-eval reads by itself."""
    spec, is_local = local_spec(name, manager.task_index, folders)
    assert is_local
    ours = manager.load([spec])["tasks"]
    for entry in manager.task_index.values():
        if entry.kind.name == "TASK":
            path = folders[str(entry.cfg["dataset_path"])]
            text = entry.yaml_path.read_text().replace(entry.cfg["dataset_path"], path)
            entry.yaml_path.write_text(text.replace("dataset_kwargs: {revision: v1}\n", ""))
    theirs = manager.load([name])["tasks"]
    assert ours.keys() == theirs.keys()
    for task in ours:
        assert (ours[task].config.description, ours[task].config.target_delimiter, ours[task].eval_docs[0]) == (
            theirs[task].config.description,
            theirs[task].config.target_delimiter,
            theirs[task].eval_docs[0],
        )


def test_without_folders_nothing_is_changed(manager):
    assert local_spec("outer", manager.task_index, {}) == ("outer", False)
