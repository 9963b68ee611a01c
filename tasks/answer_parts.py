"""Finds the reasoning and the response in a generated answer and lists the format violations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tasks.words import words

# Tags around the thinking of reasoning models: DeepSeek-R1, QwQ and Qwen3 write the first pair.
_OPENED = r"<think(?:ing)?>|<\|begin_of_thought\|>"
_CLOSED = r"</think(?:ing)?>|<\|end_of_thought\|>"
_TAG = re.compile(rf"(?P<opened>{_OPENED})|{_CLOSED}", re.IGNORECASE)
_OPENED_AT_END = re.compile(rf"(?:{_OPENED})\Z", re.IGNORECASE)
_LONGEST_TAG = 30  # characters
_CLOSING_TAG = "</think>"
# A line that can only belong to another prompt, or a special token of a chat template.
_PROMPT_LINE = re.compile(
    r"^[ \t>]*(?:[*_]{0,3}MEDICAL QUESTION[ \t]*:|#{1,6}[ \t]*(?:Instruction|Input)[ \t]*:)"
    r"|\[INST\]|<(?:start|end)_of_turn>"
    r"|<[|\uff5c](?:im_start|im_end|start_header_id|eot_id|eom_id|endoftext|end_of_text|start|end|user|system"
    r"|(?:begin|end)\u2581of\u2581sentence)[|\uff5c]>",
    re.IGNORECASE | re.MULTILINE,
)
# A line that starts another question, unless it restates this one within the reasoning.
_NUMBER = r"(?:[ \t]{0,3}\d{1,4})?[*_]{0,3}[ \t]*"
_QUESTION_LINE = re.compile(
    r"^[ \t>]*(?:#{1,6}[ \t]*)?[*_]{0,3}(?:(?:next|new|another)[ \t]+)?(?:question|abstract|q|user|human)"
    rf"{_NUMBER}[:\uff1a]"
    rf"|^#{{1,6}}[ \t]*[*_]{{0,3}}(?:question|abstract){_NUMBER}$|^(?:user|human)[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_ANSWER_LINE = re.compile(r"^[ \t>#*_]{0,12}answer[*_]{0,3}[ \t]*:", re.IGNORECASE | re.MULTILINE)
_BOTH_REASONING = ("reasoning", "reasoning")
_LINE_END = re.compile(r"\r\n?")


@dataclass(frozen=True)
class Section:
    """One part of an answer.

    Attributes:
        name: `reasoning` or `response`.
        opening: The marker before the part, or None where the part simply starts.
        closing: The marker after it, or None where it ends with the next marker or the text.
        own_line: Whether the opening marker must stand alone on its line.
    """

    name: str
    opening: str | None = None
    closing: str | None = None
    own_line: bool = False


class Parsed(NamedTuple):
    """The parts of one answer.

    Attributes:
        reasoning: The reasoning, or None.
        response: The final response; empty if the reasoning never ended, the full answer if it has no markers.
        problems: All format violations, such as `missing: ## Thinking`.
        text: The answer, cut before the next question if the model invented one.
    """

    reasoning: str | None
    response: str
    problems: tuple[str, ...]
    text: str


def opened_thinking(prompt: str) -> str | None:
    """The thinking tag at the end of a prompt, or None; with a tag, the answer starts inside the reasoning."""
    match = _OPENED_AT_END.search(prompt.rstrip()[-_LONGEST_TAG:])
    return match[0] if match else None


def after_opened_thinking(prompt: str, completion: str) -> str:
    """The completion for a prompt; the closing tag comes first if the prompt leaves thinking open."""
    return f"{_CLOSING_TAG}\n\n{completion}" if opened_thinking(prompt) else completion


def split_sections(
    text: str, sections: Sequence[Section], instruction: str, *, prompt_opened: str | None, finish_reason: str | None
) -> Parsed:
    """Split an answer by the sections of its format; `tasks.formats.split_answer` documents the rules.

    Args:
        text: The answer as generated.
        sections: The parts that the format asks for, in order.
        instruction: The sentence of the prompt that asks for the format; a line that repeats it is another prompt.
        prompt_opened: The thinking tag that the prompt ends with, if any, or the whole prompt.
        finish_reason: `length` if generation stopped at the token limit.
    """
    before = opened_thinking(prompt_opened or "") or ""
    full = before + _LINE_END.sub("\n", str(text))
    end = _end_of_answer(full, sections, instruction)
    answer = full[:end]
    thinking, rest = _split_thinking(answer)
    texts, problems = _read_sections(rest or "", sections)
    if _opens_thinking(sections):
        problems = _read_sections(answer, sections)[1]
    elif rest is None:
        problems = [f"missing: {_CLOSING_TAG}"]
    elif thinking is not None and words(thinking):
        problems.append("extra: text outside the parts")
    if finish_reason == "length" and end == len(full):
        problems.append("truncated")
    response = texts.get("response")
    reasoning = texts.get("reasoning")
    if response is None:
        unmarked = sections[0].opening is None or reasoning is None
        response, reasoning = ((rest or "").strip(), None) if unmarked else ("", reasoning)
    thoughts = [part.strip() for part in (thinking, reasoning) if part is not None]
    return Parsed(
        "\n\n".join(part for part in thoughts if part) if thoughts else None,
        response,
        tuple(dict.fromkeys(problems)),
        answer[len(before) :] if end == len(full) else answer[len(before) :].rstrip(),
    )


def _opens_thinking(sections: Sequence[Section]) -> bool:
    opening = sections[0].opening
    return opening is not None and opened_thinking(opening) is not None


def _end_of_answer(text: str, sections: Sequence[Section], instruction: str) -> int:
    """The position where a run-on answer starts another question, or the length of the text.

    A prompt line ends the answer anywhere. A question line ends it outside the reasoning only: within the reasoning it
    restates the question. A text that starts with such a line restates its question: the search starts after `Answer:`.
    """
    first = _QUESTION_LINE.match(text) or _PROMPT_LINE.match(text)
    start = 0
    if first:
        answer = _ANSWER_LINE.search(text, first.end())
        start = answer.end() if answer else first.end()
    prompt = _PROMPT_LINE.search(text, start)
    end = prompt.start() if prompt else len(text)
    if instruction:
        repeated = text.find("\n" + instruction, start)
        end = end if repeated < 0 else min(end, repeated)
    lines = [match.start() for match in _QUESTION_LINE.finditer(text, start, end)]
    if not lines:
        return end
    reasoning = _finished_reasoning(text[:end], sections, lines)
    return next((line for line in lines if not any(start <= line < stop for start, stop in reasoning)), end)


def _finished_reasoning(text: str, sections: Sequence[Section], lines: Sequence[int]) -> list[tuple[int, int]]:
    """(start, end) of the first reasoning in tags and of the first one under a heading, if it is closed.

    Reasoning that is opened a second time, after a question line, belongs to another answer.
    """
    tags = list(_TAG.finditer(text))
    opened = [tag.start() for tag in tags if tag["opened"]]
    closed = [tag.start() for tag in tags if not tag["opened"]]
    if closed and (not opened or closed[0] < opened[0]):
        opened.insert(0, 0)
    pairs = [(opened, closed)]
    if sections[0].own_line:
        headings = [_spans(section.opening or "", text, own_line=True)[0] for section in sections]
        pairs += [([start for start, _ in headings[0]], [start for start, _ in headings[1]])]
    return [span for pair in pairs if (span := _first_span(*pair, lines))]


def _first_span(opened: Sequence[int], closed: Sequence[int], lines: Sequence[int]) -> tuple[int, int] | None:
    """From the first opening to the first closing from it on, unless it is opened again after one of the lines."""
    if not opened:
        return None
    start = opened[0]
    end = next((place for place in closed if place >= start), None)
    if end is None:
        return None
    again = next((place for place in opened if start < place < end), None)
    return None if again is not None and any(start < line < again for line in lines) else (start, end)


def _split_thinking(text: str) -> tuple[str | None, str | None]:
    """(text inside thinking tags or None, text after them or None if a tag is not closed).

    A closing tag without an opening one ends thinking that started with the text. If the model thinks again after its
    answer, the first answer counts.
    """
    thoughts: list[str] = []
    position, inside = 0, None
    for tag in _TAG.finditer(text):
        if not tag["opened"]:
            thoughts.append(text[position if inside is None else inside : tag.start()])
            position, inside = tag.end(), None
        elif inside is None:
            if thoughts and words(text[position : tag.start()]):
                return "\n\n".join(thoughts), text[position : tag.start()]
            inside = tag.end()
    if inside is not None:
        return "\n\n".join([*thoughts, text[inside:]]), None
    return ("\n\n".join(thoughts) if thoughts else None), text[position:]


@dataclass(frozen=True)
class _Place:
    """Character positions of a section in a text; None where the marker is missing."""

    outer_start: int | None = None
    inner_start: int | None = None
    inner_end: int | None = None
    outer_end: int | None = None


def _read_sections(text: str, sections: Sequence[Section]) -> tuple[dict[str, str], list[str]]:
    """The text of each section that has a position, and all format violations."""
    problems: list[str] = []
    places: list[_Place] = []
    starts: list[tuple[int, str]] = []
    for section in sections:
        unmarked = places[-1].outer_end if places else 0
        places.append(_locate(section, text, unmarked, problems, starts))
    opened = [place.outer_start for place in places if place.outer_start is not None]
    if opened != sorted(opened):
        problems.append("order: " + ", ".join(section.opening or section.name for section in sections))
    texts: dict[str, str] = {}
    for section, place in zip(sections, places, strict=True):
        if place.inner_start is None:
            continue
        following = min(
            # Reasoning that is opened twice continues until the response; the first response ends at any marker.
            (start for start, name in starts if start >= place.inner_start and (name, section.name) != _BOTH_REASONING),
            default=len(text),
        )
        end = following if place.inner_end is None else place.inner_end
        texts[section.name] = text[place.inner_start : end].strip()
        if not words(texts[section.name]):
            problems.append(f"empty: {section.name}")
    outside = text[: min(opened, default=0)]
    if sections[-1].closing and places[-1].outer_end is not None:
        outside += text[places[-1].outer_end :]
    if outside.strip():
        problems.append("extra: text outside the parts")
    return texts, problems


def _locate(
    section: Section, text: str, unmarked: int | None, problems: list[str], starts: list[tuple[int, str]]
) -> _Place:
    """Find a section by its markers; a section without an opening marker starts at `unmarked`.

    Adds violations to `problems` and the positions of opening markers to `starts`.
    """
    outer_start = inner_start = unmarked
    if section.opening is not None:
        opening = _find(section.opening, text, problems, own_line=section.own_line)
        starts += [(start, section.name) for start, _ in opening]
        outer_start, inner_start = opening[0] if opening else (None, None)
    if section.closing is None:
        return _Place(outer_start, inner_start)
    closing = _find(section.closing, text, problems)
    after = [span for span in closing if span[0] >= (inner_start or 0)]
    if closing and not after:
        problems.append(f"order: {section.closing}")
    inner_end, outer_end = after[0] if after else (None, None)
    return _Place(outer_start, inner_start, inner_end, outer_end)


def _find(marker: str, text: str, problems: list[str], *, own_line: bool = False) -> list[tuple[int, int]]:
    """All (start, end) of a marker; adds missing, repeated and differently spelled markers to `problems`."""
    spans, exact = _spans(marker, text, own_line=own_line)
    if not exact:
        problems.append(f"{'variant' if spans else 'missing'}: {marker}")
    if len(spans) > 1:
        problems.append(f"duplicate: {marker}")
    return spans


def _spans(marker: str, text: str, *, own_line: bool) -> tuple[list[tuple[int, int]], bool]:
    """All (start, end) of a marker, in time linear in the text, and whether the spelling is the one of the format.

    A heading may be followed by a colon. Only if this spelling never occurs, others count: another level or case, bold
    type, text on the same line after a colon.
    """
    if own_line:
        name = re.escape(marker.lstrip("# "))
        exact = rf"^{re.escape(marker)}[ \t]*(?::[ \t]*)?$"
        variant = (
            rf"^[ \t]{{0,3}}(?:(?:#{{1,6}}[ \t]{{0,3}}[*_]{{0,3}}|[*_]{{1,3}}){name}(?:[ \t]*[*_]{{1,3}})?[ \t]*"
            rf"(?:[:\uff1a][*_]{{0,3}}|$)|{name}[ \t]*[:\uff1a])"
        )
    else:
        exact = re.escape(marker)
        variant = _OPENED if opened_thinking(marker) else _CLOSED if re.fullmatch(_CLOSED, marker) else exact
    for pattern in (exact, variant):
        flags = re.MULTILINE if pattern is exact else re.MULTILINE | re.IGNORECASE
        spans = [match.span() for match in re.finditer(pattern, text, flags)]
        if spans:
            return spans, pattern is exact
    return [], False
