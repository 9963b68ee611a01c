"""Loading a base: scoring computes with the weights, and the positions, that training saw."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch

from reports.errors import UserError
from training.models.architecture import architecture
from training.models.base_model import find_base
from training.models.device import Cuda, device_of
from training.models.loading import fits_dense, load_base, load_for_scoring
from training.recipes.recipe import ModelSection, QuantizationSection


def test_positions_are_not_rounded_to_the_weights_dtype(tiny_model):
    """Rotary frequencies are buffers; in bfloat16 far tokens would lie elsewhere than in training."""
    base = find_base(ModelSection(base=str(tiny_model)))
    trained = load_base(base, QuantizationSection(), dtype="bfloat16", device=device_of("cpu"))
    wanted = dict(trained.named_buffers())["model.rotary_emb.inv_freq"]
    for quantization in (QuantizationSection(), None):
        scored = load_for_scoring(base, quantization, train_dtype="bfloat16", dtype="bfloat16", device=device_of("cpu"))
        assert scored.dtype == torch.bfloat16
        found = dict(scored.named_buffers())["model.rotary_emb.inv_freq"]
        assert found.dtype == torch.float32
        assert torch.equal(found, wanted)


def test_where_dense_weights_do_not_fit_the_4_bit_kernels_compute_with_the_same_values(tiny_model):
    base = find_base(ModelSection(base=str(tiny_model)))
    settings = {"train_dtype": "float32", "dtype": "float32", "device": device_of("cpu")}
    dense = load_for_scoring(base, QuantizationSection(), **settings)
    held = load_for_scoring(base, QuantizationSection(), **settings, dense=False)
    name = "model.layers.0.self_attn.q_proj.weight"
    assert held.get_parameter(name).numel() < dense.get_parameter(name).numel()
    tokens = torch.arange(2, 40)[None]
    with torch.inference_mode():
        assert torch.allclose(dense(tokens).logits, held(tokens).logits, atol=1e-4)


def test_whether_dense_weights_fit_is_decided_by_the_memory_of_the_device(tiny_model):
    """A tiny model of 106,304 parameters takes at most three quarters of the memory, 4 bytes each in float32."""
    base = find_base(ModelSection(base=str(tiny_model)))
    needed = 4 * architecture(base).parameters

    def memory(size):
        return Cuda(
            SimpleNamespace(cuda=SimpleNamespace(get_device_properties=lambda _: SimpleNamespace(total_memory=size)))
        )

    assert fits_dense(base, "float32", memory(-(-needed * 4 // 3)))
    assert not fits_dense(base, "float32", memory(needed * 4 // 3 - 1))
    assert fits_dense(base, "bfloat16", memory(needed * 4 // 3 - 1))


def test_a_gptq_base_without_its_package_is_one_message(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "gptq")
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    (folder / "config.json").write_text(json.dumps(config))
    base = find_base(ModelSection(base=str(folder)))
    with pytest.raises(UserError, match=r"quantised with gptq(.|\n)*pip install gptqmodel"):
        load_base(base, QuantizationSection(), dtype="float32", device=device_of("cpu"))
