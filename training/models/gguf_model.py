"""A GGUF file as a model folder: weights dequantised once by transformers, cached by the file's hash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reports.errors import UserError, first_line, is_failure
from reports.files import sha256_file
from training.home import medbench_home


def gguf_model(path: Path, say: Callable[[str], None] | None = None) -> Path:
    """The folder of a GGUF file's model: safetensors, configuration, tokenizer and chat template.

    Raises:
        UserError: transformers cannot read the file.
    """
    folder = medbench_home() / "gguf" / sha256_file(path)[:32]
    if folder.is_dir():
        return folder
    if say is not None:
        say(f"dequantising {path.name}, once")
    work = folder.with_suffix(".making")
    try:
        _convert(path, work)
    except BaseException as error:
        if not is_failure(error):
            raise
        what = f"transformers cannot read it: {first_line(error)[:300]}"
        raise UserError(what, where=str(path), fix="give a GGUF file of a kind that transformers reads") from error
    work.replace(folder)
    return folder


def _convert(path: Path, work: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source, file = path.parent, path.name
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=file, trust_remote_code=False)
    loaded = AutoModelForCausalLM.from_pretrained(source, gguf_file=file, dtype=torch.float32, trust_remote_code=False)
    settings = {key: value for key, value in loaded.config.to_dict().items() if key != "quantization_config"}
    model = type(loaded)(type(loaded.config).from_dict(settings))
    model.load_state_dict(loaded.state_dict())
    model.save_pretrained(work)
    tokenizer.save_pretrained(work)
