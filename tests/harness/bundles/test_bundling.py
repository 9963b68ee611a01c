"""`medbench bundle` from a hub on this machine: what is fetched, kept, resumed and refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from reports.bundles.manifest import read_manifest
from reports.errors import MachineError, UnreachableError, UserError
from reports.files import sha256_file
from tests.benchmark_data import medhallu, write
from tests.harness.bundles.conftest import BASE, PUBMEDQA
from tests.local_hub import REVISION, Repository

HALT = "openlifescienceai/Med-HALT"


def sent_files(requests):
    """The files that the hub sent, without their repositories."""
    return [line.partition("/resolve/")[2].partition("/")[2] for line in requests if line.startswith("GET /datasets")]


def a_set(folder, name, rows=None, **card):
    """A data set with one configuration, and more in its card."""
    path = write(folder / name.replace("/", "--"), {"pqa_labeled": {"train": rows or medhallu()}})
    readme = path / "README.md"
    lines = "".join(f"{key}: {value}\n" for key, value in card.items())
    readme.write_text(readme.read_text().replace("---\n", f"---\n{lines}", 1))
    return Repository(path)


def task_file(folder, data_set):
    path = folder / "mine.yaml"
    path.write_text(
        f"task: mine\ndataset_path: {data_set}\ndataset_name: pqa_labeled\ntest_split: train\n"
        "output_type: loglikelihood\ndoc_to_text: Question\ndoc_to_target: Ground Truth\n"
    )
    return str(path)


def test_the_manifest_says_what_was_fetched(make_bundle, tiny_model, data_folders):
    bundle = make_bundle("medbench_medhalt_fct", "medbench_retention_mmlu")
    manifest = read_manifest(bundle)
    assert [(piece.kind, piece.id, piece.commit, piece.licence, piece.configs) for piece in manifest.pieces] == [
        ("data set", "cais/mmlu", REVISION, "MIT", ["all"]),
        ("data set", HALT, "d1e8d04295742df7abc485062344fe328e141395", "Apache-2.0", ["reasoning_FCT"]),
        ("data set", PUBMEDQA, REVISION, "MIT", ["pqa_labeled"]),
        ("model", BASE, REVISION, "not stated", None),
    ]
    assert manifest.requests[0].model_dump() == {
        "recipe": "hub.yaml",
        "models": "base",
        "tasks": ["medbench_medhalt_fct", "medbench_retention_mmlu"],
        "settings": [],
    }
    # `datasets` looks at the first configuration of mmlu, anatomy, whichever is read
    files = {piece.id: sorted(piece.files) for piece in manifest.pieces}
    assert files["cais/mmlu"] == ["README.md", "all/test.jsonl", "anatomy/dev.jsonl", "anatomy/test.jsonl"]
    assert files[HALT] == ["README.md", "reasoning_FCT/train.csv"]
    weights = manifest.piece("model", BASE).files["model.safetensors"]
    assert weights.sha256 == sha256_file(tiny_model / "model.safetensors")
    assert sha256_file(bundle / "models" / "owner--tiny" / "model.safetensors") == weights.sha256
    rows = Path(data_folders[HALT]) / "reasoning_FCT" / "train.csv"
    assert (bundle / "datasets" / "openlifescienceai--Med-HALT" / "reasoning_FCT" / "train.csv").read_bytes() == (
        rows.read_bytes()
    )
    assert manifest.pending == []
    assert not (bundle / ".fetching").exists()


def test_beside_the_pieces_are_versions_and_instructions(bundle):
    packages = (bundle / "requirements.txt").read_text().splitlines()
    assert packages[1].startswith("# Python 3.1")
    assert "lm-eval==0.4.13" in packages
    assert "/" not in "".join(packages)
    readme = (bundle / "README.md").read_text()
    assert "medbench run --recipe hub.yaml --models base --tasks medbench_medhalt_fct --from-bundle bundle" in readme
    assert "- --recipe: hub.yaml" in readme
    assert str(bundle) not in readme
    assert sorted(read_manifest(bundle).files) == ["README.md", "requirements.txt"]


def test_a_dry_run_writes_nothing_and_names_sizes_licences_and_what_to_take_along(
    hub, hub_recipe, command, tmp_path, requests, repositories
):
    repositories[HALT] = Repository(repositories[HALT].folder, is_gated=True)
    flags = ("--recipe", hub_recipe, "--models", "base", "--tasks", "medbench_medhalt_fct", "--dry-run")
    code, out, err = command("bundle", *flags, "--out", tmp_path / "bundle")
    assert code == 0, err
    lines = [line.split() for line in out.splitlines()]
    assert ["data", "set", HALT, "Apache-2.0", "gated", "5.1", "kB"] in lines
    assert ["model", BASE, "not", "stated"] in [line[:4] for line in lines]
    assert f"note: data set {HALT} (reasoning_FCT) is gated; its licence: Apache-2.0" in out
    assert f"not in the bundle, take it along: --recipe: {hub_recipe}" in out
    assert sent_files(requests) == []
    assert not (tmp_path / "bundle").exists()


def test_what_is_there_is_not_fetched_again_and_more_is_added(make_bundle, bundle, requests):
    make_bundle("medbench_medhalt_fct")
    assert requests == []
    make_bundle("medbench_medhalt_nota")
    assert sent_files(requests) == ["reasoning_nota/train.csv"]
    piece = read_manifest(bundle).piece("data set", HALT)
    assert (piece.configs, sorted(piece.files)) == (
        ["reasoning_FCT", "reasoning_nota"],
        ["README.md", "reasoning_FCT/train.csv", "reasoning_nota/train.csv"],
    )
    assert [request.tasks for request in read_manifest(bundle).requests] == [
        ["medbench_medhalt_fct"],
        ["medbench_medhalt_nota"],
    ]


def test_an_interrupted_bundle_goes_on_and_lists_what_is_missing_meanwhile(
    make_bundle, repositories, requests, tmp_path
):
    halt = repositories[HALT]
    repositories[HALT] = replace(halt, refuses=True)
    with pytest.raises(UnreachableError, match=f"gated: the owner of the data set {HALT} gives access"):
        make_bundle("medbench_medhalt_fct")
    manifest = read_manifest(tmp_path / "bundle")
    assert [(one.id, one.size, one.licence) for one in manifest.pending] == [(HALT, 5149, "Apache-2.0")]
    assert [piece.id for piece in manifest.pieces] == [PUBMEDQA, BASE]
    repositories[HALT] = halt
    requests.clear()
    make_bundle("medbench_medhalt_fct")
    assert sent_files(requests) == ["README.md", "reasoning_FCT/train.csv"]  # and nothing of PubMedQA
    assert read_manifest(tmp_path / "bundle").pending == []


def test_a_file_that_was_lost_is_fetched_again(make_bundle, bundle, requests):
    lost = bundle / "datasets" / "openlifescienceai--Med-HALT" / "reasoning_FCT" / "train.csv"
    rows = lost.read_bytes()
    lost.unlink()
    make_bundle("medbench_medhalt_fct")
    assert sent_files(requests) == ["reasoning_FCT/train.csv"]
    assert lost.read_bytes() == rows


def test_nothing_is_overwritten(make_bundle, bundle, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="it is there and no bundle; nothing is overwritten"):
        make_bundle(out=tmp_path / "notes")
    foreign = bundle / "datasets" / "openlifescienceai--Med-HALT" / "reasoning_nota" / "train.csv"
    foreign.parent.mkdir()
    foreign.write_text("mine")
    with pytest.raises(UserError, match=r"train.csv is there and not in the bundle's manifest; nothing is overwritten"):
        make_bundle("medbench_medhalt_nota")
    assert foreign.read_text() == "mine"


def test_another_revision_needs_another_bundle(make_bundle, bundle):
    value = json.loads((bundle / "manifest.json").read_text())
    next(piece for piece in value["pieces"] if piece["id"] == HALT).update(commit="2" * 40, revision=None)
    (bundle / "manifest.json").write_text(json.dumps(value))
    with pytest.raises(UserError, match=f"the bundle holds {HALT} at 2222.*needs d1e8d0"):
        make_bundle("medbench_medhalt_nota")


def test_code_and_hidden_files_stay_behind(make_bundle, repositories, tmp_path):
    repository = repositories["owner/mine"] = a_set(tmp_path, "owner/mine", license="mit")
    for name in ("prepare.py", ".gitattributes", "rows.pkl"):
        (repository.folder / name).write_text("x")
    bundle = make_bundle(task_file(tmp_path, "owner/mine"))
    piece = read_manifest(bundle).piece("data set", "owner/mine")
    assert (piece.licence, piece.card_licence) == ("mit", "mit")
    assert piece.left_out == [".gitattributes", "prepare.py", "rows.pkl"]
    assert sorted(path.name for path in (bundle / "datasets" / "owner--mine").rglob("*") if path.is_file()) == [
        "README.md",
        "train.jsonl",
    ]


@pytest.mark.parametrize(
    ("remove", "add", "words"),
    [
        ("", "mine.py", "it is a loading script (mine.py), which neither `datasets` nor medbench runs"),
        ("pqa_labeled/train.jsonl", "rows.pkl", "it has no data files that a bundle may hold; left out: rows.pkl"),
    ],
)
def test_data_sets_that_need_code_are_named(make_bundle, repositories, tmp_path, remove, add, words):
    repository = repositories["owner/mine"] = a_set(tmp_path, "owner/mine")
    (repository.folder / add).write_text("x")
    if remove:
        (repository.folder / remove).unlink()
    with pytest.raises(UserError) as caught:
        make_bundle(task_file(tmp_path, "owner/mine"))
    assert caught.value.what == words
    assert caught.value.fix == "leave out task mine"


def test_pickled_weights_are_named(make_bundle, repositories, tiny_model, tmp_path):
    pickled = shutil.copytree(tiny_model, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    repositories["owner/pickled"] = Repository(pickled, "models")
    with pytest.raises(UserError, match="no safetensors weights but pickled ones"):
        make_bundle(base="owner/pickled")


def test_what_forbids_commercial_use_has_to_be_named(make_bundle, repositories, tmp_path):
    repositories[HALT] = a_set(tmp_path, HALT, license="cc-by-nc-4.0")
    with pytest.raises(UserError) as caught:
        make_bundle("medical-trust")
    assert caught.value.what == f"a licence forbids commercial use: {HALT} (cc-by-nc-4.0)"
    assert "--tasks medbench_medhalt_fct,medbench_medhalt_nota" in caught.value.fix
    assert not (tmp_path / "bundle").exists()
    repositories["owner/mine"] = a_set(tmp_path, "owner/mine", license="cc-by-nc-4.0")
    bundle = make_bundle(task_file(tmp_path, "owner/mine"))
    assert read_manifest(bundle).piece("data set", "owner/mine").licence == "cc-by-nc-4.0"


def test_a_full_disk_is_noticed_before_anything_is_fetched(make_bundle, free_disk_bytes, requests):
    free_disk_bytes(1000)
    with pytest.raises(MachineError, match=r"not enough disk space: 1.0 kB free, .* kB needed"):
        make_bundle()
    assert sent_files(requests) == []


def test_a_missing_repository_is_named(make_bundle):
    with pytest.raises(UserError, match="missing: the hub has no model owner/missing"):
        make_bundle(base="owner/missing")


def test_a_bundle_is_not_made_from_a_bundle(make_bundle, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDBENCH_BUNDLE", str(tmp_path))
    with pytest.raises(UserError, match="MEDBENCH_BUNDLE: a bundle is in use"):
        make_bundle()
