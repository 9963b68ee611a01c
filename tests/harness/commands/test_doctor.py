"""The doctor finds what is wrong with a machine, and its bundle gives nothing away."""

import importlib.metadata
import json
import logging
import shutil
import zipfile

import pytest

from harness.doctor import checks as doctor
from harness.logs import log_to
from tests.fake_torch import fake_torch
from training.models.device import Cuda, Mps

TOKEN = "hf_" + "aB3" * 12


def states(run):
    return {each.name: each for each in doctor.examine(run)}


def test_a_good_machine_is_ready_and_being_offline_is_no_fault(command, tmp_path):
    code, out, err = command("doctor", tmp_path)
    assert code == 0, err
    assert "Ready." in out
    assert "HF_HUB_OFFLINE" in out


def test_the_supported_versions_are_those_of_the_project():
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(doctor.__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert len(doctor.requirements()[""]) == len(project["dependencies"])
    assert {"unsloth", "vllm"} <= doctor.requirements().keys()


def test_a_wrong_version_and_a_missing_package_are_problems_with_the_way_to_mend_them(monkeypatch, command, tmp_path):
    right = importlib.metadata.version

    def version(name):
        if name == "peft":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0.0" if name == "transformers" else right(name)

    monkeypatch.setattr(importlib.metadata, "version", version)  # no path can hide an installed package
    code, out, _ = command("doctor", tmp_path)
    assert code == 1
    assert "Not ready: peft, transformers" in out or "Not ready: transformers, peft" in out
    assert "pip install 'peft==0.21.*'" in out


def denied(**_):
    raise PermissionError(13, "denied")


def test_a_full_disk_and_a_folder_without_rights_are_problems(monkeypatch, tmp_path, free_disk_bytes):
    free_disk_bytes(1)
    assert states(tmp_path)["run folder"].state == "problem"
    monkeypatch.setattr("tempfile.TemporaryFile", denied)  # root may write to every folder
    assert "cannot be written to" in states(tmp_path)["run folder"].found


def test_apples_gpu_is_a_note_that_says_it_is_untested(tmp_path):
    findings = {each.name: each for each in doctor.examine(tmp_path, [Mps(fake_torch(mps=True))])}
    gpu = findings["GPU 0"]
    assert (gpu.state, gpu.found) == ("note", "Apple M2 Pro, 0.2 of 0.3 GB free")
    assert "untested on MPS" in gpu.fix


def test_every_card_is_a_finding_with_its_memory_and_driver(tmp_path):
    gpus = [Cuda(fake_torch(cuda=True)), Cuda(fake_torch(cuda=True, hip="6.4"), 1)]
    findings = {each.name: each for each in doctor.examine(tmp_path, gpus)}
    assert [findings[name].state for name in ("GPU 0", "GPU 1")] == ["ok", "note"]
    assert "untested on ROCm" in findings["GPU 1"].fix
    assert findings["GPU 0"].found == "NVIDIA H200 0, 55.8 of 85.9 GB free, CUDA 12.8"
    assert findings["GPU 1"].found == "AMD MI300X 1, 55.8 of 85.9 GB free, ROCm 6.4"


def test_the_answer_store_is_looked_into(monkeypatch, tmp_path):
    def store(limit):
        monkeypatch.setenv("MEDBENCH_CACHE_GB", limit)
        return states(tmp_path)["answer store"]

    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path))
    assert store("0").state == "note"
    assert store("much").state == "problem"
    assert store("1").found.startswith("0 entries")
    (tmp_path / "answers" / "answers.sqlite").write_bytes(b"no database" * 1000)
    found = store("1")
    assert found.state == "note"
    assert "was damaged or of another version, set aside as" in found.found


def test_a_token_is_told_but_not_shown(monkeypatch, command, tmp_path):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    _, out, err = command("doctor", tmp_path)
    assert "there is one (not shown)" in out
    assert TOKEN not in out + err


def test_a_bundle_holds_no_texts_paths_or_secrets(tiny_run, tmp_path, command, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    run = shutil.copytree(tiny_run, tmp_path / "Smith's run", ignore=shutil.ignore_patterns("*.safetensors"))
    log_to(run / "run.log")
    logging.getLogger("transformers").warning("patient Smith has a fever\nof 40 degrees %s", TOKEN)
    try:
        int("Smith: fever")
    except ValueError:
        logging.getLogger("medbench").exception("Smith cannot be read")
    log_to(None)
    bundle = tmp_path / "report.zip"
    assert command("doctor", run, "--bundle", bundle)[0] == 0
    with zipfile.ZipFile(bundle) as opened:
        files = {name: opened.read(name).decode() for name in opened.namelist()}
    assert files.keys() == {"doctor.json", "environment.json", "packages.txt", "recipe.yaml", "results.json", "run.log"}
    texts = "\n".join(files.values())
    for secret in ("Smith", "fever", "40 degrees", TOKEN, str(tmp_path), str(tiny_run.parent), "Traceback"):
        assert secret not in texts, secret
    for row in (run / "samples" / "base" / "medbench_generation.jsonl").read_text().splitlines():
        assert json.loads(row)["question"] not in texts
    assert "transformers:" in files["run.log"]
    assert "test_doctor.py:" in files["run.log"]
    assert "ValueError" in files["run.log"]
    assert "[path]" in files["recipe.yaml"]
    code, _, err = command("doctor", run, "--bundle", bundle)
    assert code == 2
    assert "there already" in err


@pytest.mark.parametrize("broken", ["recipe.yaml", "results.json"])
def test_a_bundle_of_a_broken_run_says_so(tiny_run, tmp_path, command, broken):
    run = shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("*.safetensors"))
    (run / broken).write_text("{broken")
    assert command("doctor", run, "--bundle", tmp_path / "report.zip")[0] == 0
