"""Checks that a model's own tokenizer reads and writes text as it stands, an adapter's as its base's does.

A model may come from anyone. A normalizer that replaces words, a pre-tokenizer that drops them, or a decoder that
rewrites answers would change what is scored without a trace in the samples' prompts.
"""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, Any

from reports.errors import UserError
from tasks.chat import without_space

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_FIX = "score the adapter with its base's tokenizer: --set scoring.adapter_tokenizer=base"
_OWN_FIX = "give the model with the tokenizer that its weights were trained with"
_PLAIN_DECODERS: tuple[dict[str, Any], ...] = (
    {"type": "ByteFallback"},
    {"type": "Fuse"},
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
)
_SHOWN = 6  # words


def check_decoder(own: PreTrainedTokenizerBase, base: PreTrainedTokenizerBase, *, whole: bool = False) -> None:
    """Check that a tokenizer writes tokens as text without changes that the base's does not make.

    Args:
        own: Tokenizer of an adapter, or of a `whole` model.
        base: The base's.
        whole: Which of the two it is, for the message.

    Raises:
        UserError: It replaces or drops text.
    """
    theirs = _decoders(base)
    for part in _decoders(own):
        if part not in theirs and part not in _PLAIN_DECODERS and not _keeps_text(part):
            raise _error(
                own,
                f"rewrites answers ({json.dumps(part)[:200]} in its decoder), unlike the base's",
                _OWN_FIX if whole else _FIX,
            )


def check_ids(own: PreTrainedTokenizerBase, base: PreTrainedTokenizerBase) -> None:
    """Check that the base's tokens of ordinary text have their ids, for an adapter that uses the base's embedding.

    Raises:
        UserError: One stands for other text.
    """
    ours = {number: token for token, number in own.get_vocab().items()}
    special = base.added_tokens_decoder  # which tokenizers of adapters rename
    for token, number in base.get_vocab().items():
        if number not in special and ours.get(number, token) != token:
            raise _error(own, f"gives {ours[number]!r} the id of {token!r} in its base's")


def divide_alike(own: PreTrainedTokenizerBase, base: PreTrainedTokenizerBase) -> bool:
    """Whether two tokenizers turn every text into the same tokens and back, as far as their files say."""
    ours, theirs = (getattr(tokenizer, "backend_tokenizer", None) for tokenizer in (own, base))  # none of slow ones
    if ours is None or theirs is None:
        return type(own) is type(base)
    return _backend(ours) == _backend(theirs)


def _backend(backend: Any) -> dict[str, Any]:
    """A fast tokenizer without what only batches read."""
    settings = json.loads(backend.to_str())
    return {key: value for key, value in settings.items() if key not in ("truncation", "padding")}


def check_reading(own: PreTrainedTokenizerBase, base: PreTrainedTokenizerBase, text: str) -> None:
    """Check that the tokens of a text say the same as those of the base's tokenizer, but for white space.

    Raises:
        UserError: They say something else.
    """
    ids = [tokenizer(text, add_special_tokens=False).input_ids for tokenizer in (own, base)]
    if ids[0] == ids[1]:
        return
    ours, theirs = (
        str(base.convert_tokens_to_string([str(token) for token in tokenizer.convert_ids_to_tokens(numbers)]))
        for tokenizer, numbers in zip((own, base), ids, strict=True)
    )
    if without_space(ours) not in map(without_space, (theirs, text)):
        words = ours.split(), theirs.split()
        at = next((n for n, pair in enumerate(zip(*words, strict=False)) if pair[0] != pair[1]), 0)
        shown = [" ".join(some[at : at + _SHOWN]) for some in words]
        raise _error(own, f"reads {shown[0]!r} where its base's reads {shown[1]!r}")


def check_own_reading(own: PreTrainedTokenizerBase, text: str) -> None:
    """Check that the tokens of a text say what it says, for a model with a vocabulary of its own.

    White space, case and Unicode's compatible forms may change, and characters without a token may be missing.

    Raises:
        UserError: They say something else.
    """
    shown = str(own.decode(own(text, add_special_tokens=False).input_ids, clean_up_tokenization_spaces=False))
    parts, rest = shown.split(str(own.unk_token)) if own.unk_token else [shown], _plain(text)
    for place, part in enumerate(map(_plain, parts)):
        start = rest.find(part) if place else 0
        if start < 0 or not rest.startswith(part, start):
            break
        rest = rest[start + len(part) :]
    else:
        if not rest or (parts[1:] and not parts[-1]):
            return
    raise _error(own, f"reads {shown[:80]!r} where the text is {text[:80]!r}", _OWN_FIX)


def _plain(text: str) -> str:
    """A text without white space and control characters, in one case and Unicode's compatible form."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(sign for sign in folded if not (sign.isspace() or unicodedata.category(sign).startswith("C")))


def _decoders(tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
    """The parts of a fast tokenizer's decoder."""
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)  # none of slow tokenizers
    decoder = None if backend is None else json.loads(backend.to_str())["decoder"]
    return _parts(decoder) if decoder else []


def _parts(decoder: dict[str, Any]) -> list[dict[str, Any]]:
    if decoder["type"] == "Sequence":
        return [part for member in decoder["decoders"] for part in _parts(member)]
    return [decoder]


def _keeps_text(part: dict[str, Any]) -> bool:
    """Whether a decoder changes no more than bytes, white space and its marks."""
    marks = {"ByteLevel": True, "Strip": part.get("content") == " ", "Metaspace": part.get("replacement") == "▁"}
    return marks.get(part["type"], False)


def _error(tokenizer: PreTrainedTokenizerBase, what: str, fix: str = _FIX) -> UserError:
    return UserError(f"its tokenizer {what}", where=str(tokenizer.name_or_path), fix=fix)
