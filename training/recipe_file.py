"""Reads a recipe from YAML: finds it, applies `--set`, and reports every fault at once with line and suggestion."""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from reports.errors import UserError
from training.recipe import Recipe

RECIPES_FOLDER = Path(__file__).resolve().parent / "recipes"
QUICKSTART = "quickstart"
_MAX_BYTES = 1_000_000
Place = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 2e-4 is a number, as everyone but YAML 1.1 expects; aliases are refused."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse aliases: a recipe has no use for them, and nested ones can grow without bound."""
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not used in recipes", mark)
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {key: list(value) for key, value in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def recipe_names() -> list[str]:
    """Names of the recipes that ship with medbench."""
    return sorted(path.stem for path in RECIPES_FOLDER.glob("*.yaml"))


def find_recipe(name_or_file: str) -> Path:
    """The file of a recipe given by name or by path.

    Raises:
        UserError: There is none.
    """
    if name_or_file in recipe_names():
        return RECIPES_FOLDER / f"{name_or_file}.yaml"
    path = Path(name_or_file).expanduser()
    if path.is_file():
        return path
    near = difflib.get_close_matches(name_or_file, recipe_names(), n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UserError(
        "there is no recipe of that name, nor such a file",
        where=f"--recipe {name_or_file}",
        fix=f"{hint}known recipes: {', '.join(recipe_names())}; or give the path of a YAML file",
    )


def load_recipe(name_or_file: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply `key.path=value` overrides, whose values are YAML.

    Raises:
        UserError: The file or an override is at fault; all faults are listed, each with its place.
    """
    path = find_recipe(name_or_file)
    value, lines = _read(path)
    if not isinstance(value, dict):
        raise UserError("a recipe is a mapping of sections", where=str(path), fix="start from the quickstart recipe")
    origins: dict[Place, str] = {place: f"{path}, line {line}" for place, line in lines.items()}
    for override in overrides:
        _override(value, override, origins)
    return check_recipe(value, str(path), origins)


def check_recipe(value: dict[str, Any], where: str, origins: dict[Place, str] | None = None) -> Recipe:
    """Validate a recipe's mapping; `origins` tells where each key was written."""
    faults: dict[str, None] = {}
    removed: set[Place] = set()
    rest = copy.deepcopy(value)
    while True:
        try:
            recipe = Recipe.model_validate(rest, strict=True)
        except ValidationError as error:
            errors = [each for each in error.errors() if tuple(each["loc"]) not in removed]
            faults.update(dict.fromkeys(_fault(each, where, origins or {}) for each in errors))
            places = {tuple(each["loc"]) for each in errors}
            # A section with a wrong value is not checked as a whole; without that value it is, and so all faults show.
            if places and all(_remove(rest, place) for place in places):
                removed |= places
                continue
        else:
            if not removed:
                return recipe
        head = "the recipe has a fault:" if len(faults) == 1 else f"the recipe has {len(faults)} faults:"
        raise UserError("\n".join([head, *(f"  - {fault}" for fault in faults)]))


def _remove(value: Any, place: Place) -> bool:
    """Take the value at a place out of nested mappings; False where it is not there to take."""
    for key in place[:-1]:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return bool(place) and isinstance(value, dict) and value.pop(place[-1], _remove) is not _remove


def recipe_yaml(recipe: Recipe) -> str:
    """A resolved recipe as YAML that `load_recipe` reads back."""
    text: str = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
    return f"# The resolved recipe of a medbench run: every value, as used.\n{text}"


def _read(path: Path) -> tuple[Any, dict[Place, int]]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UserError("the recipe is larger than 1 MB", where=str(path), fix="give a recipe, not a data file")
        text = path.read_text(encoding="utf-8")
        loader = _Loader(text)
        node = loader.get_single_node()
        lines: dict[Place, int] = {}
        _walk(node, (), lines)
        return (loader.construct_document(node) if node is not None else None), lines
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"not YAML: {error.problem}", where=f"{path}{line}", fix="mend the line") from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError, RecursionError, ValueError) as error:
        raise UserError(f"cannot read the recipe: {error}", where=str(path), fix="save it as UTF-8 YAML") from error


def _walk(node: yaml.Node | None, place: Place, lines: dict[Place, int]) -> None:
    """Note the line of every key; a key given twice is a fault."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inside = (*place, str(key.value))
            if inside in lines:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value} is given twice", key.start_mark
                )
            lines[inside] = key.start_mark.line + 1
            _walk(value, inside, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[*place, index] = value.start_mark.line + 1
            _walk(value, (*place, index), lines)


def _override(recipe: dict[str, Any], override: str, origins: dict[Place, str]) -> None:
    """Apply one `key.path=value` in place."""
    key, equals, text = override.partition("=")
    where = f"--set {override}"
    keys = key.strip().split(".")
    if not equals or not all(keys):
        raise UserError("expected key=value, such as lora.r=8", where=where)
    try:
        value = yaml.load(text, _Loader)  # noqa: S506 - _Loader is a SafeLoader
    except yaml.YAMLError as error:
        raise UserError("the value is not YAML", where=where, fix="quote it, such as name='\"a: b\"'") from error
    section = recipe
    for inner in keys[:-1]:
        following = section.setdefault(inner, {})
        if not isinstance(following, dict):
            raise UserError(f"{inner} is not a section", where=where)
        section = following
    section[keys[-1]] = value
    for depth in range(1, len(keys) + 1):
        origins.setdefault(tuple(keys[:depth]), where)
    origins[tuple(keys)] = where


def _fault(error: Any, where: str, origins: dict[Place, str]) -> str:
    """One pydantic error as a line: place, what, suggestion."""
    place: Place = tuple(error["loc"])
    origin = next((origins[place[:cut]] for cut in range(len(place), 0, -1) if place[:cut] in origins), where)
    name = ".".join(map(str, place)) or "recipe"
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(place[-1]), _fields(place[:-1]), n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(_fields(place[:-1])) or 'nothing'}"
        return f"{origin}: {name}: unknown key{hint}"
    if error["type"] == "missing":
        return f"{origin}: {name}: missing; it has no default"
    message = str(error["msg"]).removeprefix("Value error, ")
    shown = repr(error["input"])
    brief = "" if error["type"] == "value_error" and isinstance(error["input"], dict) else f" (found {shown[:60]})"
    return f"{origin}: {name}: {message[0].lower()}{message[1:]}{brief}"


def _fields(place: Iterable[str | int]) -> list[str]:
    """Names of the keys that a section knows."""
    model: type[BaseModel] = Recipe
    for key in place:
        annotation = model.model_fields[str(key)].annotation if str(key) in model.model_fields else None
        kinds = [annotation, *getattr(annotation, "__args__", ())]
        found = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if found is None:
            return []
        model = found
    return list(model.model_fields)
