"""Multiple choice for lm-eval, by log-likelihood of the letter or reasoned: schema, prompts and documents.

A task on a data set needs a function that makes `ChoiceItem`s and hands them to `likelihood_documents` or
`reasoned_documents`, and a task file that includes ours and names that function.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from reports.document.row_account import RowAccount
from reports.files import sha256_value
from tasks.data.documents import document_set
from tasks.data.options import speak_of_others
from tasks.task_settings import TaskSettings

if TYPE_CHECKING:
    from datasets import Dataset

_ASK = 'End your response with "Answer: " and the letter of the right option.'


class ChoiceItem(TypedDict):
    """A multiple-choice question.

    Attributes:
        id: Its id in the data set.
        question: The question without its options.
        options: The options, 2 to 26.
        gold: Position of the right one in `options`, from 0.
        subject: Its subject.
        context: The text that it shares with others, so that their answers are not independent.
    """

    id: str
    question: str
    options: list[str]
    gold: int
    subject: NotRequired[str]
    context: NotRequired[str]


@dataclass(frozen=True)
class ShownQuestion:
    """A question as a model sees it.

    Attributes:
        text: The question with its lettered options.
        order: Position in the item's `options` of each option shown.
        options: The options in the order shown.
        gold: Position of the right one in the order shown.
    """

    text: str
    order: list[int]
    options: list[str]
    gold: int

    @property
    def letter(self) -> str:
        """The letter of the right option."""
        return ascii_uppercase[self.gold]


def show(item: ChoiceItem, order: Sequence[int] | None = None) -> ShownQuestion:
    """A question with its options in the given order, else in their own."""
    order = list(range(len(item["options"]))) if order is None else list(order)
    options = [item["options"][place] for place in order]
    lines = [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False)]
    stem = item["question"].strip()
    return ShownQuestion("\n".join([*([stem] if stem else []), *lines]), order, options, order.index(item["gold"]))


def likelihood_prompt(item: ChoiceItem, order: Sequence[int] | None = None) -> str:
    """What a model sees before the letter: a question, or its options alone if it has no text."""
    start = "Question: " if item["question"].strip() else ""
    return f"{start}{show(item, order).text}\nAnswer:"


def letters(item: ChoiceItem) -> list[str]:
    """The letters of a question's options."""
    return [*ascii_uppercase[: len(item["options"])]]


def shuffled_order(item: ChoiceItem, seed: int) -> list[int]:
    """An order of the options that depends on the seed and the item's content alone, not on any order in its file.

    Options that speak of others, such as `all of the above`, keep their order.
    """
    options = item["options"]
    order = sorted(range(len(options)), key=options.__getitem__)
    if speak_of_others(options):
        return list(range(len(options)))
    content = [seed, " ".join(item["question"].split()), [options[place] for place in order]]
    random.Random(sha256_value(content)).shuffle(order)  # noqa: S311 - not for secrets
    return order


def likelihood_documents(
    items: Sequence[ChoiceItem],
    account: RowAccount,
    *,
    shuffled_by: int | None = None,
    fields: Mapping[str, Mapping[str, str]] | None = None,
    examples: Mapping[str, Sequence[ChoiceItem]] | None = None,
) -> dict[str, Dataset]:
    """Questions as lm-eval documents whose answer is the most likely letter.

    Args:
        items: The questions.
        account: What became of the rows of their source.
        shuffled_by: Seed by which the options are shuffled; None leaves them in order.
        fields: Short further facts by id.
        examples: Questions that are shown with their letters before a question, by its id.
    """

    def order(item: ChoiceItem) -> list[int] | None:
        return None if shuffled_by is None else shuffled_order(item, shuffled_by)

    def answered(item: ChoiceItem) -> str:
        return f"{likelihood_prompt(item, order(item))} {show(item, order(item)).letter}\n\n"

    def document(item: ChoiceItem) -> dict[str, Any]:
        earlier = "".join(map(answered, (examples or {}).get(item["id"], ())))
        prompt = earlier + likelihood_prompt(item, order(item))
        return _document(item, show(item, order(item)), prompt, fields) | {"width": width}

    width = max(len(item["options"]) for item in items)
    return {"test": document_set(map(document, items), account)}


def reasoned_documents(
    items: Sequence[ChoiceItem],
    task: TaskSettings,
    account: RowAccount,
    *,
    shuffled_by: int | None = None,
    fields: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Dataset]:
    """Questions as lm-eval documents that ask for reasoning in the answer format before the letter.

    No examples come before a question, since none has reasoning.

    Args:
        items: The questions.
        task: The settings, of which the answer format, the chat template and the system prompt are used.
        account: What became of the rows of their source.
        shuffled_by: Seed by which the options are shuffled; None leaves them in order.
        fields: Short further facts by id.
    """

    def document(item: ChoiceItem) -> dict[str, Any]:
        question = show(item, None if shuffled_by is None else shuffled_order(item, shuffled_by))
        prompt = task.prompt(f"{question.text}\n\n{_ASK}")
        return _document(item, question, prompt, fields) | {"format": task.format}

    return {"test": document_set(map(document, items), account)}


def _document(
    item: ChoiceItem, shown: ShownQuestion, prompt: str, fields: Mapping[str, Mapping[str, str]] | None
) -> dict[str, Any]:
    """What both kinds of documents hold; `options_order` lists the letters that the options have in the data set."""
    order = " ".join(ascii_uppercase[place] for place in shown.order)
    return {
        "id": item["id"],
        "question": shown.text,
        "stem": item["question"],
        "options": shown.options,
        "letters": letters(item),
        "prompt": prompt,
        "gold": shown.gold,
        "label": shown.letter,
        "subject": item.get("subject", ""),
        "fields": json.dumps({**(fields or {}).get(item["id"], {}), "options_order": order}),
    }
