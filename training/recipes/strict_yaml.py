"""Strict YAML for people: reads a file and checks it against a pydantic model, all faults at once with their lines."""

from __future__ import annotations

import copy
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from reports.errors import UserError, did_you_mean, first_line
from reports.files import check_regular
from reports.text import Place

_MAX_BYTES = 1_000_000
_MOST_LEVELS = 32  # of mappings and lists in each other
_MOST_VALUES = 100_000  # of a file, counted as often as aliases repeat them
Model = TypeVar("Model", bound=BaseModel)


class Loader(yaml.SafeLoader):
    """Safe YAML in which 2e-4 is a number, as everyone but YAML 1.1 expects; aliases and deep nesting are refused."""

    _level = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse aliases: settings have no use for them, and nested ones can grow without bound."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not used here", mark)
        if self._level >= _MOST_LEVELS:
            raise yaml.composer.ComposerError(None, None, "nested too deeply", mark)
        self._level += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._level -= 1


Loader.yaml_implicit_resolvers = {key: list(value) for key, value in yaml.SafeLoader.yaml_implicit_resolvers.items()}
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(?:\d+(?:\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(path: Path, what: str, loader: type[yaml.SafeLoader] = Loader) -> tuple[Any, dict[Place, str]]:
    """(value, where each key was written) of a YAML file.

    Args:
        path: The file.
        what: What it should be, for messages, such as `recipe`.
        loader: How its text is read.

    Raises:
        UserError: It is missing, too large, or not YAML; the message names the line.
    """
    check_regular(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UserError(f"the {what} is larger than 1 MB", where=str(path), fix=f"give a {what}, not a data file")
        raw = path.read_bytes()
    except (OSError, ValueError) as error:  # a path with a NUL in it is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read the {what} ({reason})", where=str(path), fix="check the path") from error
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        where = f"{path}, line {raw[: error.start].count(10) + 1}"
        raise UserError(f"not UTF-8 text ({error.reason})", where=where, fix="save it as UTF-8 YAML") from error
    value, lines = parse_yaml(text, str(path), loader)
    return value, {place: f"{path}, line {line}" for place, line in lines.items()}


def parse_yaml(text: str, where: str, loader: type[yaml.SafeLoader] = Loader) -> tuple[Any, dict[Place, int]]:
    """(value, the line of each key) of YAML text.

    Raises:
        UserError: It is not YAML; the message names the line.
    """
    try:
        reader = loader(text)
        node = reader.get_single_node()
        lines: dict[Place, int] = {}
        _walk(node, (), lines)
        return reader.construct_document(node) if node is not None else None, lines
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"not YAML: {error.problem}", where=f"{where}{line}", fix="correct the line") from error
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, OverflowError) as error:
        raise UserError(f"not YAML: {first_line(error)}", where=where, fix="correct the value") from error


def check(model: type[Model], value: Any, where: str, what: str, origins: dict[Place, str] | None = None) -> Model:
    """Validate a mapping against a model, and report all its faults together.

    Args:
        model: The strict pydantic model.
        value: What was read.
        where: For faults whose place is unknown.
        what: What it should be, for messages, such as `recipe`.
        origins: Where each key was written.

    Raises:
        UserError: It does not fit; each fault with its place and, where there is one, a suggestion.
    """
    faults: dict[str, None] = {}
    removed: set[Place] = set()
    rest = copy.deepcopy(value)
    while True:
        try:
            checked = model.model_validate(rest, strict=True)
        except ValidationError as error:
            errors = [fault for fault in error.errors() if _written(value, fault) not in removed]
            faults.update(dict.fromkeys(_fault(model, fault, value, where, what, origins or {}) for fault in errors))
            places = {_written(value, fault) for fault in errors}
            # A section with a wrong value is not checked as a whole; without that value it is, and so all faults show.
            if places and all(_remove(rest, place) for place in places):
                removed |= places
                continue
        else:
            if not removed:
                return checked
        head = f"the {what} has a fault:" if len(faults) == 1 else f"the {what} has {len(faults)} faults:"
        raise UserError("\n".join([head, *(f"  - {fault}" for fault in faults)]))


def _written(value: Any, error: Any) -> Place:
    """A fault's place as it stands in the file: pydantic also names the member of a union, which nobody wrote."""
    place: Place = tuple(error["loc"])
    written: list[str | int] = []
    for number, key in enumerate(place):
        if isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        elif isinstance(value, dict) and (key in value or (error["type"] == "missing" and number == len(place) - 1)):
            value = value.get(key)
        else:
            continue
        written.append(key)
    return tuple(written)


def _remove(value: Any, place: Place) -> bool:
    """Take the value at a place out of nested mappings and lists; False where it is not there to take."""
    for key in place[:-1]:
        if isinstance(value, list) and isinstance(key, int):
            value = value[key]
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return bool(place) and isinstance(value, dict) and value.pop(place[-1], _remove) is not _remove


def _walk(node: yaml.Node | None, place: Place, lines: dict[Place, int]) -> None:
    """Note the line of every key; a key given twice is a fault."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inside = (*place, str(key.value))
            if inside in lines:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value} is given twice", key.start_mark
                )
            _add_line(lines, inside, key)
            _walk(value, inside, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _add_line(lines, (*place, index), value)
            _walk(value, (*place, index), lines)


def _add_line(lines: dict[Place, int], place: Place, node: yaml.Node) -> None:
    if len(lines) >= _MOST_VALUES:
        raise yaml.composer.ComposerError(None, None, f"more than {_MOST_VALUES:,} values", node.start_mark)
    lines[place] = node.start_mark.line + 1


def _fault(model: type[BaseModel], error: Any, value: Any, where: str, what: str, origins: dict[Place, str]) -> str:
    """One pydantic error as a line: place, what, suggestion."""
    place = _written(value, error)
    origin = next((origins[place[:cut]] for cut in range(len(place), 0, -1) if place[:cut] in origins), where)
    name = ".".join(map(str, place)) or what
    if error["type"] == "extra_forbidden":
        keys = _fields(model, error["loc"][:-1])
        hint = did_you_mean(str(place[-1]), keys) or f"known here: {', '.join(keys) or 'nothing'}"
        return f"{origin}: {name}: unknown key; {hint}"
    if error["type"] == "missing":
        return f"{origin}: {name}: missing; it has no default"
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        context, written = error["ctx"], error["input"]
        key = context["discriminator"].strip("'")
        tags = context.get("expected_tags", "")
        if error["type"] == "union_tag_not_found" and (not isinstance(written, dict) or key not in written):
            return f"{origin}: {name}: expected a mapping with the key {key}"
        hint = did_you_mean(str(written.get(key)), re.findall(r"\w+", tags)) or f"known: {tags}"
        return f"{origin}: {name}.{key}: there is no {key} {str(written.get(key))[:60]!r}; {hint}"
    message = str(error["msg"]).removeprefix("Value error, ")
    shown = repr(error["input"])
    brief = "" if error["type"] == "value_error" and isinstance(error["input"], dict) else f" (found {shown[:60]})"
    return f"{origin}: {name}: {message[0].lower()}{message[1:]}{brief}"


def _fields(model: type[BaseModel], place: Place) -> list[str]:
    """Names of a section's keys."""
    for key in place:
        if isinstance(key, int):
            continue
        if key in model.model_fields:
            members = list(_models(model.model_fields[key].annotation))
        else:  # the tag of a union's member
            members = [
                member for member in members if any(field.default == key for field in member.model_fields.values())
            ]
        if not members:
            return []
        model = members[0]
    return list(model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """All models that occur in a type."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in typing.get_args(annotation):
        yield from _models(argument)
