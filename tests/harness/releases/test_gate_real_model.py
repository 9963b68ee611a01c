"""The gate on a real model, small: a trained adapter passes, spoiled ones do not, a copy of the base gains nothing."""

import shutil

import pytest
import yaml

from reports.files import sha256_file, write_json
from training.log import FILE, read_log

TASK = "medbench_perplexity"
POLICY = {
    "rules": [
        {"rule": "complete"},
        {"rule": "leakage"},
        {"rule": "contamination"},
        {"rule": "superiority", "metric": f"{TASK}/bits_per_byte"},
        {"rule": "no_regression", "metric": "*/*"},
    ]
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of the quickstart with few steps and items."""
    import harness

    folder = tmp_path_factory.mktemp("runs") / "quickstart"
    settings = ("trainer.max_steps=8", "trainer.batch_size=2", "trainer.warmup_steps=1", f"scoring.tasks=[{TASK}]")
    harness.run("quickstart", out=folder, limit=12, settings=settings, quiet=True)
    return folder


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "gate.yaml"
    path.write_text(yaml.safe_dump(POLICY))
    return path


def spoiled(run, folder, spoil):
    """The same run with other weights in its adapter, scored anew."""
    from safetensors.torch import load_file, save_file

    import harness

    shutil.copytree(run, folder)
    path = folder / "adapter" / "adapter_model.safetensors"
    save_file({name: spoil(name, weight).contiguous() for name, weight in load_file(path).items()}, path)
    log = read_log(folder / "adapter")
    write_json(
        folder / "adapter" / FILE, log.model_copy(update={"weights_sha256": sha256_file(path)}).model_dump(mode="json")
    )
    harness.score(out=folder, quiet=True)
    return folder


def negated(name, weight):
    return -weight if "lora_B" in name else weight


def shuffled(_, weight):
    import torch

    order = torch.randperm(weight.numel(), generator=torch.Generator().manual_seed(0))
    return weight.flatten()[order].reshape(weight.shape)


def emptied(name, weight):
    return weight * 0 if "lora_B" in name else weight


@pytest.mark.slow
@pytest.mark.real_model
@pytest.mark.timeout(900)
def test_a_trained_adapter_passes_spoiled_ones_do_not_and_a_copy_of_the_base_gains_nothing(
    trained, policy, tmp_path, command
):
    code, out, err = command("gate", trained, "--policy", policy)
    assert code == 0, out + err
    store = tmp_path / "baselines"
    assert command("baseline", "set", trained, "--name", "released", "--store", store)[0] == 0
    for name, spoil in (("negated", negated), ("shuffled", shuffled)):
        run = spoiled(trained, tmp_path / name, spoil)
        code, out, _ = command("gate", run, "--policy", policy)
        assert code == 1, out
        code, out, _ = command("gate", run, "--baseline", "released", "--store", store)
        assert code == 1, out
        assert "shown to be worse" in " ".join(out.split())
    copy = spoiled(trained, tmp_path / "copy", emptied)
    code, out, _ = command("gate", copy)
    assert code == 3, out  # 12 equal answers rule out no loss
    assert "identical on all 12 items" in " ".join(out.split())
    code, out, _ = command("gate", copy, "--policy", policy)
    assert code == 3, out  # and show no gain
    code, out, _ = command("gate", copy, "--baseline", "released", "--store", store)
    assert code == 1, out
