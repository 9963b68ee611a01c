"""Compares a GGUF file, read back as a model folder, with the folder it was written from: weights, tokens, settings."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.errors import UserError
from tasks.data import DataSource, load_reasoning
from training.exporting.agreement import Agreement, compare, logits
from training.exporting.gguf_llama import Weights, quantise, tensor_type
from training.exporting.gguf_tokenizer import generation_ends
from training.exporting.merging import load_written
from training.models.device import pick_device

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEXTS = 1000
_PROBES, _PROBE_TOKENS = 4, 256
# Largest relative error of a tensor that llama.cpp wrote. A tensor of other numbers is off by 1.4.
_TOLERANCES = {"f32": 1e-6, "f16": 1e-3, "bf16": 4e-3, "q8_0": 0.02}
_ANY_TOLERANCE = 0.5
_SETTINGS = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("head_dim", "rms_norm_eps", "rope_parameters", "max_position_embeddings", "tie_word_embeddings"),
)
_LETTERS = (
    "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789 .,;:!?'\"()[]{}<>|/\\@#$%^&*_-+=~`"
    " \t\n\r\u00a0\u2003\u200d'sßéñøłžğЖщλαβ漢字かな한글العربيةहिन्दीไทย①½Ⅷ٣€µ±°→≥🚀😶‍🌫️é"  # noqa: RUF001 - scripts whose letters look alike are the point
)


def compare_weights(merged: Path, read: Path, kind: str, *, exact: bool) -> tuple[int, float]:
    """(number of tensors, largest relative error) of a file's weights.

    Args:
        merged: The folder that it was written from.
        read: The folder that was read from it.
        kind: Its type.
        exact: Whether each weight has to be what the type makes of the merged one, bit for bit.

    Raises:
        UserError: A tensor is missing, or differs by more than the type explains.
    """
    import numpy as np
    from gguf import quants

    largest = 0.0
    with ExitStack() as stack:
        source, result = Weights(merged, stack), Weights(read, stack)
        if source.shapes != result.shapes:
            key = min(set(source.shapes.items()) ^ set(result.shapes.items()))[0]
            raise _differs(f"the weights {key} are missing, added or of another shape")
        for key, shape in source.shapes.items():
            weight, other = source.read(key), result.read(key)
            if exact:
                type_ = tensor_type(key, shape, kind, source.shapes)
                if not np.array_equal(quants.dequantize(quantise(weight, type_), type_).reshape(shape), other):
                    raise _differs(f"the weights {key} are not what {type_.name.lower()} makes of them")
            size = float(np.linalg.norm(weight.ravel()))
            error = float(np.linalg.norm((weight - other).ravel())) / size if size else float(np.abs(other).max())
            if not error <= _TOLERANCES.get(kind, _ANY_TOLERANCE) and not exact:
                raise _differs(f"the weights {key} are off by {error:.2g} of their size, more than {kind} explains")
            largest = max(largest, error)
        return len(source.shapes), largest


def compare_tokenizers(own: PreTrainedTokenizerBase, read: PreTrainedTokenizerBase) -> int:
    """Number of texts that both turn into the same tokens.

    Raises:
        UserError: One is not, or chat template or special tokens differ.
    """
    texts = check_texts(own)
    for text in texts:
        expected, actual = own(text).input_ids, read(text).input_ids
        if expected != actual:
            at = next((at for at, pair in enumerate(zip(expected, actual, strict=False)) if pair[0] != pair[1]), 0)
            raise _differs(
                f"its tokenizer splits {text[:60]!r} in another way: {expected[at : at + 8]} became"
                f" {actual[at : at + 8]}"
            )
    for name in ("bos_token_id", "eos_token_id", "pad_token_id", "chat_template"):
        if getattr(own, name) != getattr(read, name):
            raise _differs(f"its {name} is {str(getattr(read, name))[:60]!r}, not {str(getattr(own, name))[:60]!r}")
    return len(texts)


def check_texts(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Texts of medbench's own samples, and random ones of letters, numbers, spaces and special tokens."""
    rows = load_reasoning(DataSource(source="samples:reasoning_heldout"), seed=0)
    texts = [text for row in rows for text in (row.question, row.reasoning or "", row.response) if text]
    texts = texts[: TEXTS // 2]
    draw = random.Random(0)  # noqa: S311 - texts, not secrets
    parts = [*_LETTERS, "\n\n", "   ", "\t\t", "12345", "3.14", "I'm", "we'LL", *tokenizer.all_special_tokens]
    random_texts = ("".join(draw.choices(parts, k=draw.randint(8, 60))) for _ in range(TEXTS - len(texts)))
    return [*texts, *random_texts]


def compare_settings(merged: Path, read: Path, eos: int | None) -> None:
    """Check that both folders have the same configuration, and answers end at the same tokens.

    Raises:
        UserError: They do not.
    """
    from transformers import AutoConfig

    own, other = (
        AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False) for path in (merged, read)
    )
    for name in _SETTINGS:
        expected, actual = getattr(own, name, None), getattr(other, name, None)
        if not _equal(expected, actual):
            raise _differs(f"its {name} is {str(actual)[:60]}, not {str(expected)[:60]}")
    ends = {*generation_ends(merged), *([] if eos is None else [eos])}
    if ends != set(generation_ends(read)):
        raise _differs(f"its answers end at the tokens {generation_ends(read)}, not {sorted(ends)}")


def _equal(expected: Any, actual: Any) -> bool:
    """Equal, but for what a float loses in 32 bits."""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return expected.keys() == actual.keys() and all(_equal(expected[key], actual[key]) for key in expected)
    if isinstance(expected, float) and isinstance(actual, int | float):
        return math.isclose(expected, actual, rel_tol=1e-6)
    return bool(expected == actual)


def compare_predictions(merged: Path, read: Path, tokenizer: PreTrainedTokenizerBase) -> Agreement:
    """Divergence of the file's predictions from the merged model's, on texts of the samples."""
    device = pick_device()
    probes = [tokenizer(text).input_ids[:_PROBE_TOKENS] for text in check_texts(tokenizer)[:_PROBES]]
    expected, actual = (logits(load_written(folder, device), probes) for folder in (merged, read))
    return compare(expected, actual)


def _differs(what: str) -> UserError:
    return UserError(
        f"the GGUF file does not hold the merged model: {what}; nothing was saved",
        where="--gguf",
        fix="use the merged folder (medbench export without --gguf), or another version of llama.cpp to convert it",
    )
