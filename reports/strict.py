"""Pydantic models that know all their keys, and checking what was read against one, with its first fault in a line."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from reports.errors import UserError

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """A part of a document that knows all its keys."""

    model_config = ConfigDict(extra="forbid")


def checked(kind: type[Model], value: Any, *, what: str, where: str, fix: str) -> Model:
    """A value as a model.

    Args:
        kind: The model.
        value: What was read.
        what: What it should be, in words.
        where: Where it was read.
        fix: What to do where it is none.

    Raises:
        UserError: It is no such thing.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"not {what}: {place}: {first['msg']}", where=where, fix=fix) from error
