"""Variants of a model as faults make them: adapters of another scale, and weights rounded to a type of GGUF files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from reports.files import read_json, write_json
from training.models.adapters import CONFIG, WEIGHTS

ROUNDINGS = ("q8_0", "q5_0", "q4_1", "q4_0")


def scaled_adapter(folder: Path, factor: float, out: Path) -> Path:
    """Write a copy of a LoRA adapter whose change of the weights is multiplied by `factor`."""
    out.mkdir(parents=True)
    shutil.copyfile(folder / WEIGHTS, out / WEIGHTS)
    settings = read_json(folder / CONFIG)
    settings["lora_alpha"] *= factor
    settings["alpha_pattern"] = {name: factor * alpha for name, alpha in (settings.get("alpha_pattern") or {}).items()}
    write_json(out / CONFIG, settings)
    return out


def round_weights(model: Any, kind: str, *, embeddings: bool = True) -> Any:
    """Round the matrices of a model in place to the values that a GGUF type has for them.

    Vectors, and matrices whose rows are no multiple of the type's block, stay as they are, as in llama.cpp's files.

    Args:
        model: A loaded model.
        kind: A type of `ROUNDINGS`.
        embeddings: Whether embedding and output layer are rounded too; llama.cpp often holds them in more bits.
    """
    import torch
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import dequantize, quantize

    quantization = GGMLQuantizationType[kind.upper()]
    block, _ = GGML_QUANT_SIZES[quantization]
    outer = {model.get_input_embeddings(), model.get_output_embeddings()}
    matrices = {
        module.weight.data_ptr(): module.weight
        for module in model.modules()
        if isinstance(getattr(module, "weight", None), torch.nn.Parameter) and (embeddings or module not in outer)
    }
    with torch.no_grad():
        for weight in matrices.values():
            if weight.ndim == 2 and weight.shape[1] % block == 0:  # noqa: PLR2004 - a matrix
                values = weight.float().cpu().numpy()
                weight.copy_(torch.from_numpy(dequantize(quantize(values, quantization), quantization)))
    return model
