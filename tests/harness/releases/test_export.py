"""`medbench export`: from a run, an adapter's folder or one of unknown training to a plain model folder."""

import json
import shutil

import pytest


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


@pytest.fixture
def foreign(tiny_run, tiny_model, tmp_path):
    """An adapter of which nothing is known but its base."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(tiny_run / "adapter" / name, folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": str(tiny_model)}))
    return folder


def test_a_runs_own_adapter_is_exported_into_the_run(run, command):
    from transformers import AutoModelForCausalLM

    code, out, err = command("export", run)
    assert code == 0, err
    assert "NF4 with double quantisation, dequantised once to float32" in out
    assert "mean KL divergence" in out
    assert "biggest logit difference" in out
    assert "same most likely token" in out
    assert f"model: {run / 'merged'}" in out
    AutoModelForCausalLM.from_pretrained(run / "merged")
    code, _, err = command("export", run)
    assert code == 2
    assert "never overwrites" in err


def test_it_is_a_function_too(run, tmp_path):
    import harness

    log = harness.export(run / "adapter", tmp_path / "mine", base="full", dtype="float32", quiet=True)
    assert (log.base_weights, log.dtype) == ("full", "float32")
    assert (tmp_path / "mine" / "model.safetensors").is_file()


def test_an_adapter_that_does_not_say_how_it_was_trained_needs_to_be_told(foreign, command):
    code, _, err = command("export", foreign)
    assert code == 2
    assert "--set quantization.method=nf4" in err
    assert command("export", foreign, "--set", "quantization.method=none")[0] == 0
    assert (foreign.parent / "foreign-merged" / "model.safetensors").is_file()
    assert "samples:reasoning_train" not in (foreign.parent / "foreign-merged" / "README.md").read_text()
    assert command("export", foreign, "--base", "full", "--out", foreign.parent / "other")[0] == 0


def test_an_adapter_of_another_base_or_of_an_unknown_kind_of_model_is_refused(run, wide_model, tmp_path, command):
    code, _, err = command("export", run, "--set", f"model.base={wide_model}")
    assert code == 2
    assert "the adapter is for another base" in err
    odd = shutil.copytree(wide_model, tmp_path / "odd")
    (odd / "config.json").write_text('{"model_type": "no-such-model"}')
    code, _, err = command("export", run, "--set", f"model.base={odd}")
    assert code == 2
    assert "does not know this kind of model" in err
    assert not (run / "merged").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("no/such/folder",), "there is no such adapter folder"),
        (("{run}/samples",), "there is no adapter_config.json"),
        (("{run}", "--max-shard-size", "huge"), "write a whole number, such as 5GB"),
        (("{run}", "--set", "lora.rank=4"), "unknown key"),
    ],
)
def test_what_cannot_be_exported_is_one_message(run, command, words, message):
    code, _, err = command("export", *(word.format(run=run) for word in words))
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_a_run_without_an_adapter_is_told_to_train(run, command):
    shutil.rmtree(run / "adapter")
    code, _, err = command("export", run)
    assert code == 2
    assert "medbench train" in err


def test_a_run_that_another_process_works_in_is_left_alone(run, command):
    from harness.folder import RunFolder

    with RunFolder(run).lock():
        code, _, err = command("export", run)
    assert code == 2
    assert "another medbench is working" in err
