"""A folder of task files of the user's own, and a way to load them as a run does."""

import json
from typing import Any

import pytest
import yaml

from harness.planning.lm_tasks import load_tasks
from training.models.base_model import find_base
from training.recipes.recipe_file import load_recipe

# Written for these tests; not medical advice.
ROWS: list[dict[str, Any]] = [
    {"question": "Which organ pumps blood?", "choices": ["Liver", "Heart", "Skin"], "answer": 1},
    {"question": "Which organ filters blood?", "choices": ["Kidney", "Ear", "Bone"], "answer": 0},
    {"question": "What carries oxygen?", "choices": ["Nails", "Hair", "Red cells"], "answer": 2},
    {"question": "Where is bile made?", "choices": ["Heart", "Liver", "Lung"], "answer": 1},
]
TASK: dict[str, Any] = {
    "task": "my_organs",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": "organs.jsonl"},
    "test_split": "train",
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}\nAnswer:",
    "doc_to_choice": "choices",
    "doc_to_target": "answer",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}


@pytest.fixture
def write_task(tmp_path):
    """Write a task file, the example with some keys changed, beside its rows; returns its path."""

    def write(name="organs.yaml", rows=ROWS, text=None, **changes):
        path = tmp_path / "tasks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tasks" / "organs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        value = {key: part for key, part in {**TASK, **changes}.items() if part is not None}
        path.write_text(yaml.safe_dump(value, sort_keys=False) if text is None else text)
        return path

    return write


@pytest.fixture
def load(tiny_recipe):
    """Load tasks for the tiny recipe with changes, as a plan does; of lm-eval's tasks there is one."""

    def load(*words, **scoring):
        recipe = load_recipe(str(tiny_recipe), [f"scoring.{key}={json.dumps(value)}" for key, value in scoring.items()])
        return load_tasks([str(word) for word in words], recipe, find_base(recipe.model), lambda: {"arc_easy": None})

    return load
