"""PubMedQA for lm-eval: with or without the abstract, by log-likelihood or by a generated answer.

The official scores are accuracy and macro-F1 (`evaluation.py` of github.com/pubmedqa/pubmedqa, Jin et al. 2019).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.comparison.sums import value_of_samples
from reports.document.label_use import NO_LABEL
from tasks.answers import GeneratedText
from tasks.choice_metrics import choice_metrics
from tasks.data import PubMedQAItem, load_pubmedqa
from tasks.data.documents import document_set
from tasks.data.rows import LABELS, load_items
from tasks.data.selection import official_test_ids
from tasks.data.source import ALL_IDS
from tasks.few_shot import draw_examples, examples_for
from tasks.formats import get_format
from tasks.labels import extract_label
from tasks.task_settings import TaskSettings

if TYPE_CHECKING:
    from datasets import Dataset

    from reports.comparison.sums import ScoredItem

PREDICTIONS = (*LABELS, NO_LABEL)
_Prompt = Callable[[PubMedQAItem, Sequence[PubMedQAItem]], str]  # of an item and the examples before it
_ASK = "Answer with yes, no or maybe."


def abstract_dataset(**settings: Any) -> dict[str, Dataset]:
    """Question and abstract as lm-eval documents, with the prompt of lm-eval's own `pubmedqa` task."""
    return _documents(TaskSettings(**settings), _in_plain_text(lambda item: f"{item.with_abstract}\nAnswer:"))


def question_dataset(**settings: Any) -> dict[str, Dataset]:
    """The question alone as lm-eval documents."""
    return _documents(TaskSettings(**settings), _in_plain_text(lambda item: f"Question: {item.question}\nAnswer:"))


def abstract_cot_dataset(**settings: Any) -> dict[str, Dataset]:
    """Question and abstract; the prompt asks for reasoning in the answer format before yes, no or maybe."""
    task = TaskSettings(**settings)
    return _documents(task, _in_format(task, lambda item: f"{item.with_abstract}\n\n{_ASK}"), task.format)


def question_cot_dataset(**settings: Any) -> dict[str, Dataset]:
    """The question alone; the prompt asks for reasoning in the answer format before yes, no or maybe."""
    task = TaskSettings(**settings)
    return _documents(task, _in_format(task, lambda item: f"Question: {item.question}\n\n{_ASK}"), task.format)


def _in_plain_text(question: Callable[[PubMedQAItem], str]) -> _Prompt:
    """Prompts in plain text, with the label after each example."""

    def prompt(item: PubMedQAItem, examples: Sequence[PubMedQAItem]) -> str:
        return "".join(f"{question(one)} {one.answer}\n\n" for one in examples) + question(item)

    return prompt


def _in_format(task: TaskSettings, question: Callable[[PubMedQAItem], str]) -> _Prompt:
    """Prompts in the answer format; the examples' reasoning is the conclusion of their abstracts."""
    answer_format = get_format(task.format)

    def prompt(item: PubMedQAItem, examples: Sequence[PubMedQAItem]) -> str:
        answers = [answer_format.completion(one.conclusion, f"{one.answer.capitalize()}.") for one in examples]
        return task.prompt(question(item), list(zip(map(question, examples), answers, strict=True)))

    return prompt


def _drawn_examples(task: TaskSettings, scored: Sequence[PubMedQAItem]) -> list[PubMedQAItem]:
    """Examples from the items of the same source that are not scored, or from the scored ones if too few are left."""
    if not task.shots:
        return []
    ids = {item.id for item in scored}
    every = load_pubmedqa(task.pubmedqa.model_copy(update={"ids": ALL_IDS, "rows": None}), seed=task.seed)
    others = [item for item in every if item.id not in ids]
    return draw_examples(others if len(others) > task.shots else scored, task.shots, task.seed)


def _documents(task: TaskSettings, prompt: _Prompt, answer_format: str = "thinking-headings") -> dict[str, Dataset]:
    loaded = load_items(official_test_ids(task.pubmedqa), seed=task.seed)
    drawn = _drawn_examples(task, loaded.rows)
    rows = (
        {
            "id": item.id,
            "question": item.question,
            "context": "\n".join(item.contexts),
            "prompt": prompt(item, examples_for(item.question, drawn, task.shots)),
            "gold": LABELS.index(item.answer),
            "label": item.answer,
            "fields": json.dumps(item.fields),
            "format": answer_format,
        }
        for item in loaded.rows
    )
    return {"test": document_set(rows, loaded.account)}


def likelihood_results(doc: dict[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """Metrics of the labels' log-likelihoods; see `tasks.choice_metrics`."""
    return choice_metrics([result[0] for result in results], doc["gold"])


def generated_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Metrics of the label of the final response; an answer without a label is wrong."""
    answer = results[0]
    label = extract_label(answer, doc["format"], prompt_opened=doc["prompt"])
    predicted = PREDICTIONS.index(label or NO_LABEL)
    metrics: dict[str, Any] = {
        "accuracy": float(predicted == doc["gold"]),
        "macro_f1": (doc["gold"], predicted),
        "answered": float(label is not None),
    }
    if isinstance(answer, GeneratedText):
        metrics["ended"] = float(answer.finish_reason != "length")
    return metrics


def prediction(sample: ScoredItem) -> str:
    """The predicted label in the spelling of the official submission format, `none` for an answer without one."""
    pair = sample.metrics["macro_f1"]
    return PREDICTIONS[int(pair[1])] if isinstance(pair, tuple) else NO_LABEL


def macro_f1(pairs: Sequence[tuple[int, int]]) -> float:
    """Mean F1 of the labels that occur in gold, from (gold, predicted) labels.

    An answer without a label is a miss for its gold label. On fully labelled predictions this is the score of
    PubMedQA's official script.
    """
    return value_of_samples("macro_f1", pairs)


def official_script_macro_f1(pairs: Sequence[Any]) -> float:
    """Macro-F1 of PubMedQA's official script: over all labels that occur; "no label" counts as one of them."""
    from sklearn.metrics import f1_score

    gold, predicted = np.asarray(pairs).T
    return float(f1_score(gold, predicted, average="macro"))
