"""Renders a question as the exact prompt text and tokens of training, scoring and `ask`."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from reports.errors import UserError, first_line, is_failure

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tasks.formats import AnswerFormat, SpokenTurn

ChatTemplate = Literal["auto", "never"]
_CALLS = ("__call__", "encode", "decode", "batch_decode", "apply_chat_template", "convert_ids_to_tokens")
_STDERR = 2
# The date for chat templates that include one (Llama 3.1 and later): their own default, so that prompts are the same
# every day.
_TODAY = dt.date(2024, 7, 26)


@functools.lru_cache(maxsize=8)
def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a local folder or hub id; loaded once per process, never with remote code.

    Raises:
        UserError: transformers cannot load it. Its own calls raise one too, which names the folder, if they fail.
    """
    from transformers import AutoTokenizer

    with _blaming(name, "transformers cannot load its tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    kind = type(tokenizer)
    guarded = {call: _guarded(getattr(kind, call), name) for call in _CALLS}
    tokenizer.__class__ = type(kind.__name__, (kind,), {"__module__": kind.__module__, **guarded})
    return tokenizer


@contextlib.contextmanager
def _blaming(name: str, what: str) -> Iterator[None]:
    """Turn whatever a tokenizer's files, which may come from anyone, make a library raise into one message."""
    try:
        with _MUTED:
            yield
    except (UserError, MemoryError):
        raise
    except BaseException as error:
        if not is_failure(error):
            raise
        raise UserError(
            f"{what}: {first_line(error)[:300]}",
            where=name,
            fix="use a model whose tokenizer and chat template transformers supports without remote code",
        ) from error


class _MutedPanics:
    """Keeps off the terminal what a panicking Rust library writes to it past Python, which may quote a file's text."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._stderr: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                with contextlib.suppress(OSError):  # standard error is closed
                    self._stderr = os.dup(_STDERR)
                    with Path(os.devnull).open("wb") as null:
                        os.dup2(null.fileno(), _STDERR)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._stderr is not None:
                os.dup2(self._stderr, _STDERR)
                os.close(self._stderr)
                self._stderr = None


_MUTED = _MutedPanics()


def _guarded(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **settings: Any) -> Any:
        with _blaming(name, "its tokenizer fails"):
            return method(*args, **settings)

    return call


def render_prompt(
    tokenizer: PreTrainedTokenizerBase | None,
    answer_format: AnswerFormat,
    question: str,
    chat: ChatTemplate = "auto",
    history: Sequence[SpokenTurn] = (),
) -> str:
    """The prompt for one question, rendered with the chat template if the model has one and `chat` allows it.

    Turns before the question, if there are any, come first in the same rendering.

    Some templates (DeepSeek-R1) open the reasoning themselves. If the format starts with the same marker, it belongs to
    the answer and is removed here: the model generates it, training includes it, and `split_answer` sees it. In other
    formats the prompt keeps it, and `tasks.answer_parts.opened_thinking` finds it there.
    """
    return render_turns(tokenizer, answer_format, answer_format.messages(question, history), chat)


def render_turns(
    tokenizer: PreTrainedTokenizerBase | None,
    answer_format: AnswerFormat,
    messages: list[dict[str, str]],
    chat: ChatTemplate = "auto",
) -> str:
    """The prompt of messages in the wording of a format, of which the last is a question; see `render_prompt`."""
    if chat == "never" or tokenizer is None or not tokenizer.chat_template:
        return answer_format.plain_prompt(messages)
    prompt: str = tokenizer.apply_chat_template(
        messages,
        tokenize=False,
        add_generation_prompt=True,
        date_string=_TODAY.strftime("%d %b %Y"),
        strftime_now=_TODAY.strftime,
    )
    opening = answer_format.sections[0].opening
    if opening and prompt.rstrip().endswith(opening):
        prompt = prompt.rstrip().removesuffix(opening)
    return prompt


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a prompt, with the model's BOS token exactly once."""
    ids: list[int] = tokenizer(text, add_special_tokens=not _has_bos(tokenizer, text)).input_ids
    return ids


def encode_with_offsets(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """The tokens of `encode`, and the (start, end) of each in characters of the text; the tokenizer must be fast."""
    encoded = tokenizer(text, add_special_tokens=not _has_bos(tokenizer, text), return_offsets_mapping=True)
    return encoded.input_ids, encoded.offset_mapping


def _has_bos(tokenizer: PreTrainedTokenizerBase, text: str) -> bool:
    """Whether a text starts with the model's BOS token."""
    return bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)


def count_scored_tokens(tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str) -> int:
    """Number of tokens that lm-eval scores for `answer` after `prompt`.

    lm-eval moves white space at the end of a prompt to the answer and scores the rest of the joint encoding after the
    prompt's tokens (`lm_eval.api.model.TemplateLM._encode_pair`); this counts the same tokens.
    """
    return len(encode(tokenizer, prompt + answer)) - len(encode(tokenizer, prompt.rstrip()))


def text_tokens(
    tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str, spans: Sequence[tuple[int, int]]
) -> list[list[int]] | None:
    """Which of the tokens that lm-eval scores for `answer` after `prompt` cover text in the answer's `spans`.

    A token with characters inside and outside a span, such as a full stop and the line breaks after it, belongs to the
    span.

    Args:
        tokenizer: Tokenizer of the model.
        prompt: The prompt.
        answer: The answer.
        spans: (start, end) of texts in characters of the answer, in order.

    Returns:
        [first, last + 1] of the tokens of each span, counted from the first scored token; a token of two spans belongs
        to the earlier one. None if the tokenizer has no character offsets.
    """
    if not tokenizer.is_fast:
        return None
    _, offsets = encode_with_offsets(tokenizer, prompt + answer)
    # Some tokenizers exclude white space from the offsets; it belongs to the next token.
    ends = list(itertools.accumulate((end for _, end in offsets), max, initial=0))
    done = first = len(encode(tokenizer, prompt.rstrip()))
    ranges = []
    for start, end in ((len(prompt) + start, len(prompt) + end) for start, end in spans):
        after = [index for index in range(done, len(offsets)) if offsets[index][1] > start]
        inside = [index for index in after if min(offsets[index][0], ends[index]) < end]
        if inside:
            done = inside[-1] + 1
            ranges.append([inside[0] - first, done - first])
    return ranges
