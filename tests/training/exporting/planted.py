"""Folders of merged weights with planted faults, made with the arithmetic of LoRA itself and no code of medbench's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

GRIDS = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0")


def base_weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: weight.float() for name, weight in load_file(folder / "model.safetensors").items()}


def is_layer(name: str) -> bool:
    return name.endswith("_proj.weight")


def as_trained(weights: dict[str, torch.Tensor], dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """The layers in NF4 with double quantisation and back; the rest in the dtype of training."""
    from bitsandbytes import functional

    def held(weight: torch.Tensor) -> torch.Tensor:
        packed, state = functional.quantize_4bit(weight.to(dtype), quant_type="nf4", compress_statistics=True)
        dense: torch.Tensor = functional.dequantize_4bit(packed, state)
        return dense

    return {name: (held(weight) if is_layer(name) else weight.to(dtype)).float() for name, weight in weights.items()}


def changes(adapter: Path) -> dict[str, torch.Tensor]:
    lora = load_file(adapter / "adapter_model.safetensors")
    config = json.loads((adapter / "adapter_config.json").read_text())
    scale = config["lora_alpha"] / config["r"]
    return {
        f"{key.removeprefix('base_model.model.').removesuffix('.lora_A.weight')}.weight": scale
        * lora[key.replace("lora_A", "lora_B")].float()
        @ lora[key].float()
        for key in lora
        if key.endswith(".lora_A.weight")
    }


def plus(
    weights: dict[str, torch.Tensor], change: dict[str, torch.Tensor], factor: float = 1.0
) -> dict[str, torch.Tensor]:
    return {name: weight + factor * change[name] if name in change else weight for name, weight in weights.items()}


def quantised(weights: dict[str, torch.Tensor], grid: str) -> dict[str, torch.Tensor]:
    """The layers in a type of llama.cpp's and back."""
    import gguf

    kind = gguf.GGMLQuantizationType[grid.upper()]
    back = {
        name: torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(weight.numpy(), kind), kind))
        for name, weight in weights.items()
        if is_layer(name)
    }
    return weights | back


def make_lora(
    adapter: Path, folder: Path, *, seed: int, rank: int = 0, size: float = 1.0, alpha: float | None = None
) -> Path:
    """Another adapter of the same layers, with random weights of the same norms as this one's times a size."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    lora = load_file(adapter / "adapter_model.safetensors")
    config = json.loads((adapter / "adapter_config.json").read_text())
    rank = rank or config["r"]
    other = {}
    for key, weight in lora.items():
        shape = (rank, weight.shape[1]) if ".lora_A." in key else (weight.shape[0], rank)
        noise = torch.randn(shape, generator=generator)
        other[key] = noise * (weight.float().norm() / noise.norm()) * (size if ".lora_B." in key else 1.0)
    save_file(other, folder / "adapter_model.safetensors")
    config |= {"r": rank, "lora_alpha": alpha or config["lora_alpha"] * rank / config["r"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def save(weights: dict[str, torch.Tensor], folder: Path, base: Path, dtype: torch.dtype = torch.bfloat16) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copyfile(base / "config.json", folder / "config.json")
    save_file({name: weight.to(dtype).contiguous() for name, weight in weights.items()}, folder / "model.safetensors")
    return folder
