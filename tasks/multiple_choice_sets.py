"""Public multiple-choice data sets in one document schema, for the task files that name these functions.

A document has `id` and `question`, its `options` as texts, the index `gold` of the right one, a `subject` (empty if the
set has none) and `context`: the text that several documents share, so that their answers are not independent; empty if
they share none. Columns are those of the data sets' own pages (see `tasks.benchmarks` for their addresses).

Rows that cannot be asked (no question, fewer than two options, no right one) are an error that names the first of them:
a benchmark without some of its items would be another one.
"""

from __future__ import annotations

import ast
import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reports.errors import UserError
from tasks.choice_metrics import choice_metrics

if TYPE_CHECKING:
    from datasets import Dataset

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LISTED_OPTIONS = "\nAnswer Choices:"  # MedXpertQA repeats the options at the end of its questions
_FACTUAL = "Is the proposed answer factual or hallucinated?"
_CLINICAL = "Clinical Medicine"
_SHUFFLE_SEED = "medbench glianorex 1"
_LONGEST_LITERAL = 100_000  # characters of Med-HALT's options, which are a Python literal

Row = Mapping[str, Any]
Document = dict[str, Any]


def medxpertqa(rows: Dataset) -> Dataset:
    """MedXpertQA text (Zuo et al. 2025)."""

    def document(row: Row) -> Document:
        question = str(row["question"]).partition(_LISTED_OPTIONS)[0]
        return _lettered(row["id"], question, row["options"], row["label"], row["medical_task"])

    return _documents(rows, document)


def supergpqa_clinical(rows: Dataset) -> Dataset:
    """The field Clinical Medicine of SuperGPQA (M-A-P 2025)."""

    def document(row: Row) -> Document:
        options = dict(zip(LETTERS, row["options"], strict=False))
        return _lettered(row["uuid"], row["question"], options, row["answer_letter"], row["subfield"])

    return _documents(rows.filter(lambda row: row["field"] == _CLINICAL), document)


def metamedqa(rows: Dataset) -> Dataset:
    """MetaMedQA (Griot et al. 2025); its rows have no ids, so the place in the split is the id."""

    def document(row: Row, place: int) -> Document:
        options = row["options"]
        letters = [row["answer_idx"], *(key for key, option in options.items() if option == row["answer"])]
        letter = next((letter for letter in letters if letter in options), None)
        return _lettered(place, row["question"], options, letter)

    return _documents(rows, document, with_place=True)


def medhallu(rows: Dataset) -> Dataset:
    """MedHallu (Pandit et al. 2025) without its knowledge column: both answers of a question, one document each."""

    def documents(row: Row, place: int) -> list[Document]:
        asked = str(row["Question"])
        return [
            _document(
                f"{place}-{name}",
                f"{asked}\nProposed answer: {str(row[column]).strip()}\n{_FACTUAL}",
                ["Factual", "Hallucinated"],
                gold,
                str(row["Difficulty Level"] or ""),
                context=asked,
            )
            for gold, (name, column) in enumerate(
                (("factual", "Ground Truth"), ("hallucinated", "Hallucinated Answer"))
            )
        ]

    return _several_documents(rows, documents)


def medhalt_fct(rows: Dataset) -> Dataset:
    """Med-HALT's false confidence test (Pal et al. 2023), its test part: is the proposed answer correct?"""

    def document(row: Row) -> Document:
        options = _numbered(row)
        listed = "".join(f"{number}. {option}\n" for number, option in enumerate(options, 1))
        proposed, correct = int(row["student_index"]), int(row["correct_index"])
        question = f"{row['question']}\n{listed}Proposed answer: {options[proposed]}\nIs the proposed answer correct?"
        return _document(row["id"], question, ["Yes", "No"], int(proposed != correct), str(row["subject_name"] or ""))

    return _documents(rows.filter(_is_test), document)


def medhalt_nota(rows: Dataset) -> Dataset:
    """Med-HALT's none-of-the-above test, its test part."""

    def document(row: Row) -> Document:
        return _document(
            row["id"], row["question"], _numbered(row), int(row["correct_index"]), str(row["subject_name"] or "")
        )

    return _documents(rows.filter(_is_test), document)


def glianorex_shuffled(rows: Dataset) -> Dataset:
    """English Glianorex (Griot et al. 2024) with the options of each question in an order drawn by its text."""
    return _documents(_english(rows), _shuffled, with_place=True)


def glianorex_no_question(rows: Dataset) -> Dataset:
    """The same options in the same order without the question."""

    def document(row: Row, place: int) -> Document:
        return {**_shuffled(row, place), "question": ""}

    return _documents(_english(rows), document, with_place=True)


def _english(rows: Dataset) -> Dataset:
    return rows.filter(lambda row: str(row["language"]).startswith("en"))


def _shuffled(row: Row, place: int) -> Document:
    document = _lettered(place, row["question"], row["options"], row["answer_idx"])
    order = list(range(len(document["options"])))
    digest = hashlib.sha256(f"{_SHUFFLE_SEED}\n{document['question']}".encode()).digest()
    random.Random(digest).shuffle(order)  # noqa: S311 - not for secrets
    return {
        **document,
        "options": [document["options"][index] for index in order],
        "gold": order.index(document["gold"]),
    }


def likelihood_results(doc: Row, results: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """Accuracy, Brier score and log score; see `tasks.choice_metrics`."""
    metrics = choice_metrics([result[0] for result in results], doc["gold"])
    return {key: metrics[key] for key in ("accuracy", "brier", "log_score")}


def calibrated_results(doc: Row, results: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """The same and accuracy after batch calibration, for sets whose questions have one number of options."""
    metrics = choice_metrics([result[0] for result in results], doc["gold"])
    return {key: metrics[key] for key in ("accuracy", "accuracy_calibrated", "brier", "log_score")}


def _is_test(row: Row) -> bool:
    """Whether a row is of Med-HALT's test part; all parts are in one split."""
    return bool(row["split_type"] == "test")


def _numbered(row: Row) -> list[str]:
    """Med-HALT's options, a Python literal of a mapping from numbers; other keys repeat the correct answer."""
    text = str(row["options"])
    try:
        options = ast.literal_eval(text) if len(text) <= _LONGEST_LITERAL else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        options = None
    if not isinstance(options, dict):
        raise _unusable(row["id"], "its options are no mapping")
    return [str(options[key]) for key in sorted((key for key in options if str(key).isdigit()), key=int)]


def _lettered(name: Any, question: Any, options: Mapping[str, Any], letter: Any, subject: Any = "") -> Document:
    """A document of options by letter; letters without a text are no options."""
    given = [key for key in sorted(options) if options[key] is not None and str(options[key]).strip()]
    gold = given.index(letter) if letter in given else -1
    return _document(name, question, [str(options[key]) for key in given], gold, str(subject or ""))


def _document(
    name: Any, question: Any, options: Sequence[str], gold: int, subject: str = "", context: str = ""
) -> Document:
    text = str(question or "").strip()
    if not text:
        raise _unusable(name, "it has no question")
    if not 1 < len(options) <= len(LETTERS):
        raise _unusable(name, f"it has {len(options)} options")
    if not 0 <= gold < len(options):
        raise _unusable(name, "none of its options is the right one")
    return {
        "id": str(name),
        "question": text,
        "options": [str(option).strip() for option in options],
        "gold": gold,
        "subject": subject,
        "context": context,
    }


def _unusable(name: Any, why: str) -> UserError:
    fix = "use the data set as published, at the commit that docs/benchmarks.md names"
    return UserError(why, where=f"item {name}", fix=fix)


def _documents(rows: Dataset, document: Callable[..., Document], *, with_place: bool = False) -> Dataset:
    """The rows as documents; `datasets` caches them by the function."""
    return rows.map(document, with_indices=with_place, remove_columns=rows.column_names)


def _several_documents(rows: Dataset, documents: Callable[[Row, int], list[Document]]) -> Dataset:
    """All documents of the rows, which may have several each."""

    def batch(columns: Mapping[str, list[Any]], places: list[int]) -> dict[str, list[Any]]:
        made = [
            document
            for row, place in enumerate(places)
            for document in documents({key: values[row] for key, values in columns.items()}, place)
        ]
        return {key: [document[key] for document in made] for key in (made[0] if made else ())}

    return rows.map(batch, batched=True, with_indices=True, remove_columns=rows.column_names)
