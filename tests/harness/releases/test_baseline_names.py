"""Which baseline a name means: the stored one, whatever lies in the working directory."""

import json
import shutil


def judged(folder):
    """Model and run of the baseline that the gate compared with."""
    baseline = json.loads((folder / "gate.json").read_text())["baseline"]
    return baseline["model"], baseline["run"]


def test_a_stored_baseline_goes_before_a_folder_of_that_name(tiny_run, tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = shutil.copytree(tiny_run, tmp_path / "new")
    assert command("baseline", "set", f"{run}:base", "--name", "released")[0] == 0
    shutil.copytree(tiny_run, tmp_path / "released")
    command("gate", run, "--baseline", "released")
    assert judged(run) == ("base", "released")
    command("gate", run, "--baseline", "./released:base")
    assert judged(run) == ("base", "released")
    shutil.rmtree(tmp_path / "baselines")
    code, _, err = command("gate", run, "--baseline", "missing")
    assert (code, "there is no such run, nor a stored baseline of that name" in " ".join(err.split())) == (2, True)
