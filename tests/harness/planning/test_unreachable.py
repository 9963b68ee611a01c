"""What cannot be fetched: offline, gated and missing are told apart within seconds, and training does without it."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.local_hub import local_hub

ROOT = Path(__file__).resolve().parents[3]
# Fetches models and data sets as medbench does, in a process that reads HF_ENDPOINT; prints the messages.
FETCH = """
import json, sys, time
from harness.planning.lm_tasks import load_tasks
from reports.errors import UserError
from tasks.data import DataSource, load_reasoning
from training.models.base_model import fetch_from_hub, find_base
from training.recipes.recipe_file import load_recipe

def task(name):
    recipe = load_recipe(sys.argv[1])
    load_tasks([f"{sys.argv[2]}/{name}.yaml"], recipe, find_base(recipe.model))

fetches = {
    "model": lambda name: fetch_from_hub(f"owner/{name}", "v9" if name == "revised" else None),
    "rows": lambda name: load_reasoning(DataSource(source=f"owner/{name}"), seed=0),
    "task": task,
}
for name in sys.argv[3:]:
    for kind, fetch in fetches.items():
        start = time.monotonic()
        try:
            fetch(name)
        except UserError as error:
            print(json.dumps([name, kind, type(error).__name__, str(error), time.monotonic() - start]))
"""
TASK = """
task: mine
dataset_path: owner/{name}
test_split: test
output_type: loglikelihood
doc_to_text: q
doc_to_target: a
"""


def fetched(endpoint, recipe, folder, *names):
    """(type, message, seconds) of fetching each, by name and kind."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.yaml").write_text(TASK.format(name=name))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
    done = subprocess.run(
        [sys.executable, "-c", FETCH, recipe, folder, *names],
        env=environment | {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "home")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = map(json.loads, filter(lambda line: line.startswith("["), done.stdout.splitlines()))
    return {(name, kind): rest for name, kind, *rest in rows}


def test_gated_missing_and_wrong_revisions_are_told_apart(tiny_recipe, tmp_path):
    names = ("gated", "gated-for-me", "missing", "revised")
    with local_hub() as address:
        messages = fetched(address, tiny_recipe, tmp_path / "tasks", *names)
    assert {key: kind for key, (kind, _, _) in messages.items()} == {
        (name, kind): "UnreachableError" if "gated" in name else "UserError"
        for name in names
        for kind in ("model", "rows", "task")
    }
    for kind, page in {"model": "", "rows": "datasets/", "task": "datasets/"}.items():
        word = "model" if kind == "model" else "data set"
        for name in ("gated", "gated-for-me"):
            _, message, _ = messages[name, kind]
            assert f"gated: the owner of the {word} owner/{name} gives access" in message
            assert f"ask for access at {address}/{page}owner/{name} and accept its licence" in message
            assert "hf auth login" in message
        assert f"missing: the hub has no {word} owner/missing" in messages["missing", kind][1]
    assert (
        "hub model owner/revised at v9: missing: the model owner/revised has no revision v9"
        in (messages["revised", "model"][1])
    )
    assert f"{tmp_path}/tasks/gated.yaml, line 3: gated" in messages["gated", "task"][1]


def test_a_closed_port_is_offline_and_noticed_at_once(tiny_recipe, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    messages = fetched(address, tiny_recipe, tmp_path / "tasks", "model")
    assert len(messages) == 3
    for kind, message, seconds in messages.values():
        assert kind == "UnreachableError"
        assert f"offline: the hub ({address}) cannot be reached, and the" in message
        assert "check the network, HTTPS_PROXY and HF_ENDPOINT" in message
        assert seconds < 5


@pytest.mark.slow
def test_a_hub_that_never_answers_is_given_up_after_five_seconds(tiny_recipe, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        messages = fetched(address, tiny_recipe, tmp_path / "tasks", "model")
    assert {kind for kind, _, _ in messages.values()} == {"UnreachableError"}
    assert all(4 < seconds < 20 for _, _, seconds in messages.values())  # its client waits for ten, five times
    assert time.monotonic() - start < 60


UNREACHED = ("--set", "data.pubmedqa.source=owner/pubmedqa")


def test_training_does_without_items_that_cannot_be_fetched(tiny_recipe, tmp_path, command):
    code, out, err = command("train", "--recipe", tiny_recipe, *UNREACHED, "--out", tmp_path / "run")
    assert code == 0, err
    line = next(line for line in out.splitlines() if "out of reach" in line)
    assert line.strip().startswith("note: the items of medbench_pubmedqa are out of reach, so whether they are among")
    assert "offline: HF_HUB_OFFLINE is set, and the data set owner/pubmedqa is not in its cache" in out
    assert out.count("out of reach") == 1
    assert (tmp_path / "run" / "adapter" / "adapter_model.safetensors").is_file()


def test_a_plan_says_that_items_were_not_compared(tiny_recipe, command):
    only = ("--set", "scoring.tasks=[medbench_pubmedqa]")
    code, out, err = command("plan", "--recipe", tiny_recipe, *UNREACHED, *only)
    assert code == 0, err
    assert out.count("the items of medbench_pubmedqa are out of reach") == 1
    assert "test items among the" not in out


def test_a_run_ends_before_it_trains_and_names_the_way_to_train_alone(tiny_recipe, tmp_path, command):
    code, _, err = command("run", "--recipe", tiny_recipe, *UNREACHED, "--out", tmp_path / "run")
    assert code == 2
    assert "the data set owner/pubmedqa is not in its cache" in err
    assert "or train without the items: `medbench train`, then `medbench score`" in err
    assert not (tmp_path / "run" / "adapter").exists()


def test_a_misspelt_task_ends_training_too(tiny_recipe, tmp_path, command):
    missing = ("--set", "data.pubmedqa.source=none.json", "--out", tmp_path / "run")
    code, _, err = command("train", "--recipe", tiny_recipe, *missing)
    assert code == 2
    assert "there is no such data file" in err
