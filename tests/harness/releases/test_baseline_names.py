"""Which baseline a name means: the stored one, whatever lies in the working directory; damaged and repeated ones."""

import dataclasses
import json
import shutil

import pytest

from harness.releases.baselines import read_baseline, set_baseline
from harness.releases.gating import read_run
from reports.errors import UserError


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


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


def test_a_baseline_that_would_lose_items_is_replaced_by_force_only(tiny_run, command, tmp_path):
    store = tmp_path / "store"
    command("baseline", "set", tiny_run, "--name", "released", "--store", store)
    whole = read_run(tiny_run, "adapter")
    tasks = [task for task in whole.results.tasks if task.name != "medbench_generation"]
    items = {task.name: whole.items[task.name] for task in tasks}
    rows = {
        key: [row for row in getattr(whole.results, key) if row.task in items]
        for key in ("scores", "costs", "classes", "problems")
    }
    less = dataclasses.replace(whole, items=items, results=whole.results.model_copy(update={"tasks": tasks, **rows}))
    with pytest.raises(UserError) as caught:
        set_baseline(less, store, "released")
    assert caught.value.what == "the new baseline would lose 6 of 6 items of medbench_generation"
    assert (caught.value.where, "--force" in caught.value.fix) == (str(store / "released"), True)
    assert sum(map(len, read_baseline(store / "released").items.values())) == 18
    assert sorted(path.name for path in store.iterdir()) == [".lock", "released"]
    set_baseline(less, store, "released", force=True)
    assert sum(map(len, read_baseline(store / "released").items.values())) == 12
    assert command("baseline", "set", tiny_run, "--name", "released", "--store", store)[0] == 0


def test_a_baseline_without_its_manifest_is_an_error(run, command, tmp_path):
    store = tmp_path / "store"
    command("baseline", "set", run, "--store", store)
    (store / "tiny" / "baseline.json").unlink()
    for baseline in ("tiny", store / "tiny"):
        code, _, err = command("gate", run, "--baseline", baseline, "--store", store)
        assert (code, "there is no baseline.json" in err) == (2, True)
    assert not (run / "gate.json").exists()


def test_a_baseline_is_not_set_through_a_link(run, command, tmp_path):
    store = tmp_path / "store"
    command("baseline", "set", f"{run}:base", "--name", "released", "--store", store)
    for link, target in (("linked", store / "released"), ("lost", "nowhere"), (".new.new", tmp_path / "run")):
        (store / link).symlink_to(target)
        name = "new" if link == ".new.new" else link
        code, _, err = command("baseline", "set", run, "--name", name, "--store", store)
        assert (code, f"{store / link}: it is a link" in err) == (2, True)
        assert (store / link).is_symlink()
    assert json.loads((store / "released" / "baseline.json").read_text())["model"] == "base"


def test_a_baseline_that_is_given_twice_is_an_error_however_it_is_spelled(
    run, tiny_run, command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    command("baseline", "set", f"{run}:base", "--name", "rel")
    shutil.copytree(tiny_run, "other")
    (tmp_path / "link").symlink_to(tmp_path / "other")
    for first, second in (
        ("rel", "rel"),
        ("rel", "baselines/rel"),
        ("rel:base", "./baselines/../baselines/rel"),
        ("other", "./other"),
        ("other", "link"),
        ("other:adapter", str(tmp_path / "other")),
    ):
        code, _, err = command("gate", run, "--baseline", first, "--baseline", second)
        assert (code, "is there twice" in err) == (2, True)
    assert command("gate", run, "--baseline", "other:base", "--baseline", "other:adapter")[0] == 3
