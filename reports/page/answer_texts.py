"""Texts of an answer for readers: the question out of a prompt, and where two answers differ."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import NamedTuple

_CHAT = re.compile(r"<\|[^<>|]{1,40}\|>|<(?:start|end)_of_turn>|</?s>|\[/?INST\]|<</?SYS>>")
_ROLE = re.compile(r"(system|user|human|assistant|model)\s*(?:\n|$)", re.IGNORECASE)
_ASKS = re.compile(r"^Question:[ \t]*(.*\S)", re.MULTILINE)
_TOKEN = re.compile(r"^\s+|[\u3040-\u9fff]\s*|[^\s\u3040-\u9fff]+\s*")  # words; characters where no blanks part words
_MOST_TOKENS = 1500  # of an answer that is compared; the time grows with their product
_LEAST_COMMON = 0.25  # share in common below which marks would cover nearly everything


class Part(NamedTuple):
    """A part of an answer, and whether the answer that it is compared with lacks it."""

    text: str
    differs: bool


def question_of(prompt: str) -> str:
    """The question in a prompt: what follows the last `Question:`, else the last turn of the user, without markup."""
    turns = [turn for turn in map(str.strip, _CHAT.split(prompt)) if turn]
    spoken = []
    for turn in turns:
        role = _ROLE.match(turn)
        text = turn[role.end() :].strip() if role else turn
        if text and (role is None or role[1].lower() in ("user", "human")):
            spoken.append(text)
    last = spoken[-1] if spoken else prompt.strip()
    questions = _ASKS.findall(last)
    return questions[-1] if questions else last


def differing_parts(text: str, other: str | None) -> list[Part]:
    """Split a text into parts that another text has in the same order, and parts that it lacks.

    One part without a mark if there is nothing to compare, if the texts have little in common, or if they are long.
    """
    tokens, others = _TOKEN.findall(text), _TOKEN.findall(other or "")
    plain = [Part(text, differs=False)]
    if other is None or text == other or max(len(tokens), len(others)) > _MOST_TOKENS:
        return plain
    matcher = SequenceMatcher(None, [*map(str.strip, others)], [*map(str.strip, tokens)])
    same = [(block.b, block.b + block.size) for block in matcher.get_matching_blocks()]
    if sum(end - start for start, end in same) < _LEAST_COMMON * len(tokens):
        return plain
    parts: list[Part] = []
    before = 0
    for start, end in same:
        for first, last, differs in ((before, start, True), (start, end, False)):
            if last > first:
                parts.append(Part("".join(tokens[first:last]), differs))
        before = end
    return parts
