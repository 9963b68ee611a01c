"""Multiple choice for lm-eval, by log-likelihood of the letter or reasoned: schema, prompts, documents and metrics.

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

import numpy as np

from reports.comparison.sums import ABSENT
from reports.document.label_use import NO_LABEL
from reports.document.row_account import RowAccount
from reports.files import sha256_value
from tasks.answers import GeneratedText, split_document_answer
from tasks.data.documents import document_set
from tasks.data.options import speak_of_others
from tasks.letters import letter_of
from tasks.task_settings import TaskSettings

if TYPE_CHECKING:
    from datasets import Dataset

PREDICTIONS = (*ascii_uppercase, NO_LABEL)
_NO_LETTER = PREDICTIONS.index(NO_LABEL)
_ASK = 'End your response with "Answer: " and the letter of the right option.'


class ChoiceItem(TypedDict):
    """A multiple-choice question.

    Attributes:
        id: Its id in the data set.
        question: The question without its options.
        options: The options, 2 to 26.
        gold: Position of the right one in `options`, from 0.
        subject: Its subject.
    """

    id: str
    question: str
    options: list[str]
    gold: int
    subject: NotRequired[str]


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
    options = [" ".join(item["options"][place].split()) for place in order]
    lines = [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False)]
    return ShownQuestion("\n".join([item["question"].strip(), *lines]), order, options, order.index(item["gold"]))


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

    def shown(item: ChoiceItem) -> ShownQuestion:
        return show(item, None if shuffled_by is None else shuffled_order(item, shuffled_by))

    def prompt(item: ChoiceItem, question: ShownQuestion) -> str:
        before = [shown(example) for example in (examples or {}).get(item["id"], ())]
        earlier = "".join(f"Question: {example.text}\nAnswer: {example.letter}\n\n" for example in before)
        return f"{earlier}Question: {question.text}\nAnswer:"

    width = max(len(item["options"]) for item in items)
    pairs = ((item, shown(item)) for item in items)
    rows = (_document(item, question, prompt(item, question), fields) | {"width": width} for item, question in pairs)
    return {"test": document_set(rows, account)}


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
        "letters": [*ascii_uppercase[: len(shown.options)]],
        "prompt": prompt,
        "gold": shown.gold,
        "label": shown.letter,
        "subject": item.get("subject", ""),
        "fields": json.dumps({**(fields or {}).get(item["id"], {}), "options_order": order}),
    }


def letter_results(doc: dict[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """Metrics of the most likely letter and of the normalised probabilities of all letters of a question.

    They are those of `tasks.pubmedqa.likelihood_results`; `accuracy_calibrated` is filled up to the number of options
    that any question has. `position_spread` holds the gold and the chosen position.
    """
    logprobs = np.asarray([result[0] for result in results])
    probabilities = np.exp(logprobs - logprobs.max())
    probabilities /= probabilities.sum()
    chosen, gold = int(logprobs.argmax()), int(doc["gold"])
    correct = float(chosen == gold)
    truth = np.eye(len(logprobs))[gold]
    absent = [ABSENT] * (int(doc["width"]) - len(logprobs))
    return {
        "accuracy": correct,
        "brier": float(((probabilities - truth) ** 2).sum()),
        "log_score": float(np.logaddexp.reduce(logprobs) - logprobs[gold]),
        "ece": (float(probabilities[chosen]), correct),
        "accuracy_calibrated": (float(gold), *map(float, logprobs), *absent),
        "position_spread": (gold, chosen),
    }


def reasoned_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Metrics of the letter of the final response; an answer without a letter is wrong.

    Stock lm-eval does not report why a generation ended; then `truncated` is left out.
    """
    answer = results[0]
    letter = letter_of(split_document_answer(doc, answer).response, doc["options"])
    chosen = _NO_LETTER if letter is None else PREDICTIONS.index(letter)
    metrics: dict[str, Any] = {
        "accuracy": float(chosen == doc["gold"]),
        "answered": float(letter is not None),
        "position_spread": (int(doc["gold"]), chosen),
    }
    if isinstance(answer, GeneratedText):
        metrics["truncated"] = float(answer.finish_reason == "length")
    return metrics


def position_spread(pairs: Sequence[tuple[int, int]]) -> float:
    """Standard deviation of the accuracy over the positions of the gold option (RStd, Zheng et al. 2024).

    Args:
        pairs: Gold and chosen position of each question, from 0.
    """
    gold, chosen = np.asarray(pairs).T
    return float(np.std([(chosen[gold == place] == place).mean() for place in np.unique(gold)]))
