"""Reads an lm-eval task file and the files that it includes, and names what in them would run Python; runs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reports.errors import UserError
from reports.text import Place
from training.recipes.strict_yaml import read_yaml

SUFFIXES = (".yaml", ".yml")
_WHAT = "task file"


@dataclass(frozen=True, repr=False)
class CodeReference:
    """A function or class that a file names with `!function`.

    Attributes:
        name: `MODULE.NAME`; the module is a file beside the YAML or importable.
        folder: The folder of the YAML.
    """

    name: str
    folder: Path

    def __repr__(self) -> str:
        """As it is written, without the folder: part of hashes."""
        return f"!function {self.name}"


def _loader(folder: Path) -> type[yaml.SafeLoader]:
    """Reader of YAML as lm-eval reads it, with references in place of functions; any other tag is an error."""

    class TaskLoader(yaml.SafeLoader):
        pass

    def reference(loader: yaml.SafeLoader, node: yaml.Node) -> CodeReference:
        return CodeReference(str(loader.construct_scalar(node)), folder)  # type: ignore[arg-type]

    TaskLoader.add_constructor("!function", reference)
    return TaskLoader


@dataclass(frozen=True)
class TaskFile:
    """A task file, with what it includes merged in as lm-eval does: a file's own keys win.

    Attributes:
        path: The file as the user named it.
        config: Its keys.
        origins: File and line of each key.
        code: What would import or run Python, in this file or an included one: `FILE, line N: KEY: WHAT`.
        files: The file itself and all included ones.
    """

    path: Path
    config: dict[str, Any]
    origins: dict[Place, str]
    code: tuple[str, ...]
    files: tuple[Path, ...]

    def where(self, *place: str | int) -> str:
        """File and line of a key or, if the file does not write it, of the nearest key around it."""
        cuts = (place[:length] for length in range(len(place), 0, -1))
        return next((self.origins[cut] for cut in cuts if cut in self.origins), str(self.path))

    @property
    def names(self) -> list[str]:
        """Names that this file defines: of its task or group."""
        return [name for key in ("group", "task") if isinstance(name := self.config.get(key), str)][:1]

    @property
    def is_group(self) -> bool:
        """Whether it lists other tasks."""
        return "group" in self.config and "class" not in self.config


def read_task_file(path: Path, including: tuple[Path, ...] = ()) -> TaskFile:
    """Read a task file.

    Args:
        path: The file.
        including: The files that include it, for cycles.

    Raises:
        UserError: It or an included file is missing, not YAML or no mapping, or includes itself.
    """
    value, origins = read_yaml(path, _WHAT, _loader(path.parent))
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UserError(
            "a task file is a mapping of keys such as task, dataset_path and doc_to_text",
            where=str(path),
            fix="compare it with the example in docs/add-a-task.md",
        )
    included = [
        _read_included(path, name, origins.get(("include",), str(path)), (*including, path.resolve()))
        for name in _listed(value.get("include"))
    ]
    config: dict[str, Any] = {}
    merged: dict[Place, str] = {}
    for file in included:
        inherited = {key: part for key, part in file.config.items() if key != "task_list"}
        _override(config, merged, inherited, file.origins)
    own = {key: part for key, part in value.items() if key != "include"}
    _override(config, merged, own, origins)
    return TaskFile(
        path=path,
        config=config,
        origins=merged,
        code=(*(line for file in included for line in file.code), *_code(value, (), origins, str(path))),
        files=(path, *(inner for file in included for inner in file.files)),
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _read_included(path: Path, name: Any, where: str, including: tuple[Path, ...]) -> TaskFile:
    if not isinstance(name, str):
        raise UserError("include takes the path of a YAML file", where=where, fix="write it relative to this file")
    target = path.parent / name
    if target.resolve() in including:
        raise UserError(f"{name} includes itself, by way of others", where=where, fix="leave one of the includes out")
    if not target.is_file():
        fix = f"check the path: it starts at the folder of this file, {path.parent.resolve()}"
        raise UserError(f"the included file {name} does not exist", where=where, fix=fix)
    return read_task_file(target, including)


def _override(
    config: dict[str, Any], origins: dict[Place, str], over: dict[str, Any], over_origins: dict[Place, str]
) -> None:
    """Replace whole top-level keys, with their lines, in place."""
    config |= over
    for place in [place for place in origins if place[0] in over]:
        del origins[place]
    origins |= {place: where for place, where in over_origins.items() if place[0] in over}


def references(value: Any) -> Iterator[CodeReference]:
    """All functions and classes that a configuration names."""
    if isinstance(value, CodeReference):
        yield value
    elif isinstance(value, dict | list):
        for member in [*value.keys(), *value.values()] if isinstance(value, dict) else value:
            yield from references(member)


def _code(value: Any, place: Place, origins: dict[Place, str], path: str) -> Iterator[str]:
    """What would import or run Python: `FILE, line N: KEY: WHAT`."""
    if isinstance(value, CodeReference):
        yield _line(place, f"!function {value.name}", origins, path)
    elif isinstance(value, dict):
        for key, member in value.items():
            if isinstance(key, CodeReference):
                yield _line(place, f"!function {key.name}", origins, path)
            elif (why := _runs(str(key), member)) is not None:
                yield _line((*place, str(key)), why, origins, path)
            yield from _code(member, (*place, str(key)), origins, path)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _code(member, (*place, index), origins, path)


def _runs(key: str, value: Any) -> str | None:
    """Why a plain value of a key would run Python; None if it does not."""
    if isinstance(value, CodeReference) or value is None or value is False:
        return None
    if key in ("class", "custom_dataset"):
        return f"{value} is Python code"
    if key == "dataset_path" and value == "pandas":
        return "reads pickled files, which can run code"
    if key == "hf_evaluate":
        return "downloads the metric's script and runs it"
    category = str(value).partition(":")[0]
    if key == "use_prompt" and (category == "promptsource" or ".yaml" in category):
        return "imports promptsource, or reads a YAML file whose tags can create Python objects"
    return None


def _line(place: Place, what: str, origins: dict[Place, str], path: str) -> str:
    cuts = (place[:length] for length in range(len(place), 0, -1))
    where = next((origins[cut] for cut in cuts if cut in origins), path)
    return f"{where}: {'.'.join(map(str, place))}: {what}"
