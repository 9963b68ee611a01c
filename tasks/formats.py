"""Answer formats, defined once for training, prompting and scoring."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from reports.errors import UserError, did_you_mean
from tasks.answer_parts import Parsed, Section, split_sections

# Formats whose markers show in a text that is not known to be in any; see `split_marked`.
_MARKED = ("thinking-headings", "think-response", "think")
_OPENING = re.compile(r"<think|begin_of_thought", re.IGNORECASE)
_CLOSING = re.compile(r"</think|end_of_thought|final response", re.IGNORECASE)


class SpokenTurn(Protocol):
    """A turn of a conversation, see `tasks.data.turns.Turn`."""

    @property
    def role(self) -> Literal["system", "user", "assistant"]:
        """Who speaks."""

    @property
    def text(self) -> str:
        """What is said; of an assistant, its response."""

    @property
    def reasoning(self) -> str:
        """The reasoning before an assistant's response, or empty."""


@dataclass(frozen=True)
class AnswerFormat:
    """The wording of a question and the structure of its answer.

    Attributes:
        name: Name in recipes.
        title: Short description of the structure, for lists and reports.
        instruction: The instruction to the model, the same for base and adapter.
        user: Template of the user turn, with `{question}` and `{instruction}`.
        sections: The parts of an answer in order.
        plain_end: Text after the user turn if no chat template is used.
        lead: White space at the start of an answer.
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
        """The text of the user turn."""
        return self.user.replace("{instruction}", self.instruction).replace("{question}", question.strip())

    def messages(self, question: str, history: Sequence[SpokenTurn] = ()) -> list[dict[str, str]]:
        """The question and the turns before it as messages for a chat template, each in the wording of the format."""
        earlier = [{"role": turn.role, "content": self._content(turn)} for turn in history]
        return [*earlier, {"role": "user", "content": self.user_turn(question)}]

    def _content(self, turn: SpokenTurn) -> str:
        if turn.role == "user":
            return self.user_turn(turn.text)
        return turn.text if turn.role == "system" else self.completion(turn.reasoning, turn.text).strip()

    def plain_prompt(self, messages: Sequence[dict[str, str]]) -> str:
        """Messages as plain text, for models without a chat template."""
        ends = {"system": "\n\n", "user": self.plain_end, "assistant": "\n\n"}
        starts = {"assistant": self.lead}
        return "".join(
            starts.get(message["role"], "") + message["content"] + ends[message["role"]] for message in messages
        )

    def completion(self, reasoning: str, response: str) -> str:
        """The gold answer for training and perplexity, without an end-of-text token."""
        texts = {"reasoning": reasoning.strip(), "response": response.strip()}
        parts = []
        for section in self.sections:
            lines = [section.opening, texts[section.name], section.closing]
            # One line break after a tag, a blank line after a heading, as in Markdown.
            joint = "\n\n" if section.own_line else "\n"
            parts.append(joint.join(line for line in lines if line))
        return self.lead + self.gap.join(parts)

    def text_spans(self, reasoning: str, response: str) -> list[tuple[int, int]]:
        """Positions of reasoning and response in their `completion`, without markers and surrounding white space.

        Returns:
            (start, end) in characters of each non-empty part, in the order of the completion.
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
    AnswerFormat(
        name="plain",
        title="the question as it stands, then the answer (no reasoning)",
        instruction="",
        user="{question}",
        sections=(Section("response"),),
    ),
)
FORMATS: dict[str, AnswerFormat] = {item.name: item for item in _FORMATS}


def get_format(name: str) -> AnswerFormat:
    """The format of that name.

    Raises:
        UserError: There is no such format; the message suggests similar names.
    """
    if name in FORMATS:
        return FORMATS[name]
    fix = f"{did_you_mean(name, FORMATS)} known formats: {', '.join(FORMATS)}"
    raise UserError(f"there is no answer format {name!r}", fix=fix)


def split_answer(
    text: str,
    answer_format: str | AnswerFormat,
    *,
    prompt_opened: str | None = None,
    finish_reason: str | None = None,
) -> Parsed:
    r"""Split a generated answer into reasoning and response; every metric of an answer uses this function.

    - Text in thinking tags (`<think>`, `<thinking>`, `<|begin_of_thought|>`) is reasoning in every format. If thinking
      never closes, the response is empty.
    - A heading may end with a colon and with either kind of line break. Another level or case, bold type, or text on
      the same line are accepted, but are a problem (`variant: ## Thinking`).
    - An answer without any marker of its format is all response; if it has the reasoning heading but no response
      heading, the response is empty. The first of repeated parts counts.
    - An answer that continues with another question (a line such as `Question:`, `Abstract:`, `### Instruction:`, a
      user turn, the instruction of the prompt) ends there. Within reasoning that is followed by a response, and at the
      start of the text, a line such as `Question:` restates the question and does not end the answer.
    - A part without any letter or digit is empty; `truncated` is reported only if the answer did not run on.

    Args:
        text: The answer as generated.
        answer_format: The requested format, or its name.
        prompt_opened: The thinking tag at the end of the prompt (some chat templates open it), or the full prompt, of
            which only such a tag at its end matters.
        finish_reason: `length` if generation stopped at the token limit; None if unknown.

    Raises:
        UserError: There is no format of that name.

    Examples:
        >>> split_answer("<think>Few events.</think>No.", "think")[:3]
        ('Few events.', 'No.', ())
        >>> split_answer("Few events.", "medical-question", prompt_opened="<think>").response
        ''
        >>> split_answer("No.\n\nQuestion: Is rest needed?\nAnswer: yes", "medical-question").text
        'No.'
    """
    if not isinstance(answer_format, AnswerFormat):
        answer_format = get_format(answer_format)
    return split_sections(
        text,
        answer_format.sections,
        answer_format.instruction,
        prompt_opened=prompt_opened,
        finish_reason=finish_reason,
    )


def gold_problems(answer_format: AnswerFormat, reasoning: str, response: str) -> tuple[str, ...]:
    """Why a gold answer violates its own format, by the parser that scores generated answers; empty if it does not."""
    completion = answer_format.completion(reasoning, response)
    parsed = split_answer(completion, answer_format)
    if parsed.problems:
        return parsed.problems
    read = " ".join(f"{parsed.reasoning or ''} {parsed.response}".split())
    written = " ".join(f"{reasoning if answer_format.has_reasoning else ''} {response}".split())
    if read == written:
        return ()
    return (
        ("cut: a line that starts another question",) if written.startswith(read) else ("other parts when read back",)
    )


def split_marked(text: str) -> tuple[str, str]:
    """(reasoning, response) of a text with the markers of a format; ("", text) if it has none or only some of them.

    Example:
        >>> split_marked("<think>Few events.</think>No.")
        ('Few events.', 'No.')
        >>> split_marked("No <think>.")
        ('', 'No <think>.')
    """
    text = text.strip()
    if not _CLOSING.search(text):
        return "", text
    opened = None if _OPENING.search(text) else "<think>"  # distilled answers lack the tag that stood in the prompt
    for name in _MARKED:
        parsed = split_answer(text, name, prompt_opened=opened if name != "thinking-headings" else None)
        is_whole = all(problem.startswith("variant") for problem in parsed.problems)
        if is_whole and parsed.reasoning and parsed.response and parsed.text.split() == text.split():
            return parsed.reasoning, parsed.response
    return "", text
