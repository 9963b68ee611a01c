"""How models are named on the command line, in recipes and in results: the base, the recipe's own adapter, others."""

from __future__ import annotations

import re

from reports.errors import UserError
from reports.names import is_plain_name

BASE = "base"
OWN_ADAPTER = "adapter"  # the recipe's own
DEFAULT_MODELS = f"{BASE},{OWN_ADAPTER}"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def parse_models(text: str) -> dict[str, str | None]:
    """`base,adapter,NAME=SOURCE` as sources by name, None for `base` and `adapter`.

    Raises:
        UserError: A name is wrong, given twice, or has no source.
    """
    models: dict[str, str | None] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, equals, source = (each.strip() for each in part.partition("="))
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
        if (name in (BASE, OWN_ADAPTER)) == bool(equals) or (equals and not source):
            what = f"{name} takes no source" if equals and source else f"{name} needs a source: {name}=folder-or-hub-id"
            raise UserError(what, where=f"--models {text}", fix=fix)
        models[name] = source or None
    if not models:
        raise UserError("no model is named", where="--models", fix="write base,adapter")
    return models
