"""The bundle that goes with a bug report: versions, findings, the recipe and the log, without texts, paths or secrets.

Of the log only what medbench and its libraries cannot fill with data goes along: when, how grave, which line of code,
the kinds of errors and where they passed. The line of code says which message it was, without what it said.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from harness.doctor.checks import Finding
from harness.environment import describe
from harness.folder import RunFolder
from reports.errors import UserError
from reports.json_text import dumps
from reports.secrets import redact
from training.models.device import Device

_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]{1,10} [\w.-]{1,100}:\d{1,6}):")
_WARNING = re.compile(r"\S*?([^/\\\s]{1,100}):(\d{1,6}): (\w{1,60}Warning):")
_FRAME = re.compile(r'\s+File ".*?([^/\\"]{1,100})", line (\d{1,6}), in ([\w<>]{1,100})')
_ERROR = re.compile(r"\s*([A-Za-z_][\w.]{0,100}(?:Error|Exception|Interrupt|Warning|Exit|Failure))\b(?::|$)")
_MOST_LOG_BYTES = 20 << 20
_FREE_TEXT = ("description", "title")


def write_bundle(file: Path, findings: Sequence[Finding], run: Path, device: Device) -> list[str]:
    """Write a bug report's bundle and return the names of the files in it.

    Args:
        file: The zip file to write, which must not be there.
        findings: Of the doctor.
        run: The run folder that the report is about; it may hold nothing.
        device: What this machine computes on.

    Raises:
        UserError: The file is there, or cannot be written.
    """
    folder = RunFolder(run)
    public = [{key: value for key, value in asdict(finding).items() if key != "place"} for finding in findings]
    made: dict[str, Callable[[], str]] = {
        "doctor.json": lambda: dumps(public, indent=1),
        "environment.json": lambda: dumps(describe(device), indent=1),
        "packages.txt": lambda: "\n".join(_packages()),
        "recipe.yaml": lambda: _recipe(folder.recipe),
        "results.json": lambda: _results(folder.results),
        "run.log": lambda: "\n".join(stripped_log(folder.log)),
    }
    there = {"recipe.yaml": folder.recipe, "results.json": folder.results, "run.log": folder.log}
    names = [name for name in made if name not in there or there[name].is_file()]
    try:
        with zipfile.ZipFile(file, "x", zipfile.ZIP_DEFLATED) as bundle:
            for name in names:
                bundle.writestr(name, redact(made[name]()) + "\n")
    except FileExistsError as error:
        raise UserError("it is there already", where=str(file), fix="name another file") from error
    except OSError as error:
        raise UserError(f"cannot write the file ({error.strerror})", where=str(file), fix="name another") from error
    return names


def _packages() -> Iterator[str]:
    versions = {str(package.metadata["Name"]): package.version for package in importlib.metadata.distributions()}
    return (f"{name}=={version}" for name, version in sorted(versions.items(), key=lambda pair: pair[0].lower()))


def _recipe(path: Path) -> str:
    """The recipe's values without paths, lists of ids and free text; where it cannot be read, why not."""
    from training.recipes.recipe_file import load_recipe

    try:
        value = load_recipe(str(path)).model_dump(mode="json")
    except UserError:
        return "# not a recipe that can be read"
    text: str = yaml.safe_dump(_without_texts(value), sort_keys=False)
    return text


def _without_texts(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _without_texts(member, name) for name, member in value.items()}
    if key in _FREE_TEXT:
        return "[text]"
    if key in ("ids", "exclude_ids") and isinstance(value, list):
        return f"[{len(value)} ids]"
    if isinstance(value, list):
        return [_without_texts(member) for member in value]
    if isinstance(value, str) and (value.startswith(("/", "~", ".")) or "\\" in value or Path(value).exists()):
        return "[path]"
    return value


def _results(path: Path) -> str:
    """What was run and how long it took, without scores."""
    from reports.document.reading import read_results

    try:
        results = read_results(path)
    except UserError:
        return dumps({"broken": True})
    return dumps(
        {
            "medbench_version": results.medbench_version,
            "schema_version": results.schema_version,
            "created": results.created,
            "models": [model.kind for model in results.models],
            "tasks": [{"name": task.name, "version": task.version} for task in results.tasks],
            "engine": results.engine.get("name"),
            "stages": results.stages,
        },
        indent=1,
    )


def stripped_log(path: Path) -> Iterator[str]:
    """The lines of a log without what they say; the last part of a long one."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _MOST_LOG_BYTES))
        lines = stream.read().decode("utf-8", "replace").split("\n")
    for line in lines:
        if line.startswith("{"):
            yield from _stripped_json(line)
        elif head := _LINE.match(line):
            yield head[1]
            rest = line[head.end() :].strip()
            if warned := _WARNING.match(rest):
                yield f"    {warned[1]}:{warned[2]} {warned[3]}"
        else:
            yield from _stripped_trace([line])


def _stripped_json(line: str) -> Iterator[str]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return
    head = " ".join(str(value.get(key, ""))[:100] for key in ("time", "level", "logger"))
    if re.fullmatch(r"[\w:.+ -]*", head):
        yield head
        yield from _stripped_trace(str(value.get("exception", "")).split("\n"))


def _stripped_trace(lines: Iterable[str]) -> Iterator[str]:
    """Places and kinds of errors in a traceback."""
    for line in lines:
        if place := _FRAME.match(line):
            yield f"    {place[1]}:{place[2]} {place[3]}"
        elif kind := _ERROR.match(line):
            yield f"    {kind[1]}"
