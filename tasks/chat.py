"""Renders conversations with a model's chat template, and finds out how the template ends an answer."""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from reports.errors import UserError
from tasks.answer_parts import opened_thinking

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ChatTemplate = Literal["auto", "never"]
Setting = bool | int | float | str  # of a chat template
Message = dict[str, Any]  # role and content
TEMPLATE_FIX = (
    "correct the template, or prompt in plain text: --set format.chat_template=never (an adapter with its base's"
    " template: --set scoring.adapter_tokenizer=base)"
)
# Arguments of `apply_chat_template`, and what transformers hands to every template.
TEMPLATE_ARGUMENTS = {
    "add_generation_prompt",
    "chat_template",
    "continue_final_message",
    "conversation",
    "documents",
    "max_length",
    "messages",
    "padding",
    "return_assistant_tokens_mask",
    "return_dict",
    "return_tensors",
    "strftime_now",
    "tokenize",
    "tokenizer_kwargs",
    "tools",
    "truncation",
}
_QUESTION, _ANSWER = "Does rest help?", "Rest helps most people."  # of the turns that show how a template works
_MOST_ADDED = 1_000_000  # characters that a chat template may add
_TAG = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")
# The date for chat templates that include one (Llama 3.1 and later): their own default, so that prompts are the same
# every day.
_TODAY = dt.date(2024, 7, 26)
_ANOTHER_DAY = dt.date(2023, 3, 5)


@dataclass(frozen=True)
class ChatSettings:
    """How a question becomes a prompt; all settings of a recipe's `format` but the format itself.

    Attributes:
        template: Whether the model's chat template is used.
        system: The system prompt; empty for none.
        kwargs: Settings of the chat template by name, such as ("enable_thinking", False).
        today: The date for chat templates that insert one.
    """

    template: ChatTemplate = "auto"
    system: str = ""
    kwargs: tuple[tuple[str, Setting], ...] = ()
    today: dt.date = _TODAY

    def uses_template(self, tokenizer: PreTrainedTokenizerBase | None) -> bool:
        """Whether prompts are rendered with this tokenizer's chat template."""
        return self.template != "never" and tokenizer is not None and bool(tokenizer.chat_template)


def render_messages(
    tokenizer: Any, messages: Sequence[Message], chat: ChatSettings, *, answer_follows: bool = True
) -> str:
    """A conversation as text, with the system prompt of `chat` before it.

    Where the template has no place for a system turn, the system prompt stands at the start of the first user turn;
    where it expects contents as lists of parts, they are given as such.

    Args:
        tokenizer: A tokenizer with a chat template.
        messages: User and assistant turns.
        chat: The settings.
        answer_follows: Whether the text ends with the start of an assistant turn.

    Raises:
        UserError: The template fails, the last message is not in what it renders, or what it writes around the turns
            depends on what they say: an adapter's own template could hold the answers.
    """
    failures: list[UserError | None] = []
    last = messages[-1]["content"]
    others = [{**message, "content": _stand_in(position)} for position, message in enumerate(messages)]
    arranged = zip(_arrangements(messages, chat.system), _arrangements(others, chat.system), strict=True)
    for attempt, other in arranged:
        try:
            text = _rendered(tokenizer, attempt, chat, answer_follows=answer_follows)
        except UserError as error:
            failures.append(error)
            continue
        failures.append(None)
        if not (_contains(text, last) and _contains(text, chat.system)):
            continue
        if answer_follows:
            around = _rendered(tokenizer, other, chat, answer_follows=True)
            if text not in _with_contents(around, messages):
                raise _faulty(tokenizer, f"writes other text around this question than around others: {last[:60]!r}")
        return text
    raise failures[0] or _faulty(tokenizer, f"leaves the question out of the prompt: {last[:60]!r}")


def _stand_in(position: int) -> str:
    """A text in place of a turn's own, to see what a template writes around it."""
    return f"Which of the {position + 2} is meant in this case?"


_Form = Callable[[str], str]
_FORMS: tuple[_Form, ...] = (str, str.strip, str.lstrip, str.rstrip, lambda text: " ".join(text.split()))


def _without_reasoning(text: str) -> str:
    return text.rpartition("</think>")[2]


_ANSWER_FORMS: tuple[_Form, ...] = (
    *_FORMS,
    _without_reasoning,
    lambda text: _without_reasoning(text).strip(),
    lambda text: _without_reasoning(text).lstrip("\n"),
)


def _with_contents(around: str, messages: Sequence[Message]) -> Iterator[str]:
    """What a template may write with the contents of messages in place of the stand-ins.

    Templates may trim contents and leave the reasoning out of earlier answers. White space around them is fixed, since
    it could tell an adapter the answer.
    """
    has_answers = any(message["role"] == "assistant" for message in messages)
    for form, answer_form in itertools.product(_FORMS, _ANSWER_FORMS if has_answers else _FORMS[:1]):
        text = around
        for position, message in enumerate(messages):
            content = (answer_form if message["role"] == "assistant" else form)(message["content"])
            text = text.replace(_stand_in(position), content)
        yield text


def _rendered(tokenizer: Any, messages: Sequence[Message], chat: ChatSettings, *, answer_follows: bool) -> str:
    """What the chat template makes of messages."""
    text: str = tokenizer.apply_chat_template(
        messages,
        tokenize=False,
        add_generation_prompt=answer_follows,
        **{
            "date_string": chat.today.strftime("%d %b %Y"),
            "strftime_now": chat.today.strftime,
            **dict(chat.kwargs),
        },
    )
    before = sum(len(str(message["content"])) for message in messages)
    if len(text) > before + _MOST_ADDED:
        raise _faulty(tokenizer, f"turns {before:,} characters into {len(text):,}")
    return text


def _faulty(tokenizer: Any, what: str) -> UserError:
    return UserError(f"its chat template {what}", where=str(tokenizer.name_or_path), fix=TEMPLATE_FIX)


def _arrangements(messages: Sequence[Message], system: str) -> Iterator[list[Message]]:
    """The conversation in the forms that chat templates take."""
    arranged = [list(messages)]
    if system:
        first = {**messages[0], "content": f"{system}\n\n{messages[0]['content']}"}
        arranged = [[{"role": "system", "content": system}, *messages], [first, *messages[1:]]]
    yield from arranged
    for turns in arranged:
        yield [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in turns]


def _contains(text: str, part: str) -> bool:
    """Whether a text contains another, whatever their white space."""
    return part in text or without_space(part) in without_space(text)


def without_space(text: str) -> str:
    """A text without its white space, for comparison."""
    return "".join(text.split())


class TurnEnd(NamedTuple):
    """What a model writes at the end of its answer.

    Attributes:
        tokens: Token ids; empty if nothing is known to end an answer.
        text: The same as text if it is more than one token, so that it has to be recognised as a stop string.
    """

    tokens: tuple[int, ...]
    text: str = ""


def turn_end(tokenizer: PreTrainedTokenizerBase, chat: ChatSettings | ChatTemplate = "auto") -> TurnEnd:
    """How answers end: as the chat template ends an assistant turn, else with the tokenizer's end token."""
    if isinstance(chat, str):
        chat = ChatSettings(chat)
    end = tokenizer.eos_token_id
    default = TurnEnd(() if end is None else (int(end),))
    if not chat.uses_template(tokenizer):
        return default
    turns = [{"role": "user", "content": _QUESTION}, {"role": "assistant", "content": _ANSWER}]
    try:
        rendered = render_messages(tokenizer, turns, replace(chat, system=""), answer_follows=False)
    except UserError:  # some templates only start answers
        return default
    after = rendered.rpartition(_ANSWER)[2].strip() if _ANSWER in rendered else ""
    tokens = {str(token): number for number, token in tokenizer.added_tokens_decoder.items()}
    ending = max((text for text in tokens if text and after.startswith(text)), key=len, default=None)
    if ending is not None:
        return TurnEnd((tokens[ending],))
    tag = _TAG.match(after)
    if tag is None:
        return default
    return TurnEnd(tuple(tokenizer(tag[0], add_special_tokens=False).input_ids), tag[0])


def template_notes(tokenizer: PreTrainedTokenizerBase, chat: ChatSettings) -> list[str]:
    """What a chat template does with prompts that its user may not expect; empty if none is used.

    Raises:
        UserError: The template fails, or leaves the question out of the prompt.
    """
    if not chat.uses_template(tokenizer):
        return []
    asked: list[Message] = [{"role": "user", "content": _QUESTION}]
    prompt = render_messages(tokenizer, asked, chat)
    notes = []
    if chat.system and f"{chat.system}\n\n{_QUESTION}" in prompt:
        notes.append("has no system turn: the system prompt stands at the start of the user turn")
    opened = opened_thinking(prompt)
    if opened:
        notes.append(f"opens {opened} itself: what is written before its end counts as reasoning")
    elif skipped := _before_answer(tokenizer, prompt, chat):
        notes.append(f"leaves it to the model to write {skipped!r} before its answer")
    start = tokenizer.bos_token
    if start and tokenizer("a").input_ids[0] == tokenizer.bos_token_id and not prompt.lstrip().startswith(start):
        notes.append(f"writes no start token: the tokenizer puts {start} before the prompt")
    if render_messages(tokenizer, asked, replace(chat, today=_ANOTHER_DAY)) != prompt:
        notes.append(f"inserts the date: all prompts say {chat.today:%d %b %Y}, whatever the day")
    return notes


def _before_answer(tokenizer: PreTrainedTokenizerBase, prompt: str, chat: ChatSettings) -> str:
    """What a template puts between a prompt and an answer, but for white space and empty thinking; empty if unknown."""
    turns = [{"role": "user", "content": _QUESTION}, {"role": "assistant", "content": _ANSWER}]
    try:
        rendered = render_messages(tokenizer, turns, chat, answer_follows=False)
    except UserError:  # some templates only start answers
        return ""
    between = rendered.removeprefix(prompt).partition(_ANSWER)[0] if rendered.startswith(prompt) else ""
    return re.sub(r"<think>\s*</think>", "", between).strip()


def unused_kwargs(tokenizer: PreTrainedTokenizerBase, chat: ChatSettings) -> list[str]:
    """Names in `chat.kwargs` that the chat template does not read."""
    template = str(tokenizer.chat_template) if chat.uses_template(tokenizer) else ""
    return [name for name, _ in chat.kwargs if not re.search(rf"\b{name}\b", template)]
