"""Answer formats, written and read in this one place, so that training, prompting and scoring cannot drift apart."""

from __future__ import annotations

from dataclasses import dataclass

from reports.errors import UserError, did_you_mean
from tasks.answer_parts import Parsed, Section, split_sections


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


def split_answer(
    text: str,
    answer_format: str | AnswerFormat,
    *,
    prompt_opened: str | None = None,
    finish_reason: str | None = None,
) -> Parsed:
    r"""Where the reasoning and the response of a generated answer are; every metric of an answer goes by this.

    - Text in thinking tags (`<think>`, `<thinking>`, `<|begin_of_thought|>`) is reasoning in every format. Thinking
      that never closes leaves an empty response.
    - A heading counts with a colon after it and with either kind of line end. Another level or case, bold type, or text
      on the heading's own line are read too, but are a problem (`variant: ## Thinking`).
    - An answer that keeps no part of its format is its own response; one that began its reasoning under a heading and
      has no response heading has an empty response. Of repeated parts the first counts.
    - An answer that goes on to another question (a line such as `Question:`, `Abstract:`, `### Instruction:`, a user's
      turn, the prompt's own instruction) ends there. Within reasoning that comes to its response, and at the very start
      of the text, a line such as `Question:` restates the question and does not end the answer.
    - A part without any letter or digit is empty, and `truncated` is a problem only of an answer that did not run on.

    Args:
        text: The answer as generated.
        answer_format: The format that was asked for, or its name.
        prompt_opened: The thinking tag with which the prompt ended, since some chat templates open it themselves; or
            the whole prompt, of which only such an ending counts.
        finish_reason: Why generation ended: `length` at the token limit; None if unknown.

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
    shape = answer_format if isinstance(answer_format, AnswerFormat) else get_format(answer_format)
    return split_sections(
        text, shape.sections, shape.instruction, prompt_opened=prompt_opened, finish_reason=finish_reason
    )
