"""Pydantic models that forbid unknown keys, and validation with the first error in one line."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from reports.errors import UserError

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """A part of a document; unknown keys, NaN and infinity are errors."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


def checked(kind: type[Model], value: Any, *, what: str, where: str, fix: str) -> Model:
    """Validate a value as a model.

    Args:
        kind: The model.
        value: The value as read.
        what: Name of the document, for the message.
        where: File and line of the value.
        fix: Advice for the message.

    Raises:
        UserError: The value is invalid.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"not {what}: {place}: {first['msg']}", where=where, fix=fix) from error
