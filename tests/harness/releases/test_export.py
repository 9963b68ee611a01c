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


def test_a_gguf_file_is_written_into_the_run_or_where_out_says(run, tmp_path, command):
    code, out, err = command("export", run, "--gguf", "q8_0")
    assert code == 0, err
    assert "q8_0, " in out
    assert "1,000 tokenised texts" in out
    assert f"model: {run / 'merged-q8_0.gguf'}" in out
    assert not (run / "merged").exists()
    log = json.loads((run / "merged-q8_0.gguf.json").read_text())
    assert log["gguf"]["type"] == "q8_0"
    assert log["adapter_kl"] > log["gguf"]["mean_kl"]
    assert command("export", run, "--gguf", "q8_0")[0] == 2
    code, out, err = command("export", run, "--gguf", "f16", "--out", tmp_path / "files")
    assert code == 0, err
    assert (tmp_path / "files" / "merged-f16.gguf").is_file()


def test_an_exported_folder_becomes_a_gguf_file_without_another_merge(run, tmp_path, command):
    import harness

    merged = harness.export(run, dtype="float32", quiet=True)
    log = harness.export(run / "merged", tmp_path / "mine.gguf", gguf="f32", quiet=True)
    assert (tmp_path / "mine.gguf").is_file()
    assert log.gguf.relative_error == 0.0
    assert log.model_copy(update={"gguf": None}) == merged
    config = run / "merged" / "config.json"
    config.write_text(config.read_text() + " ")
    code, _, err = command("export", run / "merged", "--gguf", "f16")
    assert code == 2
    assert "not those that the export wrote" in err


@pytest.mark.parametrize("kind", ["q9", "Q8_0", ""])
def test_a_type_that_there_is_not_is_refused_before_anything_is_read(kind, command):
    code, _, err = command("export", "no/such/run", "--gguf", kind)
    assert code == 2
    assert "no such type" in err
