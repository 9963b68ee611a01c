"""Runs that read a bundle instead of the hub: the same prompts and scores, no requests, and faults in one message."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from reports.bundles.active import active_bundle, bundled_folder, using_bundle
from reports.document.reading import read_results
from reports.errors import UnreachableError, UserError
from reports.files import read_jsonl, sha256_file
from tests.benchmark_data import arc, write
from tests.harness.bundles.conftest import BASE, all_repositories, connected
from tests.local_hub import Repository, local_hub
from training.models.base_model import find_base
from training.recipes.recipe import ModelSection

ROOT = Path(__file__).resolve().parents[3]
OURS = ["medical-trust", "retention", "medical-hard", "medbench_glianorex_shuffled", "medbench_pubmedqa"]
LM_EVALS = ["medical", "control", "languages", "ai2_arc", "medbench_pubmedqa_cot"]  # `ai2_arc` is a tag
ROWS = Path("datasets", "openlifescienceai--Med-HALT", "reasoning_FCT", "train.csv")
pytestmark = pytest.mark.usefixtures("without_plots")


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """Where medbench remembers which files it has hashed."""
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))


def bundle_of(tasks, recipe, repositories, folder, requests=None):
    with local_hub(repositories, requests) as address, connected(address, folder / "cache"):
        harness.bundle(recipe, out=folder / "bundle", models="base", tasks=tasks, quiet=True)
    return folder / "bundle"


def scores_and_prompts(run):
    scores = {(score.task, score.metric): score.value for score in read_results(run).scores}
    files = sorted((run / "samples" / "base").glob("*.jsonl"))
    return scores, {path.name: [row["prompt"] for _, row in read_jsonl(path)] for path in files}


def check_same_scores(tasks, hub_recipe, folder_recipe, bundle, out):
    """Score with the bundle, while a hub counts requests, and without it from the original folders."""
    requests: list[str] = []
    with local_hub({}, requests) as address, connected(address, out / "cache"):
        harness.score(hub_recipe, models="base", tasks=tasks, out=out / "a", from_bundle=bundle, quiet=True)
    assert requests == []
    harness.score(folder_recipe, models="base", tasks=tasks, out=out / "b", quiet=True)
    scores, prompts = scores_and_prompts(out / "a")
    assert (scores, prompts) == scores_and_prompts(out / "b")
    return prompts


@pytest.mark.slow
def test_suites_have_the_prompts_and_scores_of_a_run_without_the_bundle(
    hub_recipe, folder_recipe, data_folders, tiny_model, tmp_path
):
    bundle = bundle_of(OURS, hub_recipe, all_repositories(data_folders, tiny_model), tmp_path)
    prompts = check_same_scores(OURS, hub_recipe, folder_recipe, bundle, tmp_path)
    assert len(prompts) == 12
    models = {model.name: model.source for model in read_results(tmp_path / "a").models}
    assert models == {"base": BASE}
    assert os.environ.get("MEDBENCH_BUNDLE") is None


@pytest.mark.slow  # lm-eval reads 14,000 files for tasks that are not ours
def test_tasks_and_groups_of_lm_eval_are_read_from_the_bundle_too(
    hub_recipe, folder_recipe, data_folders, tiny_model, tmp_path
):
    splits = dict.fromkeys(("train", "validation", "test"), arc())
    folder = write(tmp_path / "arc", {"ARC-Easy": splits, "ARC-Challenge": splits})
    folders = {**data_folders, "allenai/ai2_arc": str(folder)}
    repositories = all_repositories(folders, tiny_model)
    bundle = bundle_of(LM_EVALS, hub_recipe, repositories, tmp_path)
    folder_recipe = Path(shutil.copy(folder_recipe, tmp_path / "folders.yaml"))
    folder_recipe.write_text(folder_recipe.read_text().replace(data_folders["allenai/ai2_arc"], str(folder)))
    prompts = check_same_scores(LM_EVALS, hub_recipe, str(folder_recipe), bundle, tmp_path)
    assert {"medmcqa.jsonl", "arc_easy.jsonl", "arc_challenge.jsonl", "careqa_es.jsonl"} <= prompts.keys()


@pytest.mark.slow
def test_with_the_hub_at_a_closed_port_the_command_works(bundle, hub_recipe, tmp_path):
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(tmp_path / "hf"),
    }
    words = ["score", "--recipe", hub_recipe, "--models", "base", "--tasks", "medbench_medhalt_fct"]
    command = [sys.executable, "-m", "medbench", *words, "--from-bundle", str(bundle), "--out", str(tmp_path / "run")]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"bundle: {bundle}, 3 data sets and models, made 20" in done.stdout
    assert read_results(tmp_path / "run").tasks[0].name == "medbench_medhalt_fct"


def test_missing_pieces_are_named_together_with_size_licence_and_command(bundle, hub_recipe, command, tmp_path):
    tasks = "medbench_medhalt_nota,medbench_metamedqa"
    words = ("--recipe", hub_recipe, "--models", "base,x=owner/x", "--tasks", tasks)
    code, _, err = command("score", *words, "--from-bundle", bundle, "--out", tmp_path / "run")
    assert code == 2
    fix = f"medbench bundle --recipe RECIPE.yaml --models base,x=owner/x --tasks {tasks} --out bundle"
    assert err.splitlines() == [
        f"error: bundle {bundle}: the bundle lacks ",
        "  - model owner/x: size not stated, licence: not stated",
        "  - data set openlifescienceai/Med-HALT (reasoning_nota): 11,076 items, licence: Apache-2.0",
        "  - data set maximegmd/MetaMedQA: 1,373 items, licence: CC-BY-4.0",
        f"  fix: on a connected machine: {fix}; then copy the bundle again",
    ]


def test_what_was_planned_and_not_fetched_is_named_with_its_size(bundle, hub_recipe, tmp_path):
    change_manifest(bundle, pending=[{"kind": "model", "id": "owner/x", "size": 2_500_000_000, "licence": "mit"}])
    with pytest.raises(UnreachableError, match=r"the bundle lacks model owner/x: 2.5 GB, licence: mit"):
        harness.score(hub_recipe, models="x=owner/x", out=tmp_path / "run", from_bundle=bundle, quiet=True)


def test_the_variable_is_enough_and_training_does_without_items(bundle, hub_recipe, command, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDBENCH_BUNDLE", str(bundle))
    tasks = ("--set", "scoring.tasks=[medbench_metamedqa]")
    code, out, err = command("train", "--recipe", hub_recipe, *tasks, "--out", tmp_path / "run")
    assert code == 0, err
    assert "the data set maximegmd/MetaMedQA is not in the bundle" in out
    code, out, err = command("plan", "--recipe", hub_recipe)
    assert code == 0, err
    assert f"bundle: {bundle}" in out
    code, out, err = command("list", "suites", "--base", BASE)
    assert code == 0, err
    assert "all together" in out


def change_manifest(bundle, **changes):
    path = bundle / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_byte(path):
    """Change one byte, and put the time of the last change back."""
    about = path.stat()
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


FAULTS = {
    "a changed byte": (lambda bundle: change_byte(bundle / ROWS), "it was changed: sha256 "),
    "a missing file": (lambda bundle: (bundle / ROWS).unlink(), r"are missing \(4.9 kB\): reasoning_FCT/train.csv"),
    "a cut file": (lambda bundle: (bundle / ROWS).write_text("id\n"), "it has 3 bytes, 4,910 by the bundle's manifest"),
    "a further file": (
        lambda bundle: (bundle / ROWS).with_name("more.csv").write_text("id\n"),
        "the bundle's manifest does not list reasoning_FCT/more.csv",
    ),
    "a link": (
        lambda bundle: (bundle / ROWS).with_name("more.csv").symlink_to("/etc/hosts"),
        "a bundle holds neither links nor devices",
    ),
    "changed packages": (
        lambda bundle: change_byte(bundle / "requirements.txt"),
        "requirements.txt: it was changed: sha256 ",
    ),
    "a later schema": (
        lambda bundle: change_manifest(bundle, schema_version="9.0"),
        "its schema version is 9.0, this medbench reads 1.0",
    ),
    "no manifest": (lambda bundle: (bundle / "manifest.json").unlink(), "it is no bundle: there is no manifest.json"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_message_with_the_way_out(bundle, hub_recipe, tmp_path, fault):
    with using_bundle(bundle):  # an earlier use, after which hashes are remembered
        bundled_folder("data set", "openlifescienceai/Med-HALT")
    change, words = FAULTS[fault]
    change(bundle)
    tasks = ["medbench_medhalt_fct"]
    with pytest.raises(UserError, match=words) as caught:
        harness.score(hub_recipe, models="base", tasks=tasks, out=tmp_path / "run", from_bundle=bundle, quiet=True)
    assert "bundle" in caught.value.fix


@pytest.mark.parametrize("path", ["../manifest.json", "/etc/hosts", "a//b.csv", "load.py", "weights.bin", ".hidden"])
def test_paths_that_a_bundle_may_not_hold_are_refused(bundle, path):
    value = json.loads((bundle / "manifest.json").read_text())
    value["pieces"][0]["files"][path] = {"size": 1, "sha256": "0" * 64}
    (bundle / "manifest.json").write_text(json.dumps(value))
    with (
        using_bundle(None),
        pytest.raises(UserError, match="is no path of a file that a bundle may hold"),
        using_bundle(bundle),
    ):
        pass


@pytest.mark.parametrize("name", ["/etc/hosts", "../../manifest.json", "https://example.org/rows.csv", "C:\\rows.csv"])
def test_a_card_that_names_data_elsewhere_is_refused(bundle, name):
    folder = (bundle / ROWS).parent.parent
    card = folder / "README.md"
    card.write_text(card.read_text().replace("path: reasoning_FCT/train.csv", f"path: {name}"))
    value = json.loads((bundle / "manifest.json").read_text())
    piece = next(piece for piece in value["pieces"] if piece["id"] == "openlifescienceai/Med-HALT")
    piece["files"]["README.md"] = {"size": card.stat().st_size, "sha256": sha256_file(card)}
    (bundle / "manifest.json").write_text(json.dumps(value))
    with using_bundle(bundle), pytest.raises(UserError, match="the card names data elsewhere"):
        bundled_folder("data set", "openlifescienceai/Med-HALT")


def test_the_built_in_model_comes_from_the_bundle_too(tiny_model, tmp_path, monkeypatch):
    """Its folder in medbench's cache is the tiny model here; the other machine has an empty cache."""
    cached = shutil.copytree(tiny_model, tmp_path / "connected" / "models" / "smollm2-135m-instruct-v1")
    (cached / "medbench-source.json").write_text("{}")
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "connected"))
    harness.bundle("quickstart", out=tmp_path / "bundle", quiet=True)
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    with using_bundle(tmp_path / "bundle") as bundle:
        base = find_base(ModelSection())
    assert base.folder == tmp_path / "bundle" / "models" / "smollm2-135m-instruct"
    assert (base.source, base.public_name) == ("smollm2-135m-instruct", "HuggingFaceTB/SmolLM2-135M-Instruct")
    assert [(piece.id, piece.licence) for piece in bundle.manifest.pieces] == [("smollm2-135m-instruct", "Apache-2.0")]


def test_adapters_of_the_hub_are_scored_from_the_bundle(hub, repositories, make_bundle, hub_recipe, tiny_run, tmp_path):
    repositories["owner/adapter"] = Repository(tiny_run / "adapter", "models")
    models = "base,new=owner/adapter"
    made = harness.bundle(hub_recipe, out=tmp_path / "bundle", models=models, quiet=True)
    assert "adapter_model.safetensors" in made.piece("model", "owner/adapter").files
    results = harness.score(
        hub_recipe, models=models, out=tmp_path / "run", limit=2, from_bundle=tmp_path / "bundle", quiet=True
    )
    assert [(model.name, model.kind) for model in results.models] == [("base", "base"), ("new", "adapter")]


def test_another_revision_than_a_task_pins_is_an_error(bundle):
    with (
        using_bundle(bundle),
        pytest.raises(UserError, match=r"it holds the data set .* at d1e8d04.*, and v2 is needed"),
    ):
        bundled_folder("data set", "openlifescienceai/Med-HALT", "v2")


def test_without_a_bundle_nothing_changes():
    assert active_bundle() is None
    assert bundled_folder("model", BASE) is None
    with using_bundle(None) as bundle:
        assert bundle is None
