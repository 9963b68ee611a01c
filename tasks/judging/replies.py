"""Strict reading of a judge's replies: one JSON object in the requested form, or no rating."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Literal

from tasks.judging.rubric import CRITERIA, PREFERENCE, Criterion, Rubric

Status = Literal["rated", "unparsed", "refused", "failed"]
_FENCE = re.compile(r"```(?:json)?\s*(\{.*\})\s*```", re.DOTALL)
_REFUSAL = re.compile(
    r"\b(?:I(?:'m| am)? (?:sorry|unable|not able)|I (?:can(?:not|'t|\u2019t)|won(?:'t|\u2019t)|must decline)"
    r"|as an AI|cannot (?:assist|help|rate|judge|evaluate))",
    re.IGNORECASE,
)
_FIRST = {"A": 1.0, "tie": 0.5, "B": 0.0}


def read_reply(text: str, rubric: Rubric, criteria: Sequence[Criterion] = ()) -> tuple[Status, dict[str, float]]:
    """(status, ratings by metric) of a reply; `preferred` is 1 for the first answer, 0.5 for a tie.

    Reasoning before `</think>` and a fence around the object are dropped; anything else beside it, a missing key, a
    value of another type or outside its scale makes the reply `unparsed`, or `refused` if it says so in words.
    """
    body = text.rpartition("</think>")[2].strip()
    fenced = _FENCE.fullmatch(body)
    value = _parsed(fenced[1] if fenced else body)
    if value is None:
        return ("refused" if _REFUSAL.search(body) else "unparsed"), {}
    keys = rubric.reply_schema(len(criteria))["properties"]
    if set(value) - {"reason"} != set(keys) - {"reason"}:
        return "unparsed", {}
    if not all(_fits(value[key], kind) for key, kind in keys.items() if key != "reason"):
        return "unparsed", {}
    if rubric.kind == "scores":
        return "rated", {key: float(value[key]) for key in rubric.aspects}
    if rubric.kind == "preference":
        return "rated", {PREFERENCE.key: _FIRST[value["preferred"]]}
    total = sum(one.points for one in criteria if one.points > 0)
    met = sum(one.points for number, one in enumerate(criteria, 1) if value[f"criterion_{number}"])
    return "rated", {CRITERIA.key: met / total}


def _parsed(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is, or None; a key that stands there twice is no clear rating."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a key is there twice")
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _fits(value: Any, kind: dict[str, Any]) -> bool:
    types = {"string": str, "boolean": bool, "integer": int}
    return type(value) is types[kind["type"]] and value in kind.get("enum", [value])
