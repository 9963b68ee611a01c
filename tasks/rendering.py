"""Renders a question as the exact prompt text and tokens of training, scoring and `ask`."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.errors import UserError, first_line, is_failure
from reports.files import read_json
from tasks.chat import TEMPLATE_FIX, ChatSettings, ChatTemplate, render_messages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tasks.formats import AnswerFormat, SpokenTurn

OVER = "\x1f"  # between a tokenizer's folder and another, whose chat template and end token replace its own
_CALLS = ("__call__", "encode", "decode", "batch_decode", "convert_ids_to_tokens")
_FIX = "use a model whose tokenizer and chat template transformers supports without remote code"
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model", "*.tiktoken")
_CONFIGS = ("chat_template.jinja", "tokenizer_config.json")
_MOST_TEMPLATE_BYTES = 4 << 20
_STDERR = 2


@functools.lru_cache(maxsize=8)
def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a local folder or hub id; loaded once per process, never with remote code.

    Args:
        name: The folder or hub id; with `OVER` and a second folder behind it, with the chat template and the end token
            in that folder instead of its own.

    Raises:
        UserError: transformers cannot load it. Its own calls raise one too, which names the folder, if they fail.
    """
    from transformers import AutoTokenizer

    source, _, other = name.partition(OVER)
    what, fix = "transformers cannot load its tokenizer", _FIX
    if Path(source).is_dir() and not _has_vocabulary(Path(source)):
        what += ", and the folder has no tokenizer.json"
        fix = "copy tokenizer.json and tokenizer_config.json from the base into it, or export it again"
    with _blaming(other or source, what, fix):
        replaced = _template_and_end(Path(other)) if other else {}
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **replaced)
    kind = type(tokenizer)
    where = other or source
    guarded = {call: _guarded(getattr(kind, call), where) for call in _CALLS}
    guarded["apply_chat_template"] = _guarded(kind.apply_chat_template, where, "its chat template fails", TEMPLATE_FIX)
    tokenizer.__class__ = type(kind.__name__, (kind,), {"__module__": kind.__module__, **guarded})
    return tokenizer


def adapter_tokenizer(adapter: Path, base: Path) -> str:
    """Name of the tokenizer of an adapter, for `load_tokenizer`.

    That in its folder, with the base's chat template if it has none; the base's, with the template and end token in the
    adapter's folder if it has no more than these.
    """
    if _has_vocabulary(adapter):
        lacks_template = not load_tokenizer(str(adapter)).chat_template and load_tokenizer(str(base)).chat_template
        return f"{adapter}{OVER}{base}" if lacks_template else str(adapter)
    has_template = any((adapter / file).is_file() for file in _CONFIGS)
    return f"{base}{OVER}{adapter}" if has_template else str(base)


def _has_vocabulary(folder: Path) -> bool:
    return any(path for pattern in _VOCABULARIES for path in folder.glob(pattern))


def _template_and_end(folder: Path) -> dict[str, str]:
    """The chat template in a folder, and the end token if it has no vocabulary of its own, where it has them."""
    path = folder / "tokenizer_config.json"
    config = read_json(path, _MOST_TEMPLATE_BYTES) if path.is_file() else {}
    end = config.get("eos_token")
    end = end["content"] if isinstance(end, dict) else end
    settings = {"chat_template": config.get("chat_template"), "eos_token": None if _has_vocabulary(folder) else end}
    template = folder / "chat_template.jinja"
    if template.is_file() and template.stat().st_size <= _MOST_TEMPLATE_BYTES:
        settings["chat_template"] = template.read_text(encoding="utf-8")
    return {key: value for key, value in settings.items() if isinstance(value, str)}


@contextlib.contextmanager
def _blaming(name: str, what: str, fix: str = _FIX, *, memory: bool = False) -> Iterator[None]:
    """Turn whatever a tokenizer's files, which may come from anyone, make a library raise into one message.

    Args:
        name: Folder or hub id of the tokenizer.
        what: What fails.
        fix: What to do then.
        memory: Whether the files are to blame if memory runs out too.
    """
    try:
        with _MUTED:
            yield
    except UserError:
        raise
    except BaseException as error:
        if not is_failure(error) or (isinstance(error, MemoryError) and not memory):
            raise
        raise UserError(
            f"{what}: {first_line(error)[:300]}",
            where=name,
            fix=fix,
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


def _guarded(
    method: Callable[..., Any], name: str, what: str = "its tokenizer fails", fix: str = _FIX
) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **settings: Any) -> Any:
        with _blaming(name, what, fix, memory=method.__name__ == "apply_chat_template"):
            return method(*args, **settings)

    return call


def render_prompt(
    tokenizer: PreTrainedTokenizerBase | None,
    answer_format: AnswerFormat,
    question: str,
    chat: ChatSettings | ChatTemplate = "auto",
    examples: Sequence[tuple[str, str]] = (),
    history: Sequence[SpokenTurn] = (),
) -> str:
    """The prompt for one question, rendered with the chat template if the model has one and `chat` allows it.

    Some templates (DeepSeek-R1) open the reasoning themselves. If the format starts with the same marker, it belongs to
    the answer and is removed here: the model generates it, training includes it, and `split_answer` sees it. In other
    formats the prompt keeps it, and `tasks.answer_parts.opened_thinking` finds it there.

    Args:
        tokenizer: The model's tokenizer; None for plain text.
        answer_format: The requested answer format.
        question: The question.
        chat: How it is rendered; `auto` and `never` are settings without a system prompt.
        examples: (question, answer) of the examples of few-shot prompts, as turns of the same conversation.
        history: The turns before the question.

    Raises:
        UserError: The chat template fails, or renders a prompt without the question.
    """
    messages = answer_format.messages(question, history)
    shots = [
        {"role": role, "content": text}
        for asked, answer in examples
        for role, text in (("user", answer_format.user_turn(asked)), ("assistant", answer.strip()))
    ]
    first = int(messages[0]["role"] == "system")
    return render_turns(tokenizer, answer_format, [*messages[:first], *shots, *messages[first:]], chat)


def render_turns(
    tokenizer: PreTrainedTokenizerBase | None,
    answer_format: AnswerFormat,
    messages: list[dict[str, str]],
    chat: ChatSettings | ChatTemplate = "auto",
) -> str:
    """The prompt of messages in the wording of a format, of which the last is a question; see `render_prompt`.

    A system message takes the place of the system prompt of `chat`.
    """
    if isinstance(chat, str):
        chat = ChatSettings(chat)
    if messages[0]["role"] == "system":
        chat, messages = replace(chat, system=messages[0]["content"]), messages[1:]
    if not chat.uses_template(tokenizer):
        return (f"{chat.system}\n\n" if chat.system else "") + answer_format.plain_prompt(messages)
    prompt = render_messages(tokenizer, messages, chat)
    opening = answer_format.sections[0].opening
    if opening and prompt.rstrip().endswith(opening):
        prompt = prompt.rstrip().removesuffix(opening)
    return prompt


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a prompt, with the model's BOS token exactly once and no end token but those in the text."""
    return _without_end(tokenizer, text, tokenizer(text, add_special_tokens=not _has_bos(tokenizer, text)).input_ids)


def encode_all(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> dict[str, list[int]]:
    """The tokens of `encode` for each text, computed together: a fast tokenizer uses all cores and is called once."""
    grouped: dict[bool, list[str]] = {True: [], False: []}
    for text in dict.fromkeys(texts):
        grouped[not _has_bos(tokenizer, text)].append(text)
    encoded: dict[str, list[int]] = {}
    for adds_special_tokens, group in grouped.items():
        rows = tokenizer(group, add_special_tokens=adds_special_tokens).input_ids if group else []
        encoded |= {text: _without_end(tokenizer, text, ids) for text, ids in zip(group, rows, strict=True)}
    return encoded


def encode_with_offsets(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """The tokens of `encode`, and the (start, end) of each in characters of the text; the tokenizer must be fast."""
    encoded = tokenizer(text, add_special_tokens=not _has_bos(tokenizer, text), return_offsets_mapping=True)
    ids = _without_end(tokenizer, text, encoded.input_ids)
    return ids, encoded.offset_mapping[: len(ids)]


def _without_end(tokenizer: PreTrainedTokenizerBase, text: str, ids: list[int]) -> list[int]:
    """Token ids of a text without an end token that the tokenizer added, after which no answer follows."""
    end = tokenizer.eos_token_id
    adds_end = ids and ids[-1] == end and not _has_bos(tokenizer, text) and tokenizer("a").input_ids[-1] == end
    return ids[:-1] if adds_end else ids


def _has_bos(tokenizer: PreTrainedTokenizerBase, text: str) -> bool:
    """Whether a text starts with the model's BOS token."""
    return bool(tokenizer.bos_token) and text.lstrip().startswith(tokenizer.bos_token)


def scored_tokens(
    tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str, spans: Sequence[tuple[int, int]]
) -> tuple[int, list[list[int]] | None]:
    """How many tokens lm-eval scores for `answer` after `prompt`, and which of them cover text in the answer's `spans`.

    lm-eval moves white space at the end of a prompt to the answer and scores the rest of the joint encoding after the
    prompt's tokens (`lm_eval.api.model.TemplateLM._encode_pair`); these are the same tokens. One with characters inside
    and outside a span, such as a full stop and the line breaks after it, belongs to the span.

    Args:
        tokenizer: Tokenizer of the model.
        prompt: The prompt.
        answer: The answer.
        spans: (start, end) of texts in characters of the answer, in order.

    Returns:
        The number of tokens, and [first, last + 1] of the tokens of each span, counted from the first scored token; a
        token of two spans belongs to the earlier one. None if the tokenizer has no character offsets.
    """
    before = len(encode(tokenizer, prompt.rstrip()))
    if not tokenizer.is_fast:
        return len(encode(tokenizer, prompt + answer)) - before, None
    _, offsets = encode_with_offsets(tokenizer, prompt + answer)
    # Some tokenizers exclude white space from the offsets; it belongs to the next token.
    ends = list(itertools.accumulate((end for _, end in offsets), max, initial=0))
    done, ranges = before, []
    for start, end in ((len(prompt) + start, len(prompt) + end) for start, end in spans):
        after = [index for index in range(done, len(offsets)) if offsets[index][1] > start]
        inside = [index for index in after if min(offsets[index][0], ends[index]) < end]
        if inside:
            done = inside[-1] + 1
            ranges.append([inside[0] - before, done - before])
    return len(offsets) - before, ranges
