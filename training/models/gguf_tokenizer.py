"""The tokenizer of a GGUF file as llama.cpp reads it: byte-level BPE with a named way to split text, or SentencePiece.

transformers' own reader of GGUF ignores `tokenizer.ggml.pre`, which says how text is split, and takes the first token
for the last. Names, expressions and defaults are those of llama.cpp's `src/llama-vocab.cpp`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.errors import UserError, first_line, is_failure

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import AddedToken, Tokenizer
    from tokenizers.pre_tokenizers import PreTokenizer
    from transformers import PreTrainedTokenizerFast

    from training.models.gguf_file import GgufHeader

CONTROL, USER_DEFINED, UNUSED, BYTE = 3, 4, 5, 6  # types of tokens; 1 is a normal one, 2 the unknown one
_WORDS = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_KEY = "tokenizer.ggml."
_LONGEST_TEMPLATE = 1 << 20


@dataclass(frozen=True)
class Splitting:
    """How a byte-level BPE tokenizer splits text before it merges.

    Attributes:
        expression: Of the pieces; None for GPT-2's own.
        digits: Whether each digit is a piece, before the expression is applied.
        ignore_merges: Whether a piece that is a token stays whole.
        add_bos: Whether texts begin with the beginning-of-text token unless the file says otherwise.
    """

    expression: str | None = None
    digits: bool = False
    ignore_merges: bool = False
    add_bos: bool = False

    def pre_tokenizer(self) -> PreTokenizer:
        """The pre-tokenizer of the `tokenizers` package."""
        from tokenizers import Regex, pre_tokenizers

        steps: list[PreTokenizer] = [pre_tokenizers.Digits(individual_digits=True)] if self.digits else []
        if self.expression:
            steps.append(pre_tokenizers.Split(Regex(self.expression), "isolated"))
        steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=self.expression is None))
        return pre_tokenizers.Sequence(steps)


# The first name of each way is the one that is written; where several are equal here, llama.cpp treats them alike.
SPLITTINGS: dict[str, Splitting] = {
    **dict.fromkeys(("gpt-2", "phi-2", "olmo", "mpt"), Splitting()),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell"), Splitting(digits=True)),
    **dict.fromkeys(
        ("llama-bpe", "llama3", "llama-v3", "falcon3"), Splitting(_WORDS % "{1,3}", ignore_merges=True, add_bos=True)
    ),
    **dict.fromkeys(("dbrx", "smaug-bpe"), Splitting(_WORDS % "{1,3}")),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "megrez", "stablelm2"), Splitting(_WORDS % "")),
}


def gguf_tokenizer(header: GgufHeader, path: Path) -> PreTrainedTokenizerFast:
    """The tokenizer and chat template of a file.

    Raises:
        UserError: Its kind is unknown, or its parts do not fit together.
    """
    from transformers import PreTrainedTokenizerFast

    try:
        tokens = header.metadata[f"{_KEY}tokens"]
        special = _special_tokens(header, tokens)
        backend, add_bos = _backend(header, tokens, special.get("unk_token"))
        backend.add_special_tokens(_of_type(header, tokens, CONTROL))
        backend.add_tokens(_of_type(header, tokens, USER_DEFINED))
        _check_size(backend, tokens)
        _frame(
            backend,
            special["bos_token"] if header.metadata.get(f"{_KEY}add_bos_token", add_bos) else "",
            special["eos_token"] if header.metadata.get(f"{_KEY}add_eos_token", False) else "",
        )
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=backend,
            model_max_length=header.setting("context_length"),
            clean_up_tokenization_spaces=False,
            **special,
        )
    except UserError as error:
        raise UserError(error.what, where=str(path), fix=error.fix) from error
    except BaseException as error:
        if not is_failure(error):
            raise
        raise _faulty(first_line(error)[:200], path) from error
    template = header.metadata.get("tokenizer.chat_template")
    if template is not None and (not isinstance(template, str) or len(template) > _LONGEST_TEMPLATE):
        raise _faulty("its chat template is no text, or longer than any", path)
    tokenizer.chat_template = template
    return tokenizer


def end_tokens(header: GgufHeader) -> list[int]:
    """Ids of the tokens at which an answer ends: of the text, of a turn and of a message."""
    ids = [header.metadata.get(f"{_KEY}{name}_token_id") for name in ("eos", "eot", "eom")]
    return list(dict.fromkeys(token for token in ids if isinstance(token, int)))


def _faulty(what: str, path: Path | None = None) -> UserError:
    where = str(path) if path else None
    return UserError(f"its tokenizer cannot be read: {what}", where=where, fix="convert the model again")


def _check_size(backend: Tokenizer, tokens: list[str]) -> None:
    if backend.get_vocab_size() != len(tokens):
        raise _faulty("it holds a token twice")


def _special_tokens(header: GgufHeader, tokens: list[str]) -> dict[str, str]:
    """Special tokens by the name that transformers gives their role."""
    roles = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
    ids = {role: header.metadata.get(f"{_KEY}{name}_token_id") for name, role in roles.items()}
    if any(token is not None and not 0 <= token < len(tokens) for token in ids.values()):
        raise _faulty("the id of a special token is outside the vocabulary")
    return {role: tokens[token] for role, token in ids.items() if token is not None}


def _of_type(header: GgufHeader, tokens: list[str], kind: int) -> list[AddedToken]:
    from tokenizers import AddedToken

    types = header.metadata.get(f"{_KEY}token_type", [])
    chosen = [token for token, type_ in zip(tokens, types, strict=False) if type_ == kind]
    return [AddedToken(token, normalized=False, special=kind == CONTROL) for token in chosen]


def _backend(header: GgufHeader, tokens: list[str], unknown: str | None) -> tuple[Tokenizer, bool]:
    """(tokenizer without added tokens, whether texts begin with the beginning-of-text token by default)."""
    from tokenizers import Tokenizer, decoders, models

    kind, vocabulary = header.metadata.get(f"{_KEY}model"), {token: place for place, token in enumerate(tokens)}
    if kind == "llama":
        return _sentencepiece(header, tokens, vocabulary, unknown), True
    name = header.metadata.get(f"{_KEY}pre")
    if kind != "gpt2" or name not in SPLITTINGS:
        raise UserError(
            f"its tokenizer is of a kind that medbench does not know (model {kind!r}, pre-tokenizer {name!r})"[:200],
            fix=f"score the model that it was converted from (--models NAME=FOLDER); known are llama, and gpt2 with"
            f" {', '.join(SPLITTINGS)}",
        )
    splitting = SPLITTINGS[name]
    merges = [_pair(merge) for merge in header.metadata[f"{_KEY}merges"]]
    backend = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=splitting.ignore_merges))
    backend.pre_tokenizer, backend.decoder = splitting.pre_tokenizer(), decoders.ByteLevel()
    return backend, splitting.add_bos


def _pair(merge: str) -> tuple[str, str]:
    at = merge.index(" ", 1)
    return merge[:at], merge[at + 1 :]


def _sentencepiece(header: GgufHeader, tokens: list[str], vocabulary: dict[str, int], unknown: str | None) -> Tokenizer:
    """Pairs are merged in the order of the scores of what they become."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    scores, types = header.metadata[f"{_KEY}scores"], header.metadata[f"{_KEY}token_type"]
    ranked = sorted(
        (place for place, kind in enumerate(types) if kind not in (CONTROL, UNUSED, BYTE)),
        key=lambda place: -scores[place],
    )
    if len({scores[place] for place in ranked}) <= len(ranked) // 2:
        raise _faulty("its scores do not say which pairs are merged first")
    merges = []
    for place in ranked:
        token = tokens[place]
        pairs = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        pairs = [pair for pair in pairs if pair[0] in vocabulary and pair[1] in vocabulary]
        merges += sorted(pairs, key=lambda pair: (-scores[vocabulary[pair[0]]], -scores[vocabulary[pair[1]]]))
    backend = Tokenizer(models.BPE(vocabulary, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    steps: list[normalizers.Normalizer] = [normalizers.Replace(" ", "▁")]
    endings: list[decoders.Decoder] = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if header.metadata.get(f"{_KEY}add_space_prefix", True):
        steps.insert(0, normalizers.Prepend("▁"))
        endings.append(decoders.Strip(" ", 1, 0))
    backend.normalizer, backend.decoder = normalizers.Sequence(steps), decoders.Sequence(endings)
    return backend


def _frame(backend: Any, first: str, last: str) -> None:
    """Begin and end texts with these tokens; empty for none."""
    from tokenizers import processors

    if first or last:
        single, second = ([token for token in (first, text, last) if token] for text in ("$A", "$B"))
        pair = [*single, *(f"{token}:1" for token in second)]
        ids = [(token, backend.token_to_id(token)) for token in {first, last} - {""}]
        backend.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)
    elif type(backend.decoder).__name__ == "ByteLevel":
        backend.post_processor = processors.ByteLevel(trim_offsets=False)
