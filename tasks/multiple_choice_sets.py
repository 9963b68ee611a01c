"""Public multiple-choice data sets as questions, for the task files that name these functions.

A document has `id` and `question`, its `options` as texts, the index `gold` of the right one, a `subject` (empty if the
set has none) and `context`: the text that several documents share, so that their answers are not independent; empty if
they share none. Columns are those of the data sets' own pages (see `tasks.benchmarks` for their addresses).
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from reports.document.row_account import RowAccount
from tasks.data.documents import document_set
from tasks.data.options import LEAST_OPTIONS, MOST_OPTIONS
from tasks.data.turns import UnusableRowError
from tasks.multiple_choice import ChoiceItem
from tasks.public_rows import Row, convert

if TYPE_CHECKING:
    from datasets import Dataset

_LISTED_OPTIONS = "\nAnswer Choices:"  # MedXpertQA repeats the options at the end of its questions
_FACTUAL = "Is the proposed answer factual or hallucinated?"
_CLINICAL = "Clinical Medicine"
_SHUFFLE_SEED = "medbench glianorex 1"
_LONGEST_LITERAL = 100_000  # characters of Med-HALT's options, which are a Python literal


@dataclass(frozen=True)
class ChoiceSet:
    """A public data set of multiple-choice questions.

    Attributes:
        name: Its id on the hub.
        items: The questions of a row and its place among the rows that belong.
        split: The split that is scored.
        id_column: Column by which messages name a row; empty if rows are named by their number.
        belongs: Whether a row belongs to the benchmark.
    """

    name: str
    items: Callable[[Row, int], Iterable[ChoiceItem]]
    split: str = "test"
    id_column: str = ""
    belongs: Callable[[Row], bool] = lambda _: True

    def questions(self, rows: Iterable[Row], account: RowAccount, label: str = "") -> Iterator[ChoiceItem]:
        """The questions of all rows; `account` counts the rows.

        Raises:
            UserError: Some rows cannot be used; all of them are counted.
        """
        places = itertools.count()

        def make(row: Row) -> Iterable[ChoiceItem]:
            return self.items(row, next(places)) if self.belongs(row) else ()

        def place(row: Row, number: int) -> str:
            name = row.get(self.id_column)
            return f"row {number}" if name is None else f"item {name}"

        return convert(rows, make, account, label=label or self.name, place=place)


# lm-eval asks for a task's documents at each access; by the split and the function that made them.
_made: WeakKeyDictionary[Dataset, dict[str, Dataset]] = WeakKeyDictionary()


def _documents(choice_set: ChoiceSet, rows: Dataset) -> Dataset:
    """The questions of a split as documents."""
    of_rows = _made.setdefault(rows, {})
    key = choice_set.items.__name__
    if key not in of_rows:
        account = RowAccount(kind="multiple-choice")
        of_rows[key] = document_set(map(dict, choice_set.questions(rows, account)), account)
    return of_rows[key]


def _medqa(row: Row, place: int) -> Iterator[ChoiceItem]:
    options = [row[f"ending{number}"] for number in range(4)]
    yield _item(row.get("id", place), row["sent1"], options, row["label"])


def _medmcqa(row: Row, place: int) -> Iterator[ChoiceItem]:
    options = [row[name] for name in ("opa", "opb", "opc", "opd")]
    yield _item(row.get("id", place), row["question"], options, row["cop"], row.get("subject_name"))


def _mmlu(row: Row, place: int) -> Iterator[ChoiceItem]:
    yield _item(place, row["question"], row["choices"], row["answer"], row.get("subject"))


def _medxpertqa(row: Row, _: int) -> Iterator[ChoiceItem]:
    question = str(row["question"]).partition(_LISTED_OPTIONS)[0]
    yield _lettered(row["id"], question, row["options"], row["label"], row["medical_task"])


def _supergpqa(row: Row, _: int) -> Iterator[ChoiceItem]:
    options = dict(zip(ascii_uppercase, row["options"] or (), strict=False))
    yield _lettered(row["uuid"], row["question"], options, row["answer_letter"], row["subfield"])


def _metamedqa(row: Row, place: int) -> Iterator[ChoiceItem]:
    """Rows have no ids, so the place in the split is the id."""
    options = row["options"] or {}
    letters = [row["answer_idx"], *(key for key, option in options.items() if option == row["answer"])]
    letter = next((letter for letter in letters if letter in options), None)
    yield _lettered(place, row["question"], options, letter)


def _medhallu(row: Row, place: int) -> Iterator[ChoiceItem]:
    shared = str(row["Question"])
    answers = (("factual", "Ground Truth"), ("hallucinated", "Hallucinated Answer"))
    for gold, (name, column) in enumerate(answers):
        question = f"{shared}\nProposed answer: {str(row[column]).strip()}\n{_FACTUAL}"
        item = _item(f"{place}-{name}", question, ["Factual", "Hallucinated"], gold, row["Difficulty Level"])
        yield {**item, "context": shared}


def _medhalt_fct(row: Row, _: int) -> Iterator[ChoiceItem]:
    options = _numbered(row)
    listed = "".join(f"{number}. {option}\n" for number, option in enumerate(options, 1))
    proposed, correct = _index(row["student_index"]), _index(row["correct_index"])
    if not (0 <= proposed < len(options) and 0 <= correct < len(options)):
        raise UnusableRowError("the proposed or the correct answer is none of its options")
    question = f"{row['question']}\n{listed}Proposed answer: {options[proposed]}\nIs the proposed answer correct?"
    yield _item(row["id"], question, ["Yes", "No"], int(proposed != correct), row["subject_name"])


def _medhalt_nota(row: Row, _: int) -> Iterator[ChoiceItem]:
    yield _item(row["id"], row["question"], _numbered(row), _index(row["correct_index"]), row["subject_name"])


def _glianorex(row: Row, place: int) -> Iterator[ChoiceItem]:
    item = _lettered(place, row["question"], row["options"], row["answer_idx"])
    order = list(range(len(item["options"])))
    digest = hashlib.sha256(f"{_SHUFFLE_SEED}\n{item['question']}".encode()).digest()
    random.Random(digest).shuffle(order)  # noqa: S311 - not for secrets
    yield {**item, "options": [item["options"][index] for index in order], "gold": order.index(item["gold"])}


def _glianorex_no_question(row: Row, place: int) -> Iterator[ChoiceItem]:
    for item in _glianorex(row, place):
        yield {**item, "question": ""}


def _is_test(row: Row) -> bool:
    """Whether a row is of Med-HALT's test part; all parts are in one split."""
    return bool(row["split_type"] == "test")


def _is_english(row: Row) -> bool:
    return str(row["language"]).startswith("en")


_MEDXPERTQA = ChoiceSet("TsinghuaC3I/MedXpertQA", _medxpertqa, id_column="id")
_SUPERGPQA = ChoiceSet("m-a-p/SuperGPQA", _supergpqa, "train", "uuid", lambda row: bool(row["field"] == _CLINICAL))
_METAMEDQA = ChoiceSet("maximegmd/MetaMedQA", _metamedqa)
# The sets that models reason about, by name.
REASONED = {
    choice_set.name: choice_set
    for choice_set in (
        ChoiceSet("GBaker/MedQA-USMLE-4-options-hf", _medqa, id_column="id"),
        ChoiceSet("openlifescienceai/medmcqa", _medmcqa, "validation", "id"),
        ChoiceSet("cais/mmlu", _mmlu),
        _MEDXPERTQA,
        _SUPERGPQA,
        _METAMEDQA,
    )
}


def medxpertqa(rows: Dataset) -> Dataset:
    """MedXpertQA text (Zuo et al. 2025)."""
    return _documents(_MEDXPERTQA, rows)


def supergpqa_clinical(rows: Dataset) -> Dataset:
    """The field Clinical Medicine of SuperGPQA (M-A-P 2025)."""
    return _documents(_SUPERGPQA, rows)


def metamedqa(rows: Dataset) -> Dataset:
    """MetaMedQA (Griot et al. 2025)."""
    return _documents(_METAMEDQA, rows)


def medhallu(rows: Dataset) -> Dataset:
    """MedHallu (Pandit et al. 2025) without its knowledge column: both answers of a question, one document each."""
    return _documents(ChoiceSet("UTAustin-AIHealth/MedHallu", _medhallu), rows)


def medhalt_fct(rows: Dataset) -> Dataset:
    """Med-HALT's false confidence test (Pal et al. 2023), its test part: is the proposed answer correct?"""
    return _documents(ChoiceSet("openlifescienceai/Med-HALT", _medhalt_fct, id_column="id", belongs=_is_test), rows)


def medhalt_nota(rows: Dataset) -> Dataset:
    """Med-HALT's none-of-the-above test, its test part."""
    return _documents(ChoiceSet("openlifescienceai/Med-HALT", _medhalt_nota, id_column="id", belongs=_is_test), rows)


def glianorex_shuffled(rows: Dataset) -> Dataset:
    """English Glianorex (Griot et al. 2024) with the options of each question in an order drawn by its text."""
    return _documents(ChoiceSet("maximegmd/glianorex", _glianorex, belongs=_is_english), rows)


def glianorex_no_question(rows: Dataset) -> Dataset:
    """The same options in the same order without the question."""
    return _documents(ChoiceSet("maximegmd/glianorex", _glianorex_no_question, belongs=_is_english), rows)


def _numbered(row: Row) -> list[str]:
    """Med-HALT's options, a Python literal of a mapping from numbers; other keys repeat the correct answer."""
    text = str(row["options"])
    try:
        options = ast.literal_eval(text) if len(text) <= _LONGEST_LITERAL else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        options = None
    if not isinstance(options, dict):
        raise UnusableRowError("its options are no mapping")
    return [str(options[key]) for key in sorted((key for key in options if str(key).isdigit()), key=int)]


def _lettered(name: Any, question: Any, options: Any, letter: Any, subject: Any = None) -> ChoiceItem:
    """A question with options by letter; letters without a text are no options."""
    if not isinstance(options, Mapping):
        raise UnusableRowError("its options are no mapping")
    given = [key for key in sorted(options) if options[key] is not None and str(options[key]).strip()]
    gold = given.index(letter) if letter in given else -1
    return _item(name, question, [options[key] for key in given], gold, subject)


def _item(name: Any, question: Any, options: Any, gold: Any, subject: Any = None) -> ChoiceItem:
    """A question.

    Raises:
        UnusableRowError: It cannot be asked.
    """
    text, texts = str(question or "").strip(), [str("" if one is None else one).strip() for one in options or ()]
    if not text:
        raise UnusableRowError("it has no question")
    if not LEAST_OPTIONS <= len(texts) <= MOST_OPTIONS:
        raise UnusableRowError(f"it has {len(texts)} option{'' if len(texts) == 1 else 's'}")
    if not 0 <= _index(gold) < len(texts):
        raise UnusableRowError("none of its options is the right one")
    return ChoiceItem(
        id=str(name), question=text, options=texts, gold=_index(gold), subject=str(subject or ""), context=""
    )


def _index(value: Any) -> int:
    """The position of an option; -1 if it is none."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return -1
