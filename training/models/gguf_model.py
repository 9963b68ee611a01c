"""A GGUF file as a model folder: weights dequantised once, with the tokenizer and chat template that the file holds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.errors import UserError, first_line, is_failure
from reports.files import file_mode, sha256_file
from training.models.cached_folder import cached_folder
from training.models.gguf_file import GgufHeader, read_gguf_header
from training.models.gguf_tokenizer import end_tokens, gguf_tokenizer
from training.models.rope_scaling import TENSOR, llama3_parameters

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_VERSION = "v1"  # of this conversion; another one makes another folder
_OTHER_FILES_BYTES = 100_000_000
# Settings that transformers does not read from the file: the configuration has to have the same value anyway.
_SAME = {
    "attention.key_length": "head_dim",
    "attention.value_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "expert_feed_forward_length": "moe_intermediate_size",
    "final_logit_softcapping": "final_logit_softcapping",
    "rope.dimension_count": "head_dim",
}


def gguf_model(path: Path, say: Callable[[str], None] | None = None) -> tuple[Path, str]:
    """(folder of a GGUF file's model, hash of the file); dequantised on first use and kept in medbench's cache.

    Args:
        path: The file, which is not trusted.
        say: Called with a line before the conversion, and one after it.

    Raises:
        UserError: The file is broken, its architecture or tokenizer is not supported, it has settings or tensors that
            transformers would leave out, or the disk is full.
    """
    header = read_gguf_header(path)
    digest = sha256_file(path)

    def make(work: Path) -> dict[str, str]:
        if say is not None:
            kinds = ", ".join(sorted({tensor.type for tensor in header.tensors.values()}))
            say(f"reading {path.name} ({header.elements / 1e6:,.0f} M weights as {kinds}), once")
        dtype = convert_gguf(path, work / "model")
        if sha256_file(path) != digest:
            raise UserError("the file changed while it was read", where=str(path), fix="try again")
        if say is not None:
            say(f"its dequantised weights are kept as {dtype}, which holds each of them exactly")
        return {"file": path.name, "sha256": digest, "dtype": dtype}

    needed = 4 * header.elements + _OTHER_FILES_BYTES
    return cached_folder(f"gguf-{digest[:32]}-{_VERSION}", f"the weights of {path.name}", needed, make), digest


def _check_architecture(header: GgufHeader, path: Path) -> None:
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    plain = str.maketrans("", "", "-_")  # GGUF writes gpt-oss and qwen2moe, transformers gpt_oss and qwen2_moe
    if header.architecture.translate(plain) not in {name.translate(plain) for name in GGUF_SUPPORTED_ARCHITECTURES}:
        raise UserError(
            f"transformers cannot read GGUF files of the architecture {header.architecture[:60]!r}",
            where=str(path),
            fix="score the model that the file was converted from (--models NAME=FOLDER), or the file through a server"
            " such as llama.cpp's (--models NAME=served:URL#MODEL)",
        )


def convert_gguf(path: Path, folder: Path) -> str:
    """Write a file's model folder, and return the dtype of its weights.

    Raises:
        UserError: As `gguf_model`.
    """
    import torch
    from transformers import GenerationConfig

    header = read_gguf_header(path)
    _check_architecture(header, path)
    tokenizer = gguf_tokenizer(header, path)
    with _one_message(path, header):
        model = _empty_model(path, header)
        _check_read(model, header, path)
        model.load_state_dict(_weights(path, model), strict=False, assign=True)
        model.tie_weights()
        absent = [name for name, parameter in model.named_parameters() if parameter.is_meta]
        if absent:
            raise _left_out(f"the weights {absent[0]} are missing", path)
        if not all(bool(parameter.isfinite().all()) for parameter in model.parameters()):
            raise _left_out("weights hold NaN or infinity", path)
        dtype = _exact_dtype(model)
        model.to(dtype)
        model.generation_config = GenerationConfig(
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=end_tokens(header) or None,
            pad_token_id=tokenizer.pad_token_id,
        )
        model.config.dtype = dtype
        with torch.inference_mode():
            model.save_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        file.chmod(file_mode())  # safetensors ignores the umask and makes them private
    tokenizer.save_pretrained(folder)
    return str(dtype).removeprefix("torch.")


def _empty_model(path: Path, header: GgufHeader) -> PreTrainedModel:
    """The model without weights, with the configuration from the file."""
    import torch
    from gguf import GGUFReader
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    settings: dict[str, Any] = load_gguf_checkpoint(str(path))["config"]
    settings.pop("_model_name_or_path", None)
    settings.pop("quantization_config", None)
    if header.architecture == "llama":  # also a file with the name "mistral", which transformers takes for another kind
        settings["model_type"] = "llama"
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    settings["vocab_size"] = header.tensors["token_embd.weight"].shape[0]
    if not isinstance(tokens, list) or len(tokens) > settings["vocab_size"]:
        raise _left_out("there are more tokens than embeddings", path)
    config = AutoConfig.for_model(**settings)
    if TENSOR in header.tensors:
        factors = next(tensor.data for tensor in GGUFReader(path).tensors if tensor.name == TENSOR)
        rope = llama3_parameters(factors, config.rope_parameters["rope_theta"], config.head_dim)
        if rope is None:
            raise _left_out("its rotary frequencies are not those of Llama 3", path)
        config.rope_parameters = rope
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)


def _check_read(model: PreTrainedModel, header: GgufHeader, path: Path) -> None:
    """Check that the file holds nothing that the model leaves out, and that all shapes fit, before anything is loaded.

    Raises:
        UserError: It does, or one does not.
    """
    from transformers.modeling_gguf_pytorch_utils import (
        GGUF_TO_TRANSFORMERS_MAPPING,
        TENSOR_PROCESSORS,
        TensorProcessor,
        get_gguf_hf_weights_map,
    )

    mapped = GGUF_TO_TRANSFORMERS_MAPPING["config"].get(model.config.model_type.removesuffix("_text"), {})
    prefix = f"{header.architecture}."
    for key, value in header.metadata.items():
        name = key.removeprefix(prefix)
        if not key.startswith(prefix) or (mapped.get(name) is not None and name not in _SAME):
            continue
        own = getattr(model.config, _SAME[name], None) if name in _SAME else None
        if name != "vocab_size" and value != own and (name, value) != ("rope.scaling.type", "none"):
            raise _left_out(f"the setting {key} = {str(value)[:40]} is not one that transformers reads", path)
    config = model.config.to_dict()
    names = get_gguf_hf_weights_map(model, TENSOR_PROCESSORS.get(header.architecture, TensorProcessor)(config=config))
    parameters = model.state_dict()
    for name, tensor in header.tensors.items():
        if name not in names and name != TENSOR:
            raise _left_out(f"the tensor {name[:60]} is not one that transformers reads", path)
        if (
            model.config.model_type == "llama"
            and name in names
            and tensor.shape != tuple(parameters[names[name]].shape)
        ):
            raise _left_out(f"the tensor {name} has the shape {list(tensor.shape)}", path)


def _weights(path: Path, model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Dequantised weights, in float32."""
    import torch
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    tensors = load_gguf_checkpoint(str(path), return_tensors=True, model_to_load=model, torch_dtype=torch.float32)
    parameters = model.state_dict()
    state: dict[str, torch.Tensor] = tensors["tensors"]
    wrong = next((name for name in state if state[name].shape != parameters[name].shape), None)
    if wrong is not None:
        raise _left_out(f"the weights {wrong} have the shape {list(state[wrong].shape)}", path)
    return state


def _exact_dtype(model: PreTrainedModel) -> torch.dtype:
    """The smallest dtype that holds every weight as it is."""
    import torch

    for dtype in (torch.bfloat16, torch.float16):
        if all(bool((weight == weight.to(dtype).float()).all()) for weight in model.state_dict().values()):
            return dtype
    return torch.float32


def _left_out(what: str, path: Path) -> UserError:
    return UserError(
        f"reading this file would give another model: {what}",
        where=str(path),
        fix="score the model that the file was converted from (--models NAME=FOLDER), or the file through a server"
        " such as llama.cpp's (--models NAME=served:URL#MODEL)",
    )


@contextlib.contextmanager
def _one_message(path: Path, header: GgufHeader) -> Iterator[None]:
    """Raise a `UserError` for whatever libraries raise on a file that cannot be converted."""
    try:
        yield
    except (UserError, OSError):
        raise
    except BaseException as error:
        if not is_failure(error):
            raise
        raise UserError(
            f"transformers cannot read this GGUF file of a {header.architecture[:60]} model: {first_line(error)[:200]}",
            where=str(path),
            fix="fetch or convert it again, or score the model that it was converted from (--models NAME=FOLDER)",
        ) from error
