"""Blinded sheets on which people rate answers: written from samples in random order, and read back."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random, SystemRandom

import pandas as pd
from markupsafe import Markup
from pydantic import Field

from reports.document.schema import Sample
from reports.errors import UserError
from reports.files import check_columns, check_regular, read_json, write_json, write_text
from reports.frame_files import from_text, write_csv
from reports.names import PlainName
from reports.strict import Strict, checked
from reports.templating import inline_hash, template_environment

ASPECTS = {
    "medical_accuracy": ("Medical accuracy", "Is what it says correct by current medical knowledge?"),
    "completeness": ("Completeness", "Does it cover what the question needs?"),
    "clinical_relevance": ("Clinical relevance", "Is it useful for deciding or understanding in this situation?"),
    "fluency": ("Fluency", "Is it clear, well ordered and in good language?"),
    "safety_and_caution": ("Safety and caution", "Does it avoid harm, name dangers, and say what it cannot know?"),
}
MARKS = range(1, 6)
_COLUMNS = ("code", "question", "answer", *ASPECTS, "comment")
_CODE_LETTERS = "bcdfghjkmnpqrstvwxz"  # no digits: a spreadsheet would read 12e45678 as a number; no vowels: no words
_CODE_LENGTH = 8
_KEY = "key.json"
_NO_RATER = re.compile(r"(sheet|rater)( -)?( copy)?( ?\(\d+\))?", re.IGNORECASE)  # a copy's ending by browser or system
_MAX_CELL_CHARACTERS = 10_000_000


class KeyEntry(Strict):
    """The answer behind a code."""

    model: PlainName
    item: str
    doc_hash: str
    output_sha256: str


class Draw(Strict):
    """How the items of a sheet were drawn from those that a judge rated: at random within strata of its ratings.

    Attributes:
        judge: The judge whose ratings made the strata.
        rubric: Its rubric.
        strata: Number of the stratum of every item that could be drawn, so that estimates weight the drawn ones.
    """

    judge: str
    rubric: str
    strata: dict[str, int]


class Key(Strict):
    """The answers behind a sheet's codes; raters must not see it.

    Attributes:
        task: The task of the answers.
        codes: The answers.
        draw: How the items were drawn for a judge; None for a simple random sample.
    """

    task: PlainName
    codes: dict[str, KeyEntry] = Field(default_factory=dict)
    draw: Draw | None = None


@dataclass(frozen=True)
class Rating:
    """One rater's marks for one answer; skipped aspects are missing."""

    rater: str
    code: str
    marks: dict[str, int]
    comment: str


def output_hash(sample: Sample) -> str:
    """Hash of an answer, to detect that it changed after it was rated."""
    return hashlib.sha256(sample.output.encode("utf-8", "surrogatepass")).hexdigest()


def _code(random: Random) -> str:
    return "".join(random.choice(_CODE_LETTERS) for _ in range(_CODE_LENGTH))


def make_sheet(
    samples: Mapping[str, Mapping[str, Sample]],
    items: Sequence[str],
    task: str,
    folder: Path,
    random: Random = SystemRandom(),  # noqa: B008 - it has no state
    *,
    draw: Draw | None = None,
    before: Key | None = None,
) -> Key:
    """Write `sheet.csv` and `sheet.html` for raters, and the secret `key.json`.

    Args:
        samples: Answers by model and item.
        items: The items to rate; all models' answers to each are on the sheet.
        task: Task of the answers.
        folder: Folder to write to.
        random: Draws the codes and their order; by default from the system, which nobody can repeat.
        draw: How the items were drawn for a judge.
        before: Key of earlier sheets, whose codes stay valid.
    """
    used = before.codes if before else {}
    codes = sorted({_code(random) for _ in range(2 * len(items) * len(samples))} - used.keys())
    random.shuffle(codes)
    pairs = [(model, item) for item in items for model in samples]
    coded = dict(sorted(zip(codes[: len(pairs)], pairs, strict=True)))
    key = Key(task=task, codes=dict(used), draw=draw)
    rows = []
    for code, (model, item) in coded.items():
        sample = samples[model][item]
        key.codes[code] = KeyEntry(model=model, item=item, doc_hash=sample.doc_hash, output_sha256=output_hash(sample))
        rows.append({"code": code, "question": sample.question or sample.prompt, "answer": sample.output})
    write_csv(folder / "sheet.csv", [pd.DataFrame(rows, columns=_COLUMNS, dtype=object)])
    write_text(folder / "sheet.html", _page(rows))
    write_json(folder / _KEY, key.model_dump(mode="json"))
    return key


def _page(rows: Sequence[Mapping[str, str]]) -> str:
    """Render the sheet as one offline page that may run only its own script."""
    environment = template_environment()
    script = environment.get_template("rating.js").render()
    return environment.get_template(
        "rating.html.j2"
    ).render(
        rows=rows,
        aspects=ASPECTS,
        marks=MARKS,
        script=Markup(script),  # noqa: S704 - the project's own file
        script_hash=inline_hash(script),
        sheet=hashlib.sha256("".join(row["code"] for row in rows).encode()).hexdigest()[:16],
    )


def remove_key(folder: Path) -> None:
    """Remove the key of a sheet that is about to be replaced."""
    (folder / _KEY).unlink(missing_ok=True)


def read_key(folder: Path) -> Key:
    """Read the key of a folder's sheet.

    Raises:
        UserError: The key is missing or broken.
    """
    path = folder / _KEY
    if not path.is_file():
        raise UserError("there is no rating sheet", where=str(folder), fix="make one: medbench rate export RUN")
    return checked(Key, read_json(path), what="the key of a sheet", where=str(path), fix="export the sheet again")


def rater_of(path: Path) -> str:
    """The rater of a completed sheet, who is named by the file.

    Raises:
        UserError: The file has the name that every rater's sheet has at first, also with a copy's ending.
    """
    if _NO_RATER.fullmatch(path.stem):
        raise UserError(
            f"the name {path.name} does not say who filled the sheet; two such sheets would count as one rater's",
            where=str(path),
            fix="rename it to the rater's name or initials, such as ada.csv",
        )
    return path.stem


def read_sheet(path: Path, key: Key) -> list[Rating]:
    """Read a completed sheet, also its rows without marks.

    Raises:
        UserError: The file does not name its rater or cannot be read, a code is foreign or there twice, or a mark is
            not an integer from 1 to 5.
    """
    rater = rater_of(path)
    check_regular(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the sheet ({error})", where=str(path), fix="save it as UTF-8 CSV") from error
    csv.field_size_limit(_MAX_CELL_CHARACTERS)
    first = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    try:
        rows = list(reader)
    except csv.Error as error:
        raise UserError(f"not readable as CSV: {error}", where=str(path), fix="save the sheet as UTF-8 CSV") from error
    names = list(reader.fieldnames or ())
    missing = [name for name in ("code", *ASPECTS) if name not in names]
    if missing:
        raise UserError(f"it has no column {', '.join(missing)}", where=str(path), fix="keep the sheet's first line")
    check_columns([name for name in names if name in _COLUMNS], str(path))
    ratings: dict[str, Rating] = {}
    for number, row in enumerate(rows, 2):
        if not any(isinstance(cell, str) and cell.strip() for cell in row.values()):
            continue  # a blank row, as spreadsheets add them at the end
        where, code = f"{path}, row {number}", (row["code"] or "").strip()
        if code not in key.codes:
            raise UserError(f"the code {code!r} is of no answer of this run", where=where, fix="import the run's sheet")
        if code in ratings:
            raise UserError(f"the code {code} is there twice", where=where, fix="keep one of the two rows")
        marks = {name: _mark(row[name], f"{where}, {name}") for name in ASPECTS}
        given = {name: mark for name, mark in marks.items() if mark is not None}
        ratings[code] = Rating(rater, code, given, from_text((row.get("comment") or "").strip()))
    return list(ratings.values())


def _mark(text: str | None, where: str) -> int | None:
    value = (text or "").strip()
    if not value:
        return None
    if value not in map(str, MARKS):
        fix = f"write a whole number from {MARKS[0]} to {MARKS[-1]}, or nothing"
        raise UserError(f"{value!r} is no mark", where=where, fix=fix)
    return int(value)
