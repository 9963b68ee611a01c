"""The gate and `push` compare the adapter that is there now with the one that was scored."""

import json
import os
import shutil

import pytest
import yaml

from harness.releases.gating import gate
from reports.document.reading import read_results, write_results
from reports.errors import UserError
from reports.files import write_json
from tests.harness.releases.conftest import REPO

pytestmark = pytest.mark.usefixtures("without_plots")

CONFIG, WEIGHTS, LOG = "adapter_config.json", "adapter_model.safetensors", "training_log.json"


@pytest.fixture
def adapter(run):
    return run / "adapter"


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump({"rules": [{"rule": "complete"}]}))
    return path


def configure(folder, file=CONFIG, **settings):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def replace_by(make):
    def change(path):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        make(path)

    return change


def into_folder(path):
    path.rename(path.with_name("moved"))
    path.mkdir()
    path.with_name("moved").rename(path / path.name)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder: configure(folder, lora_alpha=64), "its settings"),
        (lambda folder: configure(folder, use_rslora=True), "its settings"),
        (lambda folder: configure(folder, alpha_pattern={"q_proj": 64}), "its settings"),
        (lambda folder: configure(folder, target_modules=["q_proj"]), "its settings"),
        (lambda folder: (folder / "chat_template.jinja").write_text("Say yes."), "its settings or tokenizer"),
        (lambda folder: configure(folder, "tokenizer_config.json", eos_token="a"), "its settings or tokenizer"),
        (lambda folder: (folder / "generation_config.json").write_text('{"eos_token_id": 5}'), "its settings or token"),
        (lambda folder: configure(folder, peft_type="LOHA"), "not a LoRA adapter"),
        (lambda folder: (folder / WEIGHTS).rename(folder / "adapter_model.bin"), "pickled (adapter_model.bin)"),
        (lambda folder: (folder / WEIGHTS).unlink(), f"there is no {WEIGHTS} in it"),
        (lambda folder: (folder / CONFIG).unlink(), f"there is no {CONFIG} in it"),
        (lambda folder: replace_by(os.mkfifo)(folder / WEIGHTS), "neither a file nor a folder"),
        (lambda folder: replace_by(os.mkfifo)(folder / CONFIG), "neither a file nor a folder"),
        (lambda folder: into_folder(folder / WEIGHTS), f"there is no {WEIGHTS} in it"),
        (lambda folder: into_folder(folder / CONFIG), f"it is no adapter but holds {CONFIG}"),
        (lambda folder: (folder / CONFIG).write_text("{"), "invalid JSON"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b""), "its weights"),
        (
            lambda folder: replace_by(lambda path: path.symlink_to(path.with_name(CONFIG)))(folder / WEIGHTS),
            "its weights",
        ),
        (replace_by(lambda folder: folder.symlink_to("nowhere")), f"there is no {CONFIG} in it"),
        (replace_by(lambda folder: folder.write_text("")), f"there is no {CONFIG} in it"),
        (replace_by(os.mkfifo), f"there is no {CONFIG} in it"),
    ],
)
@pytest.mark.parametrize("without_log", [False, True])
def test_whatever_was_changed_after_scoring_is_noticed(run, adapter, policy, without_log, change, reason):
    assert gate(run, policy=policy, quiet=True).candidate.has_weights
    if without_log:
        (adapter / LOG).unlink()
    change(adapter)
    with pytest.raises(UserError) as caught:
        gate(run, policy=policy, quiet=True)
    assert reason in caught.value.what


def test_the_name_of_the_base_may_be_shortened_and_modules_may_stand_in_any_order(run, adapter, policy):
    modules = json.loads((adapter / CONFIG).read_text())["target_modules"]
    assert len(modules) > 1
    configure(adapter, base_model_name_or_path="tiny", target_modules=modules[::-1])
    assert gate(run, policy=policy, quiet=True).verdict == "pass"


def test_an_adapter_that_is_not_in_the_run_folder_is_said_not_to_be_compared(run, adapter, policy):
    adapter.rename(run / "elsewhere")
    assert not gate(run, policy=policy, quiet=True).candidate.has_weights
    assert "(they are not in the run folder, so they were not compared" in (run / "gate.md").read_text()


def test_results_that_do_not_record_the_settings_are_of_an_earlier_version(run, policy):
    results = read_results(run)
    results.models[1].config_sha256 = None
    write_results(run, results)
    with pytest.raises(UserError, match="of an earlier version"):
        gate(run, policy=policy, quiet=True)


def test_settings_that_training_did_not_write_are_noticed_everywhere(hub, run, adapter, command):
    """Also where the results were made to name them."""
    configure(adapter, lora_alpha=64)
    for words in (["push", run, REPO], ["export", run], ["score", "--out", run]):
        code, _, err = command(*words)
        assert (code, "the adapter's settings" in err, "that its training produced" in " ".join(err.split())) == (
            2,
            True,
            True,
        ), words


def test_a_finished_run_is_not_shown_with_other_settings_whatever_their_time(run, adapter, tiny_recipe, command):
    assert command("run", "--recipe", tiny_recipe, "--out", run)[0] == 0
    before, path = (adapter / CONFIG).stat(), adapter / CONFIG
    path.write_text(path.read_text().replace('"lora_alpha": 8', '"lora_alpha": 9'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert command("run", "--recipe", tiny_recipe, "--out", run)[0] == 2


def test_scores_with_other_settings_are_not_pushed(hub, run, adapter, command):
    (adapter / LOG).unlink()
    configure(adapter, lora_alpha=64)
    code, out, err = command("push", run, REPO)
    assert (code, "scores of another adapter than this" in out) == (0, True), err


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "generation_config.json"])
def test_an_exported_model_that_was_changed_is_not_pushed(hub, run, command, file):
    assert command("export", run)[0] == 0
    path = run / "merged" / file
    if file == "model.safetensors":
        path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    else:
        configure(path.parent, file, eos_token_id=2)
    code, _, err = command("push", run / "merged", REPO)
    assert (code, "not those that the export wrote" in " ".join(err.split())) == (2, True), err


def test_a_pool_without_one_of_its_members_is_refused(run, policy):
    results = read_results(run)
    own = results.models[1]
    own.kind, own.members = "pool", ["seed-1"]
    write_results(run, results)
    with pytest.raises(UserError, match="the results lack seed-1 of adapter"):
        gate(run, policy=policy, quiet=True)


def test_the_adapters_of_several_seeds_are_compared(run, adapter, policy):
    """Each in its own folder."""
    results = read_results(run)
    own = results.models[1]
    for seed in (1, 2):
        shutil.copytree(adapter, run / "seeds" / str(seed) / "adapter")
        results.models.append(own.model_copy(update={"name": f"seed-{seed}", "trained_here": False}))
    own.kind, own.members = "pool", ["seed-1", "seed-2"]
    write_results(run, results)
    assert gate(run, policy=policy, quiet=True).candidate.has_weights
    log = run / "seeds" / "2" / "adapter" / LOG
    write_json(log, json.loads(log.read_text()) | {"config_sha256": None})
    configure(log.parent, lora_alpha=64)
    with pytest.raises(UserError, match="its settings"):
        gate(run, policy=policy, quiet=True)
