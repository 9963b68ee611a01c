"""The end of a generated answer: end tokens, stop strings, and the text without them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NO_TOKEN = -1  # ends an answer in place of a token whose logits are no numbers
_EXTRA_TOKENS = 4  # looked back at beyond a stop string's length in bytes, which is at least its length in tokens
_UNFINISHED = "\ufffd"  # what part of a character decodes to


class AnswerEnd:
    """Recognises end tokens and stop strings.

    Args:
        tokenizer: The model's tokenizer.
        ends: Tokens that end an answer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ends: Collection[int]) -> None:
        self._tokenizer = tokenizer
        self.ends = frozenset(ends)
        self._pieces: dict[int, str] = {}

    def reached(self, tokens: Sequence[int], stop: Sequence[str]) -> bool:
        """Whether the last token ends the answer.

        Tokens are decoded only if the last one contains the last character of a stop string; no other can complete it.
        """
        if tokens[-1] in self.ends or tokens[-1] == NO_TOKEN:
            return True
        likely = [string for string in stop if self._may_complete(string, tokens[-1])]
        if not likely:
            return False
        window = max(len(string.encode()) for string in likely) + _EXTRA_TOKENS
        tail = self._tokenizer.decode(tokens[-window:], skip_special_tokens=False)
        return any(string in tail for string in likely)

    def text(self, tokens: Sequence[int], stop: Sequence[str]) -> str:
        """The answer without end token and stop string."""
        if tokens and (tokens[-1] in self.ends or tokens[-1] == NO_TOKEN):
            tokens = tokens[:-1]
        text = str(self._tokenizer.decode(tokens, skip_special_tokens=True))
        for string in stop:
            text = text.split(string, maxsplit=1)[0]
        return text

    def _may_complete(self, stop: str, token: int) -> bool:
        if token not in self._pieces:
            self._pieces[token] = str(self._tokenizer.decode([token], skip_special_tokens=False))
        piece = self._pieces[token]
        return stop[-1] in piece or _UNFINISHED in piece or stop[-1].isspace()


def end_tokens(settings: object, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """All tokens that end an answer: the tokenizer's and those of a model's generation settings or configuration."""
    configured = getattr(settings, "eos_token_id", None)
    several = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in (tokenizer.eos_token_id, *several) if isinstance(token, int))
