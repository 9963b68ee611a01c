"""The tables of docs/reference.md, from the code: commands with their options, keys of recipes and of gate policies."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer.main
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from harness.__main__ import make_app
from reports.gate.policy import AnyRule, MetricRule, NamedRule, Policy
from tasks.data.source import DataSource, QuestionSource
from training.recipes.recipe import Recipe

_ATTRIBUTE = re.compile(r"^ {4}(\w+): ", re.MULTILINE)
_WORDS = {str: "text", int: "number", float: "number", bool: "`true`, `false`", type(None): "`null`"}
_OWN_TABLES = (DataSource, QuestionSource)  # their keys stand in a table of their own, since several sections have them


def commands() -> str:
    """A table for each command, as Markdown."""
    root: Any = typer.main.get_command(make_app())
    parts = [_command("Before any command", root)]
    for name, command in sorted(root.commands.items()):
        inner = getattr(command, "commands", None) or {"": command}
        parts += [_command(f"`{f'{name} {sub}'.strip()}`", one) for sub, one in sorted(inner.items())]
    return "\n".join(parts)


def _command(title: str, command: Any) -> str:
    rows = [_parameter(one) for one in command.params if one.name != "help" and not getattr(one, "hidden", False)]
    return _table(title, command.help, ("argument or option", "default", "meaning"), rows)


def _table(title: str, text: str | None, header: Sequence[str], rows: Sequence[str]) -> str:
    """A heading, the first paragraph of a text, and a table if it has rows."""
    head = [_row(*header), f"|{'---|' * len(header)}"]
    return "\n".join([f"### {title}", "", _line(text), "", *([*head, *rows, ""] if rows else [])])


def _parameter(parameter: Any) -> str:
    is_option = parameter.opts[0].startswith("-")
    value = f" {parameter.metavar}" if parameter.metavar else ""
    names = [f"`{name}{value}`" for name in (*parameter.opts, *parameter.secondary_opts)] if is_option else []
    shown = ", ".join(names) or f"`{(parameter.metavar or parameter.name).upper()}`"
    default = parameter.default
    given = "required" if parameter.required else "" if default in (None, False) else f"`{default}`"
    return _row(shown, given, _line(parameter.help))


def recipe_keys() -> str:
    """A table for each section of a recipe, as Markdown."""
    parts = [_keys("Recipe", Recipe, "")]
    for name, field in Recipe.model_fields.items():
        parts += [_keys(f"`{name}`", section, f"{name}.") for section in _sections(field.annotation)]
    parts.append(_keys("Sources: `data.train`, `data.validation`, `data.reasoning`, `data.pubmedqa`", DataSource, ""))
    own = {*QuestionSource.model_fields} - {*DataSource.model_fields}
    parts.append(_keys("Source of questions: `data.questions`, with these keys more", QuestionSource, "", own))
    return "\n".join(parts)


def policy_keys() -> str:
    """A table of a policy's keys, and one for each rule, as Markdown."""
    parts = [_keys("Policy", Policy, "")]
    shared: set[str] = set()
    for title, kind in (("Every rule", NamedRule), ("Every rule about a metric", MetricRule)):
        parts.append(_keys(title, kind, "", {*kind.model_fields} - shared))
        shared |= {*kind.model_fields}
    for rule in get_args(AnyRule):
        inherited = {*(MetricRule if issubclass(rule, MetricRule) else NamedRule).model_fields, "rule"}
        parts.append(_keys(f"`{rule.model_fields['rule'].default}`", rule, "", {*rule.model_fields} - inherited))
    return "\n".join(parts)


def _keys(title: str, model: type[BaseModel], prefix: str, only: set[str] | None = None) -> str:
    """The keys of a model, with those of the sections in it."""
    rows = [*_rows(model, prefix, only)]
    return _table(title, inspect.getdoc(model), ("key", "values", "default", "meaning"), rows)


def _rows(model: type[BaseModel], prefix: str, only: set[str] | None = None) -> Iterator[str]:
    meanings = descriptions(model)
    for name, field in model.model_fields.items():
        if only is not None and name not in only:
            continue
        inner = _sections(field.annotation)
        if inner and model is Recipe:
            continue  # with a table of its own
        yield _row(f"`{prefix}{name}`", values(field.annotation), _default(field), meanings.get(name, ""))
        for one in inner:
            if "rule" not in one.model_fields:
                yield from _rows(one, f"{prefix}{name}.")


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """What each key of a model means, from the docstrings of its class and of those that it inherits from."""
    meanings: dict[str, str] = {}
    for kind in (one for one in reversed(model.__mro__) if issubclass(one, BaseModel) and one is not BaseModel):
        text = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2].partition("\n\n")[0]
        _, *parts = _ATTRIBUTE.split(text)
        meanings |= {name: " ".join(meaning.split()) for name, meaning in zip(parts[::2], parts[1::2], strict=True)}
    return meanings


def values(annotation: Any) -> str:
    """What a key may be, in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return values(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{str(value).lower() if isinstance(value, bool) else value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return ", ".join(dict.fromkeys(values(argument) for argument in arguments))
    if origin in (list, tuple, Sequence):
        return f"list of {values(arguments[0])}"
    if origin is dict or (inspect.isclass(annotation) and issubclass(annotation, BaseModel)):
        return "mapping"
    return _WORDS.get(annotation, "text")


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """The sections in the type of a key, but for those whose keys stand in a table of their own."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [] if annotation in _OWN_TABLES else [annotation]
    return [model for argument in get_args(annotation) for model in _sections(argument)]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel) or default in ({}, [], ""):
        return ""
    if isinstance(default, str) and " " in default:
        return f'`"{default}"`'
    if isinstance(default, list):
        return ", ".join(f"`{value}`" for value in default)
    return f"`{'null' if default is None else str(default).lower() if isinstance(default, bool) else default}`"


def _line(text: str | None) -> str:
    """The first paragraph of a text, on one line."""
    return " ".join((text or "").partition("\n\n")[0].split())


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
