"""Reads `--models`: the base, the recipe's own adapter, and other models by name and source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from reports.errors import UserError
from reports.names import by_number, is_plain_name
from training.models.adapters import CONFIG
from training.models.model import BASE, Kind

OWN_ADAPTER = "adapter"  # name of the recipe's own adapter
DEFAULT_MODELS = f"{BASE},{OWN_ADAPTER}"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FIX = "write base, adapter, or NAME=folder-or-hub-id, separated by commas"
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
    """Parse `base,adapter,NAME=SOURCE`; a folder with wildcards as a source is all adapters that it matches.

    Raises:
        UserError: A name is wrong, given twice, or has no source; or a wildcard matches something else.
    """
    models: dict[str, ModelArgument] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, source = (piece.strip() for piece in part.partition("="))
        if (name in _KINDS) == bool(equals) or (equals and not source):
            what = f"{name} takes no source" if equals and source else f"{name} needs a source: {name}=folder-or-hub-id"
            raise UserError(what[:200], where=f"--models {text}", fix=_FIX)
        sources = _expand(name, source) if equals else {name: None}
        for model, folder in sources.items():
            if not (_NAME.fullmatch(model) and is_plain_name(model)):
                what = f"{model[:80]!r} is no name for a model (letters, digits, '.', '_', '-')"
                raise UserError(what, where=f"--models {text}", fix=_FIX)
            if model in models:
                fix = "give each model a name of its own"
                raise UserError(f"the name {model} is given twice", where=f"--models {text}", fix=fix)
            models[model] = ModelArgument(model, _KINDS.get(model, "adapter"), folder)
    if not models:
        raise UserError("no model is named", where="--models", fix="write base,adapter")
    return list(models.values())


def _expand(name: str, source: str) -> Mapping[str, str]:
    """Name and source of each adapter that a source with wildcards matches, by the numbers in their folders' names.

    The names end with what the wildcards match: `NAME=out/checkpoint-*` gives `NAME-checkpoint-30` and so on.
    """
    pattern = Path(source).expanduser()
    if not has_magic(source) or pattern.exists():
        return {name: source}
    folders = [path for path in map(Path, glob(str(pattern))) if path.is_dir()]  # noqa: PTH207 - leaves out hidden ones
    others = [path for path in folders if not (path / CONFIG).is_file()]
    if not folders or others:
        what = f"{others[0].name} is no adapter: it has no {CONFIG}" if others else "no folder matches"
        fix = "write a pattern that matches folders of adapters only, such as NAME=FOLDER/checkpoint-*"
        raise UserError(what, where=f"--models {name}={source}", fix=fix)
    wild = [place for place, part in enumerate(pattern.parts) if has_magic(part)]
    return {
        "-".join([name, *(path.parts[place] for place in wild)]): str(path)
        for path in sorted(folders, key=lambda path: by_number(str(path)))
    }
