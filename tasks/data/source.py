"""Data sources as recipes describe them, and the samples that ship with medbench."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from reports.errors import UserError
from reports.names import is_hub_id
from tasks.data.files import find_files, is_dataset_folder, kind_of

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
_NAMED = 3  # files of a list in a name

Text = Annotated[str, Field(min_length=1)]

AnswerKind = Literal["letters", "texts", "from-0", "from-1"]
RowKind = Literal["reasoning", "question-answer", "alpaca", "conversations", "text", "pubmedqa", "pubmedqa-abstract"]


class DataSource(BaseModel):
    """One set of rows.

    Attributes:
        source: A file (.json, .jsonl, .csv, .tsv, .parquet or .arrow, also compressed), a folder or glob of like files,
            a list of files, a folder of `save_to_disk`, a data set id of the hub (`owner/name` or `owner/name:CONFIG`),
            or `samples:NAME`. Several files are read in the order of their paths.
        config: Configuration of a hub data set, such as `en` or `pqa_labeled`.
        split: Split of a hub data set, of a folder whose files are named by split, or of a JSON file with a list of
            rows for each split.
        columns: Names of the columns in the source by the names medbench uses, such as `question: Prompt`.
        ids: Keep only these ids: a list, a JSON or text file that lists them (an object's keys count),
            `pubmedqa-official-test`, the 500 ids of PubMedQA's test set, or `all` for all rows, also where a
            `test_ground_truth.json` beside PubMedQA items lists ids.
        exclude_ids: Exclude these ids, in the same form.
        rows: Sample this many rows with the seed of the run; all rows by default.
        start: Exclude the rows before this position in the source, counted from 0; for published set-ups.
        stop: Exclude this position and those after it.
        kind: Shape of the rows, inferred from their columns if not given: `reasoning` (question, reasoning, response),
            `question-answer`, `alpaca` (instruction, input, output), `conversations` or plain `text`. `pubmedqa` trains
            on rows of PubMedQA; their answer is the label and the conclusion. `pubmedqa-abstract` puts the abstract
            before the question, as scoring does.
        unusable_rows: Whether rows with an empty text, turns out of order or without the reasoning that the answer
            format asks for are an error or left out (`drop`).
        format_violations: Whether rows whose answer violates its own format are kept or left out (`drop`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Text | Annotated[list[Text], Field(min_length=1)]
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

    @model_validator(mode="before")
    @classmethod
    def _written(cls, value: Any) -> Any:
        """Read the configuration from `owner/name:CONFIG`; the order of a list says nothing."""
        if isinstance(value, dict) and isinstance(value.get("source"), list):
            return value | {"source": sorted(value["source"], key=str)}
        if not isinstance(value, dict) or not isinstance(value.get("source"), str):
            return value
        name, _, config = value["source"].partition(":")
        if not config or not is_hub_id(name) or kind_of(Path(config)):
            return value
        if value.get("config") not in (None, config):
            raise ValueError(f"source names the configuration {config} and config names {value['config']}: give one")
        return value | {"source": name, "config": config}

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.stop is not None and self.stop <= self.start:
            raise ValueError("stop must be greater than start")
        if {"answer", "response"} <= self.columns.keys():
            raise ValueError("columns maps both answer and response, which mean the same: map one of them")
        return self

    @property
    def is_sample(self) -> bool:
        """Whether these rows are the synthetic samples of medbench."""
        return isinstance(self.source, str) and self.source.startswith("samples:")

    @property
    def label(self) -> str:
        """The source as written in the recipe, for messages."""
        return self.source if isinstance(self.source, str) else _some(self.source)

    @property
    def public_name(self) -> str:
        """Name in reports: the hub id, the sample name, or the file name without the folders of this machine."""
        files = self.files()
        if not files or self.is_sample:
            return self.label
        if not isinstance(self.source, str):
            return _some([file.name for file in files])
        name = Path(self.source).expanduser().name or Path(self.source).resolve().name
        return f"{name} ({len(files)} files)" if len(files) > 1 and self.dataset_folder() is None else name

    def dataset_folder(self) -> Path | None:
        """The folder if `datasets` reads it: from `save_to_disk`, or a copy of a data set of the hub."""
        folder = Path(self.source).expanduser() if isinstance(self.source, str) else None
        return folder if folder is not None and folder.is_dir() and is_dataset_folder(folder) else None

    def files(self) -> tuple[Path, ...]:
        """The files to read, sorted; none for rows on the hub.

        Raises:
            UserError: It is not an existing file, a folder of like files, a sample, or a valid hub id.
        """
        if self.is_sample:
            if self.source not in SAMPLES:
                raise UserError(f"there is no {self.source!r}", fix=f"built-in samples: {', '.join(SAMPLES)}")
            return (SAMPLES[str(self.source)],)
        try:
            files = find_files(self.source, self.split)
        except OSError as error:  # such as a name that is too long, or a folder without rights
            raise UserError(
                f"cannot look for data files ({error.strerror})", where=self.label, fix="check the path"
            ) from error
        if not files and (kind_of(Path(self.label)) or not is_hub_id(self.label)):
            raise UserError(
                "there is no such data file",
                where=self.label,
                fix=f"check the path (relative ones start at {Path.cwd()}); a hub data set is written owner/name, a"
                " built-in sample samples:NAME",
            )
        return files


class QuestionSource(DataSource):
    """A source of multiple-choice questions; `columns` may map options to several columns, as in `options: A|B|C|D`.

    Attributes:
        answers: How the answers are to be read, if the column does not tell: as letters, as texts of options, or as
            numbers of options that start at 0 or at 1.
    """

    answers: AnswerKind | None = None


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
