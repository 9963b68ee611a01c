"""Documents made from their schemas, with a text of the test's in every field that is one, also in fields to come."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from reports.document.checksums import write_facts
from reports.document.schema import Results, Sample
from reports.document.verification import Verification, write_verification
from reports.files import sha256_value, write_json, write_jsonl
from reports.text import map_texts, replace_surrogates
from training.recipes.recipe import Recipe

NAMES = {"base": "base", "model": "adapter", "task": "quiz"}  # names that a path can have
METRIC = "rouge_l"
_NUMBERS = {bool: True, int: 3, float: 0.5}
_REFERENCES = {"model": "model", "candidate": "model", "task": "task", "baseline": "base"}
_KEYED_BY_TASK = ("items", "unsearched", "unmeasured", "prompts", "golds", "generation", "left_out")


def example(kind: Any, text: Callable[[str], str], names: dict[str, str], field: str = "") -> Any:
    """A JSON value of a type: every optional part is there, lists and dictionaries have one member.

    Args:
        kind: A type as pydantic models annotate their fields.
        text: Makes the text of a field from the field's name.
        names: Names of the base, the model and the task, by `base`, `model` and `task`.
        field: Name of the field.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: example(part.annotation, text, names, name) for name, part in kind.model_fields.items()}
    if origin in (Union, UnionType, Annotated):
        return example(arguments[0], text, names, field)
    if origin is Literal or kind in _NUMBERS:
        return arguments[0] if arguments else _NUMBERS[kind]
    if origin is dict:
        keys = {"values": METRIC, "metrics": METRIC} | dict.fromkeys(_KEYED_BY_TASK, names["task"])
        return {keys.get(field) or text(f"key of {field}"): example(arguments[1], text, names, f"value of {field}")}
    if origin in (list, tuple):
        return [example(part, text, names, f"one of {field}") for part in arguments if part is not Ellipsis]
    reference = names[_REFERENCES[field]] if field in _REFERENCES else None
    return reference or (METRIC if field in ("metric", "key") else text(field))


def results_value(text: Callable[[str], str], names: dict[str, str] = NAMES) -> dict[str, Any]:
    """A results document of a base and an adapter with one task and every optional part, as JSON."""
    value: dict[str, Any] = example(Results, text, names)
    (model,), (task,) = value["models"], value["tasks"]
    adapter = model | {"name": names["model"], "kind": "adapter", "members": []}
    value["base"] = adapter | {"name": names["base"], "kind": "base"}
    value["models"] = [dict(value["base"]), adapter]
    value["scores"] = [score | {"model": own["name"]} for score in value["scores"] for own in value["models"]]
    task |= {"name": names["task"], "purpose": "retention"}  # so that a table says what was lost
    task["metrics"][0] |= {"secondary": False}
    value["training"]["losses"] = [{"step": 1.0, "loss": 2.0, "eval_loss": 2.5}, {"step": 2.0, "loss": 1.5}]
    value["compared"]["configurations"] = [
        configuration | {"settings": {f"{name} {text('key')}": f"{row} {text('setting')}" for name in "ab"}}
        for configuration in value["compared"]["configurations"]
        for row in (1, 2)
    ]
    value["label_use"][0] |= {"share": 0.95, "low": 0.9}  # collapsed, which a sentence says
    value["slices"][0]["slices"][0] |= {"n": 30}  # so many that the table shows it
    value["recipe"] = example(Recipe, text, names)
    value["environment"] = {key: text(key) for key in ("gpu", "cpu", "system")} | {"packages": {text("p"): text("v")}}
    value["schema_version"] = "2.0"
    return value


def certificate(text: Callable[[str], str], names: dict[str, str] = NAMES) -> Verification:
    """A certificate of the adapter with every optional part, whose outcome is `different`."""
    value: dict[str, Any] = example(Verification, text, names) | {"outcome": "different", "schema_version": "1.0"}
    value["prompts"] |= {"items": 4}
    adapter = results_value(text, names)["models"][1]
    value["reference"] |= {"model": adapter["name"]} | {key: adapter[key] for key in ("sha256", "config_sha256")}
    return Verification.model_validate(map_texts(value, replace_surrogates))


def sample_values(text: Callable[[str], str], model: str, names: dict[str, str] = NAMES) -> list[dict[str, Any]]:
    """Samples of a model as JSON: one chose a label, one is a generated answer in a wrong format."""
    sample = example(Sample, text, names) | {"model": model, "metrics": {METRIC: 0.5, "reasoning_tokens": 7.0}}
    chosen = sample | {"choices": {sample["output"]: -1.0, sample["gold"]: -2.0}, "finish_reason": None}
    return [chosen, sample | {"id": f"2 {sample['id']}", "choices": None}]


def with_checksum(value: dict[str, Any]) -> dict[str, Any]:
    """The value of a results document with its checksum; unchanged if it is no results document."""
    try:
        as_read = Results.model_validate(map_texts(value, replace_surrogates))
    except ValidationError:
        return value
    return value | {"checksum": sha256_value(as_read.model_dump(mode="json", exclude={"checksum"}, exclude_unset=True))}


def write_document(folder: Path, text: Callable[[str], str], names: dict[str, str] = NAMES) -> Path:
    """Write the run folder of a results document with its samples, in place of what is there."""
    shutil.rmtree(folder, ignore_errors=True)
    write_json(folder / "results.json", with_checksum(results_value(text, names)))
    write_verification(folder / "verify.json", certificate(text, names))
    for model in (names["base"], names["model"]):
        path = folder / "samples" / model / f"{names['task']}.jsonl"
        write_jsonl(path, sample_values(text, model, names))
        write_facts(path)
    return folder
