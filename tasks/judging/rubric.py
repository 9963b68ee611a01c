"""Rubrics: which questions a judge model answers about generated answers, and the metrics of its replies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from reports.document.schema import MetricInfo
from reports.names import PlainName
from reports.strict import Strict

RUBRICS_FOLDER = Path(__file__).resolve().parent / "rubrics"
PREFERENCE = MetricInfo(
    key="preferred",
    title="Preferred",
    kind="mean",
    higher_is_better=True,
    percent=True,
    description="Share of items on which the judge prefers the answer to the baseline's, both orders averaged, ties"
    " half.",
)
CRITERIA = MetricInfo(
    key="criteria_points",
    title="Points of the item's criteria",
    kind="mean",
    higher_is_better=True,
    percent=True,
    description="Points of the criteria that the answer meets, divided by all positive points of the item.",
)
_RESERVED = ("reason", "preferred")  # keys of the replies
_MOST_LEVELS = 11  # of a scale
Text = Annotated[str, Field(min_length=1, max_length=20_000)]
Kind = Literal["scores", "preference", "criteria"]


class Aspect(Strict):
    """One aspect that is scored.

    Attributes:
        title: Display name.
        question: What the judge answers with a number.
        scale: Lowest and highest number.
        better: Which end is better; None if neither is in itself.
    """

    title: Annotated[str, Field(min_length=1, max_length=80)]
    question: Text
    scale: Annotated[list[int], Field(min_length=2, max_length=2)] = Field(default=[1, 5])
    better: Literal["high", "low"] | None = "high"

    @field_validator("scale")
    @classmethod
    def _ordered(cls, scale: list[int]) -> list[int]:
        if not scale[0] < scale[1] < scale[0] + _MOST_LEVELS:
            raise ValueError(f"the lowest number comes first, and there are at most {_MOST_LEVELS} levels")
        return scale

    @property
    def levels(self) -> list[int]:
        """All numbers of the scale."""
        return list(range(self.scale[0], self.scale[1] + 1))

    def metric(self, key: str) -> MetricInfo:
        """The metric of its scores; a scale from 0 to 1 is a share."""
        is_share = self.scale == [0, 1]
        return MetricInfo(
            key=key,
            title=self.title,
            kind="proportion" if is_share else "mean",
            higher_is_better={"high": True, "low": False, None: None}[self.better],
            percent=is_share,
            description=self.question,
            relevant=0.05 if is_share else 0.1,
        )


class Rubric(Strict):
    """A rubric, as it is written in a file.

    Attributes:
        version: Version of the file format.
        name: Name in results and paths.
        title: Heading in reports.
        kind: `scores` rates an answer by the aspects; `preference` asks which of two answers is better, in both orders;
            `criteria` asks which criteria of the item's own data an answer meets.
        instructions: The judge's system prompt.
        aspects: The aspects by key, for `scores`.
        shows_gold: Whether the judge sees the item's gold answer.
        reason: Whether the judge gives a reason before its ratings.
        max_new_tokens: Longest reply in tokens.
        note: Sentence that is shown beside all results.
    """

    version: Literal[1]
    name: PlainName
    title: Annotated[str, Field(min_length=1, max_length=80)]
    kind: Kind
    instructions: Text
    aspects: dict[str, Aspect] = Field(default_factory=dict)
    shows_gold: bool = False
    reason: bool = True
    max_new_tokens: Annotated[int, Field(ge=8, le=8192)] = 400
    note: Annotated[str, Field(max_length=500)] = ""

    @field_validator("aspects")
    @classmethod
    def _keys(cls, aspects: dict[str, Aspect]) -> dict[str, Aspect]:
        wrong = [key for key in aspects if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", key) or key in _RESERVED]
        if wrong:
            raise ValueError(
                f"{wrong[0][:60]!r} is no key (lower-case letters, digits, '_'; not {' or '.join(_RESERVED)})"
            )
        return aspects

    @model_validator(mode="after")
    def _has_aspects(self) -> Rubric:
        if bool(self.aspects) != (self.kind == "scores"):
            raise ValueError("a rubric of the kind scores has aspects, and only such a rubric")
        return self

    @property
    def metrics(self) -> list[MetricInfo]:
        """The metrics of the ratings."""
        if self.kind == "scores":
            return [aspect.metric(key) for key, aspect in self.aspects.items()]
        return [PREFERENCE if self.kind == "preference" else CRITERIA]

    def reply_schema(self, criteria: int = 0) -> dict[str, Any]:
        """JSON schema of the judge's reply; `criteria` is the number of the item's criteria."""
        keys: dict[str, Any] = {"reason": {"type": "string"}} if self.reason else {}
        if self.kind == "scores":
            keys |= {key: {"type": "integer", "enum": aspect.levels} for key, aspect in self.aspects.items()}
        elif self.kind == "preference":
            keys["preferred"] = {"type": "string", "enum": ["A", "B", "tie"]}
        else:
            keys |= {f"criterion_{number}": {"type": "boolean"} for number in range(1, criteria + 1)}
        return {"type": "object", "properties": keys, "required": list(keys), "additionalProperties": False}


class Criterion(Strict):
    """One criterion of an item; points may be negative, as in HealthBench (Arora et al. 2025)."""

    criterion: Text
    points: float


def rubric_names() -> list[str]:
    """Names of the rubrics that ship with medbench."""
    return sorted(path.stem for path in RUBRICS_FOLDER.glob("*.yaml"))
