"""Exports that would be wrong, or cannot be written, are one message and leave nothing behind."""

import pytest
import torch

from reports.errors import UserError
from tests.fake_torch import fake_torch
from training.exporting.merging import one_message, write_model
from training.models.base_model import find_base
from training.models.device import Cuda, Mps
from training.recipes.recipe_file import load_recipe


def test_nothing_is_ever_overwritten(tiny_run, merge, tmp_path):
    (tmp_path / "out" / "merged").mkdir(parents=True)
    with pytest.raises(UserError, match="there already"):
        merge(tiny_run / "adapter")


@pytest.mark.parametrize("fault", ["forgotten", "doubled"])
def test_a_wrong_merge_is_found_and_leaves_nothing(tiny_run, merge, monkeypatch, tmp_path, fault):
    from peft.tuners.lora import Linear

    right = Linear.merge

    def wrong(layer, **more):
        if fault == "doubled":
            layer.scaling["default"] *= 2
        else:
            layer.scaling["default"] = 0.0
        right(layer, **more)

    monkeypatch.setattr(Linear, "merge", wrong)  # PEFT makes its layers itself
    with pytest.raises(UserError, match="does not predict what the adapter on its base predicts"):
        merge(tiny_run / "adapter")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_adapter_that_rounding_would_swallow_is_not_exported_as_if_it_were_there(make_adapter, merge):
    from safetensors.torch import load_file, save_file

    adapter = make_adapter()
    weights = load_file(adapter / "adapter_model.safetensors")
    file = adapter / "adapter_model.safetensors"
    save_file({key: value * (3e-4 if "lora_B" in key else 1) for key, value in weights.items()}, file)
    with pytest.raises(UserError, match=r"does not predict[^\n]*\n.*--dtype float32"):
        merge(adapter, base_weights="full")
    log, _ = merge(adapter, base_weights="full", dtype="float32")
    assert log.notes == []


def test_an_adapter_with_nan_is_refused(make_adapter, merge, tmp_path):
    from safetensors.torch import load_file, save_file

    adapter = make_adapter()
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({key: value * float("nan") for key, value in weights.items()}, adapter / "adapter_model.safetensors")
    with pytest.raises(UserError, match="hold NaN or infinity"):
        merge(adapter)
    assert not (tmp_path / "out").exists()


def test_weights_too_large_for_float16_are_refused(make_adapter, merge):
    from safetensors.torch import load_file, save_file

    adapter = make_adapter()
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({key: value * 1e4 for key, value in weights.items()}, adapter / "adapter_model.safetensors")
    with pytest.raises(UserError, match="too large for float16"):
        merge(adapter, dtype="float16")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError(), "take a machine with more memory"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (
            RuntimeError("layers of this kind\nand more"),
            "cannot be merged into a model of type llama: layers of this kind",
        ),
    ],
)
def test_what_stops_the_writing_is_one_message_and_leaves_nothing(tiny_run, merge, tmp_path, error, message):
    def fail(model, base, part, size):
        (part / "half").write_text("x")
        raise error

    with pytest.raises(UserError, match=message):
        merge(tiny_run / "adapter", write=fail)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("device", "error", "fix"),
    [
        (Cuda(fake_torch(cuda=True)), torch.OutOfMemoryError(), r'CUDA_VISIBLE_DEVICES="" medbench'),
        (
            Mps(fake_torch(mps=True)),
            RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"),
            r"PYTORCH_MPS_HIGH_WATERMARK_RATIO=0\.0 medbench",
        ),
    ],
)
def test_a_merge_that_runs_out_of_memory_names_a_way_with_more(tiny_recipe, device, error, fix):
    base = find_base(load_recipe(str(tiny_recipe)).model)
    with pytest.raises(UserError, match=rf"does not fit into the GPU's memory\n.*{fix}"), one_message(base, device):
        raise error


def test_a_full_disk_is_seen_before_anything_is_written(tiny_run, merge, free_disk_bytes):
    free_disk_bytes(1)
    with pytest.raises(UserError, match="the disk has"):
        merge(tiny_run / "adapter")


def test_a_model_that_does_not_load_whole_is_not_kept(tiny_run, merge, tmp_path):
    from safetensors.torch import load_file, save_file

    def lose_one(model, base, part, size):
        write_model(model, base, part, size)
        weights = load_file(part / "model.safetensors")
        weights.pop("model.norm.weight")
        save_file(weights, part / "model.safetensors", {"format": "pt"})

    with pytest.raises(UserError, match=r"does not load whole: 1 weights .* model\.norm\.weight"):
        merge(tiny_run / "adapter", write=lose_one)
    assert list((tmp_path / "out").iterdir()) == []
