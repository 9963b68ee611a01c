"""Writes a model folder of the Llama family as a GGUF file with the `gguf` package.

llama.cpp rotates neighbouring numbers of a head, transformers those of its halves, so rows of q_proj and k_proj change
places. Norms stay in float32; in q4_0 the matrix that gives the logits is q8_0, as llama.cpp too keeps it finer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.errors import UserError
from reports.files import read_json
from training.exporting.gguf_tokenizer import LLAMA_CPP, add_tokenizer
from training.models.rope_scaling import TENSOR, frequency_factors
from training.models.safetensors_file import read_header

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter
    from transformers import PreTrainedConfig

OWN_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0")
_EMBEDDINGS, _HEAD = "model.embed_tokens.weight", "lm_head.weight"
_LAYER = "model.layers."
_NAMES = {
    _EMBEDDINGS: "token_embd",
    _HEAD: "output",
    "model.norm.weight": "output_norm",
    "input_layernorm.weight": "attn_norm",
    "post_attention_layernorm.weight": "ffn_norm",
    "self_attn.q_proj.weight": "attn_q",
    "self_attn.k_proj.weight": "attn_k",
    "self_attn.v_proj.weight": "attn_v",
    "self_attn.o_proj.weight": "attn_output",
    "mlp.gate_proj.weight": "ffn_gate",
    "mlp.up_proj.weight": "ffn_up",
    "mlp.down_proj.weight": "ffn_down",
}


def is_llama(folder: Path) -> bool:
    """Whether a model folder is of an architecture that `write_llama` writes; Mistral without a window is the same."""
    value = read_json(folder / "config.json")
    name = (value.get("architectures") or [""])[0]
    return name == "LlamaForCausalLM" or (name == "MistralForCausalLM" and value.get("sliding_window") is None)


def write_llama(folder: Path, path: Path, kind: str, name: str) -> None:
    """Write a model folder as a GGUF file, one tensor in memory at a time.

    Args:
        folder: The model folder.
        path: The file.
        kind: One of `OWN_TYPES`.
        name: Of the model, in the file's metadata.

    Raises:
        UserError: The model or its tokenizer has something that is not written here, or a weight is too large for the
            type.
    """
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGUFWriter, LlamaFileType
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    _check_config(config)
    writer = GGUFWriter(path, "llama")
    writer.add_type("model")
    writer.add_name(name)
    writer.add_file_type(LlamaFileType["ALL_F32" if kind == "f32" else f"MOSTLY_{kind.upper()}"])
    writer.add_quantization_version(2)
    _add_settings(writer, config)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    add_tokenizer(writer, tokenizer, folder, config.vocab_size)
    rope: dict[str, Any] = config.rope_parameters
    factors = frequency_factors(rope, config.head_dim) if rope["rope_type"] == "llama3" else None
    if factors is not None:
        writer.add_tensor_info(TENSOR, factors.shape, factors.dtype, factors.nbytes)
    with ExitStack() as stack:
        weights = Weights(folder, stack)
        types = {key: tensor_type(key, shape, kind, weights.shapes) for key, shape in weights.shapes.items()}
        for key, shape in weights.shapes.items():
            block, size = GGML_QUANT_SIZES[types[key]]
            n_bytes = math.prod(shape) // block * size
            writer.add_tensor_info(_gguf_name(key), shape, np.dtype(np.float32), n_bytes, raw_dtype=types[key])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        if factors is not None:
            writer.write_tensor_data(factors)
        for key, type_ in types.items():
            writer.write_tensor_data(quantise(_rotary_rows(weights.read(key), key, config), type_))
    writer.close()


class Weights:
    """Weights of a model folder, read one at a time.

    Attributes:
        shapes: Shape of each by its name in transformers.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        import safetensors

        self._files = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for path in sorted(folder.glob("*.safetensors")):
            opened = stack.enter_context(safetensors.safe_open(path, "pt"))
            for key, tensor in read_header(path).items():
                self._files[key], self.shapes[key] = opened, tensor.shape

    def read(self, key: str) -> np.ndarray:
        """A weight in float32."""
        weight: np.ndarray = self._files[key].get_tensor(key).float().numpy()
        return weight


def tensor_type(
    key: str, shape: tuple[int, ...], kind: str, shapes: Mapping[str, tuple[int, ...]]
) -> GGMLQuantizationType:
    """The type in which a weight is written in a file of a kind.

    Args:
        key: Its name in transformers.
        shape: Its shape.
        kind: One of `OWN_TYPES`.
        shapes: Shapes of all weights; without a head of its own, the model's embeddings are the head.
    """
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    if len(shape) == 1:
        return GGMLQuantizationType.F32
    is_head = key == (_HEAD if _HEAD in shapes else _EMBEDDINGS)
    type_ = GGMLQuantizationType["Q8_0" if kind == "q4_0" and is_head else kind.upper()]
    return GGMLQuantizationType.F16 if shape[-1] % GGML_QUANT_SIZES[type_][0] else type_


def quantise(weight: np.ndarray, type_: GGMLQuantizationType) -> np.ndarray:
    """A float32 weight as the numbers or blocks of a type.

    Raises:
        UserError: It is too large for float16.
    """
    import numpy as np
    from gguf import quants

    with np.errstate(over="ignore"):
        quantised: np.ndarray = quants.quantize(weight, type_)
    if not np.isfinite(quants.dequantize(quantised, type_)).all():
        raise UserError(f"a weight is too large for {type_.name.lower()}", where="--gguf", fix="use bf16 or f32")
    return quantised


def _gguf_name(key: str) -> str:
    layer, _, part = key.removeprefix(_LAYER).partition(".")
    name = _NAMES[part if key.startswith(_LAYER) else key]
    return f"blk.{layer}.{name}.weight" if key.startswith(_LAYER) else f"{name}.weight"


def _rotary_rows(weight: np.ndarray, key: str, config: PreTrainedConfig) -> np.ndarray:
    """Rows of q_proj and k_proj in llama.cpp's order: both halves of a head interleaved."""
    if not key.endswith(("q_proj.weight", "k_proj.weight")):
        return weight
    rows, columns = weight.shape
    halves = weight.reshape(rows // config.head_dim, 2, config.head_dim // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def _check_config(config: PreTrainedConfig) -> None:
    """Check that a GGUF file of a Llama holds all that makes this model.

    Raises:
        UserError: It does not.
    """
    rope = config.rope_parameters["rope_type"]
    odd = {
        "attention_bias": getattr(config, "attention_bias", False),
        "mlp_bias": getattr(config, "mlp_bias", False),
        "hidden_act": config.hidden_act if config.hidden_act != "silu" else None,
        "rope_type": rope if rope not in ("default", "llama3") else None,
    }
    name = next((key for key, value in odd.items() if value), None)
    if name is not None:
        raise UserError(
            f"medbench writes no GGUF file of a model with {name} = {odd[name]}", where="--gguf", fix=LLAMA_CPP
        )


def _add_settings(writer: GGUFWriter, config: PreTrainedConfig) -> None:
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
