"""Writes a byte-level BPE tokenizer with its special tokens and chat template into the metadata of a GGUF file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.errors import UserError
from reports.files import read_json
from training.models.gguf_tokenizer import CONTROL, SPLITTINGS, UNUSED, USER_DEFINED

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from transformers import PreTrainedTokenizerBase

_NORMAL = 1
LLAMA_CPP = "install llama.cpp, whose converter medbench then uses: set MEDBENCH_LLAMA_CPP to its folder"
# What the ways to split text differ in: digits, contractions, line ends, spaces, several scripts and punctuation.
_SPLIT_TEXT = (
    "\n \n\n\t \t\n  3 33 333 3333 33333.5 ½ ٣٤ I'm we'LL 'RE it'd  don't???!!! x=(a+b)/c;\r\n  naïve Größe 工作1314天"
    "  កាន់ 🚀 (multiple emojis) \u00a0end   \n"
)


def add_tokenizer(writer: GGUFWriter, tokenizer: PreTrainedTokenizerBase, folder: Path, vocab_size: int) -> None:
    """Add the tokenizer of a model folder, padded to the number of embeddings.

    Raises:
        UserError: It is of a kind that is not written here, or cannot be written in GGUF.
    """
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    if model["type"] != "BPE" or type(tokenizer.backend_tokenizer.decoder).__name__ != "ByteLevel":
        raise _unsupported(f"{model['type']} without bytes as letters, as SentencePiece writes it")
    tokens, types = _vocabulary(tokenizer, vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_splitting(tokenizer, ignore_merges=bool(model.get("ignore_merges"))))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]])
    _add_special_tokens(writer, tokenizer, folder)
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)


def _unsupported(what: str) -> UserError:
    return UserError(f"medbench cannot write a tokenizer of this kind into a GGUF file: {what}", fix=LLAMA_CPP)


def _vocabulary(tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> tuple[list[str], list[int]]:
    """(token of each id, its type); ids without a token get a name that is never met."""
    by_id = {place: token for token, place in tokenizer.get_vocab().items()}
    if max(by_id) >= vocab_size:
        raise UserError(
            f"the tokenizer has token {max(by_id)}, the model {vocab_size} embeddings",
            fix="train with a tokenizer that fits the base",
        )
    types = dict.fromkeys(by_id, _NORMAL)
    for place, token in tokenizer.added_tokens_decoder.items():
        types[place] = CONTROL if token.special else USER_DEFINED
    places = range(vocab_size)
    return [by_id.get(place, f"[PAD{place}]") for place in places], [types.get(place, UNUSED) for place in places]


def _splitting(tokenizer: PreTrainedTokenizerBase, *, ignore_merges: bool) -> str:
    """llama.cpp's name of the way in which a tokenizer splits text."""

    def pieces(pre_tokenizer: Any) -> list[str]:
        return [piece for piece, _ in pre_tokenizer.pre_tokenize_str(_SPLIT_TEXT)]

    own = tokenizer.backend_tokenizer.pre_tokenizer
    for name, splitting in SPLITTINGS.items():
        if splitting.ignore_merges == ignore_merges and own and pieces(own) == pieces(splitting.pre_tokenizer()):
            return name
    raise _unsupported(f"it splits text in another way than {', '.join(SPLITTINGS)}")


def _add_special_tokens(writer: GGUFWriter, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Add special tokens, and whether texts begin or end with one; end tokens also from the generation settings."""
    plain, framed = tokenizer("a", add_special_tokens=False).input_ids, tokenizer("a").input_ids
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    frames = {
        (first, last): [*([bos] if first else []), *plain, *([eos] if last else [])]
        for first in (False, True)
        for last in (False, True)
    }
    frame = next((key for key, ids in frames.items() if ids == framed), None)
    if frame is None:
        raise _unsupported("it adds other tokens to texts than those of their beginning and end")
    writer.add_add_bos_token(frame[0])
    writer.add_add_eos_token(frame[1])
    ends = generation_ends(folder)
    ends = [*([eos] if eos is not None else []), *(end for end in ends if end != eos)]
    if len(ends) > 3:  # noqa: PLR2004 - as the loop names
        raise UserError(f"it has {len(ends)} end tokens, a GGUF file holds three", fix=LLAMA_CPP)
    adders = (writer.add_eos_token_id, writer.add_eot_token_id, writer.add_eom_token_id)
    for add, end in zip(adders, ends, strict=False):
        add(end)
    for add, token in (
        (writer.add_bos_token_id, bos),
        (writer.add_unk_token_id, tokenizer.unk_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):
        if token is not None:
            add(token)


def generation_ends(folder: Path) -> list[int]:
    """End tokens in a model folder's generation settings."""
    path = folder / "generation_config.json"
    ends = read_json(path).get("eos_token_id") if path.is_file() else None
    return [] if ends is None else ends if isinstance(ends, list) else [ends]
