"""Reads rubrics, those that ship with medbench and users' own, and files with the criteria of items."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from reports.document.schema import Sample
from reports.errors import UserError, did_you_mean
from reports.files import read_jsonl
from reports.strict import Strict
from tasks.judging.rubric import RUBRICS_FOLDER, Criterion, Rubric, rubric_names
from training.recipes.strict_yaml import check, read_yaml

_SHOWN_FAULTS = 20


class _ItemCriteria(Strict):
    """The criteria of an item, which is named by its id or its question."""

    id: str = ""
    question: str = ""
    criteria: list[Criterion] = Field(min_length=1, max_length=200)


def load_rubric(name_or_file: str) -> Rubric:
    """A rubric by name, or from a YAML file of the user's.

    Raises:
        UserError: There is none, or the file has faults, which are all listed with their lines.
    """
    names = rubric_names()
    path = RUBRICS_FOLDER / f"{name_or_file}.yaml" if name_or_file in names else Path(name_or_file).expanduser()
    if not path.is_file():
        raise UserError(
            "there is no rubric of that name, nor such a file",
            where=f"--rubric {name_or_file}",
            fix=f"{did_you_mean(name_or_file, names)} rubrics: {', '.join(names)}; or give the path of a rubric file",
        )
    value, origins = read_yaml(path, "rubric")
    return check(Rubric, value, str(path), "rubric", origins)


def load_criteria(path: Path, samples: Sequence[Sample]) -> dict[str, list[Criterion]]:
    """The criteria of items from a JSONL file, by the item's id.

    A line has `criteria`, a list of `{criterion, points}`, and the item's `id` or `question`. Lines in HealthBench's
    form have `rubrics` and `prompt_id` instead; their other keys are ignored.

    Raises:
        UserError: Lines have faults, which are all listed, or an item has no criteria.
    """
    ids = {sample.id: sample.id for sample in samples}
    by_question = {sample.question.strip(): sample.id for sample in samples if sample.question}
    criteria: dict[str, list[Criterion]] = {}
    faults = []
    for number, line in read_jsonl(path):
        try:
            entry = _ItemCriteria.model_validate(_own_form(line))
        except ValidationError as error:
            first = error.errors()[0]
            faults.append(f"line {number}: {'.'.join(map(str, first['loc'])) or 'line'}: {first['msg']}")
            continue
        item = ids.get(entry.id) or by_question.get(entry.question.strip())
        if sum(one.points for one in entry.criteria if one.points > 0) <= 0:
            faults.append(f"line {number}: criteria: none has positive points")
        elif item in criteria:
            faults.append(f"line {number}: the item {item} has criteria already")
        elif item is not None:
            criteria[item] = entry.criteria
    missing = [item for item in ids if item not in criteria]
    if missing and not faults:
        faults.append(f"{len(missing)} of {len(ids)} items have no criteria, such as {missing[0]}")
    if faults:
        more = [f"and {len(faults) - _SHOWN_FAULTS} more"] if len(faults) > _SHOWN_FAULTS else []
        head = "the criteria have a fault:" if len(faults) == 1 else f"the criteria have {len(faults)} faults:"
        lines = "\n".join([head, *(f"  - {fault}" for fault in [*faults[:_SHOWN_FAULTS], *more])])
        fix = 'write lines such as {"id": "7", "criteria": [{"criterion": "names the dose", "points": 5}]}'
        raise UserError(lines, where=str(path), fix=fix)
    return {item: criteria[item] for item in ids}


def _own_form(line: Any) -> Any:
    """A line of HealthBench in our form; others as they are."""
    if not (isinstance(line, dict) and isinstance(line.get("rubrics"), list)):
        return line
    criteria = [
        {key: one.get(key) for key in ("criterion", "points")} if isinstance(one, dict) else one
        for one in line["rubrics"]
    ]
    identifier = line.get("id") or line.get("prompt_id") or ""
    return {"id": identifier, "question": line.get("question") or "", "criteria": criteria}
