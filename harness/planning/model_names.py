"""Reads `--models`: the base, the recipe's own adapter, and other models by name and source."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reports.errors import UserError
from reports.names import is_plain_name
from training.models.model import BASE, Kind

OWN_ADAPTER = "adapter"  # name of the recipe's own adapter
DEFAULT_MODELS = f"{BASE},{OWN_ADAPTER}"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KINDS: dict[str, Kind] = {BASE: "base", OWN_ADAPTER: "adapter"}


@dataclass(frozen=True)
class ModelArgument:
    """One model of `--models`.

    Attributes:
        name: Name in results.
        kind: As in `Model`.
        source: Folder or hub id; None for the base and the recipe's own adapter.
    """

    name: str
    kind: Kind
    source: str | None

    @property
    def is_own_adapter(self) -> bool:
        """Whether it is the adapter that the recipe trains."""
        return self.kind == "adapter" and self.source is None

    def __str__(self) -> str:
        """The argument as it is written in `--models`."""
        return self.name if self.source is None else f"{self.name}={self.source}"


def parse_models(text: str) -> list[ModelArgument]:
    """Parse `base,adapter,NAME=SOURCE`.

    Raises:
        UserError: A name is wrong, given twice, or has no source.
    """
    models: dict[str, ModelArgument] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, source = (piece.strip() for piece in part.partition("="))
        fix = "write base, adapter, or NAME=folder-or-hub-id, separated by commas"
        if not (_NAME.fullmatch(name) and is_plain_name(name)):
            raise UserError(
                f"{name[:80]!r} is no name for a model (letters, digits, '.', '_', '-')",
                where=f"--models {text}",
                fix=fix,
            )
        if name in models:
            raise UserError(
                f"the name {name} is given twice", where=f"--models {text}", fix="give each model a name of its own"
            )
        if (name in _KINDS) == bool(equals) or (equals and not source):
            what = f"{name} takes no source" if equals and source else f"{name} needs a source: {name}=folder-or-hub-id"
            raise UserError(what, where=f"--models {text}", fix=fix)
        models[name] = ModelArgument(name, _KINDS.get(name, "adapter"), source or None)
    if not models:
        raise UserError("no model is named", where="--models", fix="write base,adapter")
    return list(models.values())
