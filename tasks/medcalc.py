"""MedCalc-Bench for lm-eval: clinical calculations, answered in words and scored within the benchmark's tolerance.

The rule is that of `evaluation/evaluate.py` in github.com/ncbi-nlp/MedCalc-Bench (Khandekar et al. 2024): dates and
weeks with days must be equal, whole numbers equal once rounded, and decimals within the row's `Lower Limit` and `Upper
Limit` (95 % and 105 % of the truth). Unlike there, the limits are put in order first, since 95 % of a negative value
lies above it, and the final answer is read from text instead of JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reports.document.row_account import RowAccount
from tasks.answers import GeneratedText, split_document_answer
from tasks.data.documents import document_set
from tasks.data.turns import UnusableRowError
from tasks.public_rows import Row, convert, load_split
from tasks.task_settings import TaskSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datasets import Dataset

DATA_SET = "ncbi/MedCalc-Bench-v1.2"
_ASK = (
    "Work it out step by step, then give the final value alone on the last line, as `Answer: VALUE`: a number without"
    " its unit, a date as MM/DD/YYYY, or weeks and days as (WEEKS weeks, DAYS days)."
)
_MARKER = re.compile(r"answer[*_]{0,3}\s*(?::|is\b)[*_]{0,3}", re.IGNORECASE)
_DATE = re.compile(r"(?<!\d)(\d{1,2})/(\d{1,2})/(\d{4})(?!\d)")
_WEEKS = re.compile(r"(\d{1,3})\s*weeks?['\"]?\s*(?:,|and)?\s*['\"]?(\d{1,3})\s*days?", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?<![\w.])[-\u2212+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?|(?<![\w.])[-\u2212]?\.\d+"
)
Value = tuple[float, ...]


def medcalc_dataset(*, folders: Mapping[str, str] | None = None, **settings: Any) -> dict[str, Dataset]:
    """The test split as lm-eval documents, with prompts in the answer format.

    Args:
        folders: Local folders in place of data sets of the hub, by id.
        settings: See `tasks.task_settings`.
    """
    task = TaskSettings(**settings)
    rows = load_split(DATA_SET, "test", folders or {})
    account = RowAccount(kind="clinical calculations")

    def place(row: Row, number: int) -> str:
        return f"row {row.get('Row Number', number)}"

    documents = convert(rows, lambda row: _documents(task, row), account, label=DATA_SET, place=place)
    return {"test": document_set(documents, account)}


def _documents(task: TaskSettings, row: Row) -> Iterator[dict[str, Any]]:
    """The document of a row.

    Raises:
        UnusableRowError: It asks nothing, or its answer cannot be compared with another.
    """
    question, note = str(row["Question"] or "").strip(), str(row["Patient Note"] or "")
    truth = str(row["Ground Truth Answer"]).strip()
    if not question:
        raise UnusableRowError("it has no question")
    if not read_value(truth):
        raise UnusableRowError(f"its answer {truth[:40]!r} is no number, date or duration")
    yield {
        "id": str(row["Row Number"]),
        "question": question,
        "context": note,
        "prompt": task.prompt(f"Patient note: {note.strip()}\n\n{question}\n\n{_ASK}"),
        "gold": truth,
        "low": str(row["Lower Limit"]),
        "high": str(row["Upper Limit"]),
        "fields": json.dumps({"calculator": row["Calculator Name"], "category": row["Category"]}),
        "format": task.format,
    }


def medcalc_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Metrics of one answer; an answer without a value is wrong."""
    answer = results[0]
    value = final_value(split_document_answer(doc, answer).response, doc["gold"])
    right = value is not None and is_right(value, doc["gold"], doc["low"], doc["high"])
    metrics: dict[str, Any] = {"accuracy": float(right), "answered": float(value is not None)}
    if isinstance(answer, GeneratedText):
        metrics["ended"] = float(answer.finish_reason != "length")
    return metrics


def is_right(value: Value, gold: str, low: str, high: str) -> bool:
    """Whether a value is the gold one, or within its limits if it is a decimal."""
    truth = read_value(gold)
    if len(value) != len(truth):
        return False
    limits = (*read_value(low), *read_value(high))
    if len(truth) == 1 and len(limits) == 2 and limits[0] != limits[1]:  # noqa: PLR2004 - a pair
        return min(limits) <= value[0] <= max(limits)
    if len(truth) == 1 and truth[0].is_integer():
        return round(value[0]) == truth[0]
    return value == truth


def final_value(response: str, gold: str) -> Value | None:
    """The value that a response gives last, of the kind of the gold one; after the last `Answer:` if it has one.

    After a marker the first value counts, since units with numbers may follow; otherwise the last of the response.
    """
    kind = _pattern(gold)
    markers = list(_MARKER.finditer(response))
    if markers and (match := kind.search(response, markers[-1].end())):
        return _value(match)
    matches = list(kind.finditer(response))
    return _value(matches[-1]) if matches else None


def read_value(text: str) -> Value:
    """A date as (year, month, day), a duration as (weeks, days), a number alone; empty if it is none of them."""
    match = _pattern(text).search(text)
    return _value(match) if match else ()


def _pattern(text: str) -> re.Pattern[str]:
    """What values of the kind of a text look like."""
    return next((kind for kind in (_DATE, _WEEKS) if kind.search(text)), _NUMBER)


def _value(match: re.Match[str]) -> Value:
    if match.re is _DATE:
        month, day, year = map(float, match.groups())
        return year, month, day
    if match.re is _WEEKS:
        return tuple(map(float, match.groups()))
    number = float(match[0].replace(",", "").replace("\u2212", "-"))
    return (number if math.isfinite(number) else 0.0,)
