"""Data sources as recipes describe them, and the samples that ship with medbench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from reports.errors import UserError
from reports.names import is_hub_id

SAMPLES_FOLDER = Path(__file__).resolve().parent.parent / "samples"
SAMPLES = {
    "samples:reasoning_train": SAMPLES_FOLDER / "reasoning_train.jsonl",
    "samples:reasoning_heldout": SAMPLES_FOLDER / "reasoning_heldout.jsonl",
    "samples:pubmedqa": SAMPLES_FOLDER / "pubmedqa.json",
}
OFFICIAL_TEST = "pubmedqa-official-test"
ALL_IDS = "all"
PUBMEDQA_HUB_ID = "qiaojin/PubMedQA"
MOST_BYTES = 4 << 30  # of a data file, and of what is read from it
FILE_SUFFIXES = (".json", ".jsonl", ".csv", ".parquet")

RowKind = Literal["reasoning", "question-answer", "alpaca", "conversations", "text", "pubmedqa", "pubmedqa-abstract"]


class DataSource(BaseModel):
    """One set of rows.

    Attributes:
        source: A file (.json, .jsonl, .csv, .parquet), a data set id of the hub, or `samples:NAME`.
        config: Configuration of a hub data set, such as `en` or `pqa_labeled`.
        split: Split of a hub data set.
        columns: Names of the columns in the source by the names medbench uses, such as `question: Prompt`.
        ids: Keep only these ids: a list, a JSON or text file that lists them (an object's keys count),
            `pubmedqa-official-test`, the 500 ids of PubMedQA's test set, or `all` for all rows, also where a
            `test_ground_truth.json` beside PubMedQA items lists ids.
        exclude_ids: Exclude these ids, in the same form.
        rows: Sample this many rows with the seed of the run; all rows by default.
        start: Exclude the rows before this position in the source, counted from 0; for published set-ups.
        stop: Exclude this position and those after it.
        kind: Shape of the rows, told from their columns if not given: `reasoning` (question, reasoning, response),
            `question-answer`, `alpaca` (instruction, input, output), `conversations` or plain `text`. `pubmedqa` trains
            on rows of PubMedQA; their answer is the label and the conclusion. `pubmedqa-abstract` puts the abstract
            before the question, as scoring does.
        unusable_rows: Whether rows with an empty text, turns out of order or without the reasoning that the answer
            format asks for are an error or left out (`drop`).
        format_violations: Whether rows whose answer violates its own format are kept or left out (`drop`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Annotated[str, Field(min_length=1)]
    config: str | None = None
    split: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    ids: str | list[str] | None = None
    exclude_ids: str | list[str] | None = None
    rows: PositiveInt | None = None
    start: NonNegativeInt = 0
    stop: PositiveInt | None = None
    kind: RowKind | None = None
    unusable_rows: Literal["error", "drop"] = "error"
    format_violations: Literal["keep", "drop"] = "keep"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.stop is not None and self.stop <= self.start:
            raise ValueError("stop must be greater than start")
        return self

    @property
    def is_sample(self) -> bool:
        """Whether these rows are the synthetic samples of medbench."""
        return self.source.startswith("samples:")

    @property
    def public_name(self) -> str:
        """Name in reports: the hub id, the sample name, or the file name without the folders of this machine."""
        path = self.file()
        return self.source if path is None or self.is_sample else path.name

    def file(self) -> Path | None:
        """The file to read, or None for rows on the hub.

        Raises:
            UserError: It is not an existing file, a sample, or a valid hub id.
        """
        if self.is_sample:
            if self.source not in SAMPLES:
                raise UserError(f"there is no {self.source!r}", fix=f"built-in samples: {', '.join(SAMPLES)}")
            return SAMPLES[self.source]
        path = Path(self.source).expanduser()
        if path.is_file():
            return path
        if path.is_dir():
            raise UserError(
                "this is a folder, not a data file",
                where=self.source,
                fix=f"name one file ({', '.join(FILE_SUFFIXES)})",
            )
        if path.suffix in FILE_SUFFIXES or not is_hub_id(self.source):
            raise UserError(
                "there is no such data file",
                where=self.source,
                fix="check the path; a hub data set is written owner/name, a built-in sample samples:NAME",
            )
        return None
