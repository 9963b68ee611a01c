"""Answer formats, written and parsed in this one place, so that training, prompting and scoring cannot drift apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reports.errors import UserError, did_you_mean


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


@dataclass(frozen=True)
class Parsed:
    """What a parser found in one answer.

    Attributes:
        reasoning: The text of the reasoning part; None where none was found.
        response: The text of the final response; the whole answer where its marker is missing.
        problems: Every way in which the answer breaks its format, such as `missing: ## Thinking`; empty if none.
    """

    reasoning: str | None
    response: str
    problems: tuple[str, ...]


@dataclass(frozen=True)
class AnswerFormat:
    """How a question is put and in which shape the answer is wanted.

    Attributes:
        name: The name that recipes use.
        title: The shape in a few words, for lists and reports.
        instruction: What the model is told about the shape; base and adapter are told alike.
        user: Template of the user's turn, with `{question}` and `{instruction}`.
        sections: The parts of an answer in their order.
        plain_end: What follows the user's turn where no chat template is used.
        lead: White space that an answer starts with.
        gap: White space between two parts.
    """

    name: str
    title: str
    instruction: str
    sections: tuple[Section, ...]
    user: str = "{question}\n\n{instruction}"
    plain_end: str = "\n\n"
    lead: str = ""
    gap: str = "\n\n"

    @property
    def has_reasoning(self) -> bool:
        """Whether the format has a part for the reasoning."""
        return any(section.name == "reasoning" for section in self.sections)

    def user_turn(self, question: str) -> str:
        """The text of the user's turn."""
        return self.user.replace("{instruction}", self.instruction).replace("{question}", question.strip())

    def completion(self, reasoning: str, response: str) -> str:
        """The answer that training teaches and that perplexity is measured on, without an end-of-text token."""
        texts = {"reasoning": reasoning.strip(), "response": response.strip()}
        parts = []
        for section in self.sections:
            lines = [section.opening, texts[section.name], section.closing]
            # Tags hug their text; headings keep a blank line, as Markdown does.
            joint = "\n\n" if section.own_line else "\n"
            parts.append(joint.join(line for line in lines if line))
        return self.lead + self.gap.join(parts)

    def text_spans(self, reasoning: str, response: str) -> list[tuple[int, int]]:
        """Where reasoning and response stand in their `completion`, without markers and the white space around them.

        Returns:
            (start, end) in characters of each part that is not empty, in the order of the completion.
        """
        texts = {"reasoning": reasoning.strip(), "response": response.strip()}
        spans, position = [], len(self.lead)
        for section in self.sections:
            text, joint = texts[section.name], "\n\n" if section.own_line else "\n"
            start = position + (len(section.opening + joint) if section.opening else 0)
            if text:
                spans.append((start, start + len(text)))
            part = joint.join(line for line in (section.opening, text, section.closing) if line)
            position += len(part + self.gap)
        return spans

    def parse(self, text: str, *, truncated: bool = False) -> Parsed:
        """Split an answer into its parts and list all that is wrong with its shape.

        Args:
            text: The answer as generated.
            truncated: Whether generation stopped at the token limit instead of by itself.
        """
        problems: list[str] = []
        spans: list[_Span] = []
        for section in self.sections:
            unmarked = 0 if not spans else spans[-1].outer_end
            spans.append(_locate(section, text, unmarked, problems))
        opened = [span.outer_start for span in spans if span.outer_start is not None]
        if opened != sorted(opened):
            problems.append("order: " + ", ".join(section.opening or section.name for section in self.sections))
        parts: dict[str, str] = {}
        for section, span in zip(self.sections, spans, strict=True):
            if span.inner_start is None:
                continue
            following = min((start for start in opened if start > span.inner_start), default=len(text))
            parts[section.name] = text[
                span.inner_start : following if span.inner_end is None else span.inner_end
            ].strip()
            if not parts[section.name]:
                problems.append(f"empty: {section.name}")
        outside = text[: min(opened, default=0)]
        if self.sections[-1].closing and spans[-1].outer_end is not None:
            outside += text[spans[-1].outer_end :]
        if outside.strip():
            problems.append("extra: text outside the parts")
        if truncated:
            problems.append("truncated")
        return Parsed(parts.get("reasoning"), parts.get("response", text.strip()), tuple(dict.fromkeys(problems)))


@dataclass(frozen=True)
class _Span:
    """Where a section lies in an answer, in characters; None where a marker that would tell is missing."""

    outer_start: int | None = None
    inner_start: int | None = None
    inner_end: int | None = None
    outer_end: int | None = None


def _locate(section: Section, text: str, unmarked: int | None, problems: list[str]) -> _Span:
    """Find one section by its markers; one without an opening marker starts at `unmarked`."""
    outer_start = inner_start = unmarked
    if section.opening is not None:
        opening = _find(section.opening, text, problems, own_line=section.own_line)
        outer_start, inner_start = opening[0] if opening else (None, None)
    if section.closing is None:
        return _Span(outer_start, inner_start)
    closing = _find(section.closing, text, problems)
    after = [span for span in closing if span[0] >= (inner_start or 0)]
    if closing and not after:
        problems.append(f"order: {section.closing}")
    inner_end, outer_end = after[0] if after else (None, None)
    return _Span(outer_start, inner_start, inner_end, outer_end)


def _find(marker: str, text: str, problems: list[str], *, own_line: bool = False) -> list[tuple[int, int]]:
    """All (start, end) of a marker in time linear in the text; notes a missing or a repeated one."""
    pattern = rf"^{re.escape(marker)}[ \t]*$" if own_line else re.escape(marker)
    spans = [match.span() for match in re.finditer(pattern, text, re.MULTILINE)]
    if len(spans) != 1:
        problems.append(f"{'duplicate' if spans else 'missing'}: {marker}")
    return spans


_FORMATS = (
    AnswerFormat(
        name="thinking-headings",
        title="## Thinking, then ## Final Response",
        instruction="Answer with your reasoning under the heading ## Thinking, then your answer under the heading"
        " ## Final Response.",
        sections=(
            Section("reasoning", "## Thinking", own_line=True),
            Section("response", "## Final Response", own_line=True),
        ),
    ),
    AnswerFormat(
        name="think",
        title="<think>...</think>, then the answer",
        instruction="Put your reasoning between <think> and </think>, then give your answer.",
        sections=(Section("reasoning", "<think>", "</think>"), Section("response")),
    ),
    AnswerFormat(
        name="think-response",
        title="<think>...</think><response>...</response>",
        instruction="Put your reasoning between <think> and </think> and your answer between <response> and"
        " </response>.",
        sections=(Section("reasoning", "<think>", "</think>"), Section("response", "<response>", "</response>")),
        gap="\n",
    ),
    AnswerFormat(
        name="alpaca",
        title="### Instruction, ### Input, ### Response (reasoning, then ### Answer)",
        instruction="Reason through the medical question step by step, then give the answer after the heading"
        " ### Answer.",
        user="### Instruction:\n{instruction}\n\n### Input:\n{question}\n\n### Response:",
        plain_end="\n",
        sections=(Section("reasoning"), Section("response", "### Answer", own_line=True)),
    ),
    AnswerFormat(
        name="medical-question",
        title="MEDICAL QUESTION: ... ANSWER: ... (no reasoning)",
        instruction="",
        user="MEDICAL QUESTION: {question}\n\nANSWER:",
        plain_end="",
        lead=" ",
        sections=(Section("response"),),
    ),
)
FORMATS: dict[str, AnswerFormat] = {each.name: each for each in _FORMATS}


def get_format(name: str) -> AnswerFormat:
    """The format of that name.

    Raises:
        UserError: There is none; the message offers the nearest names.
    """
    if name in FORMATS:
        return FORMATS[name]
    fix = f"{did_you_mean(name, FORMATS)} known formats: {', '.join(FORMATS)}"
    raise UserError(f"there is no answer format {name!r}", fix=fix)
