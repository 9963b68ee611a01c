"""Reads `--models`: the base, the recipe's own adapter, and other models by name and source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import get_args

from reports.errors import UserError
from reports.names import by_number, is_plain_name
from training.models.adapters import CONFIG
from training.models.model import BASE, OWN_ADAPTER, Kind
from training.models.source_kind import GGUF, local_kind

ALL_STEPS = "*"
_STEP = re.compile(r"\*|[1-9]\d{0,8}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SOURCE = f"folder, hub id, FILE{GGUF} or http://HOST/v1#MODEL"
_FIX = f"write base, adapter, adapter@STEP, or NAME=SOURCE with a {_SOURCE} as the source, separated by commas"
_OWN: dict[str, Kind] = {BASE: "base", OWN_ADAPTER: "adapter"}  # what a recipe has itself
_KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind) if kind != BASE}  # that a source may have


@dataclass(frozen=True)
class ModelArgument:
    """One model of `--models`.

    Attributes:
        name: Name in results.
        kind: As in `Model`; None for a hub id, whose files decide.
        source: Folder, hub id, GGUF file or address; None for the base and the recipe's own adapter.
        step: Step of a checkpoint that the recipe's own training has kept, or `*` for all of them; else empty.
    """

    name: str
    kind: Kind | None
    source: str | None
    step: str = ""

    @property
    def is_own_adapter(self) -> bool:
        """Whether it is the adapter that the recipe trains."""
        return self.kind == "adapter" and self.source is None and not self.is_checkpoint

    @property
    def is_checkpoint(self) -> bool:
        """Whether it is one or all of the checkpoints that the recipe's own training has kept."""
        return bool(self.step)

    def __str__(self) -> str:
        """The argument as it is written in `--models`."""
        if self.is_checkpoint:
            return f"{OWN_ADAPTER}@{self.step}"
        if self.source is None:
            return self.name
        kind = "" if self.kind in (None, local_kind(self.source)) else f"{self.kind}:"
        return f"{self.name}={kind}{self.source}"


def checkpoint_name(step: int | str) -> str:
    """Name in results of a checkpoint of the recipe's own training."""
    return f"{OWN_ADAPTER}-step-{step}"


def parse_models(text: str) -> list[ModelArgument]:
    r"""Parse `base,adapter,adapter@STEP,NAME=SOURCE,NAME=KIND:SOURCE`.

    `adapter@*` is all checkpoints that the recipe's own training has kept, as one argument; a path with wildcards is
    all models that it matches.

    What stands before a colon is a kind only if it is the name of one; in `C:\x` or `http://...` it is part of the
    source. The name left of `=` says nothing about the kind.

    Raises:
        UserError: A name is wrong, given twice, or has no source; or a wildcard matches something else.
    """
    models: dict[str, ModelArgument] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        if part.startswith(f"{OWN_ADAPTER}@"):
            _add(models, _checkpoint(part, text), text)
            continue
        name, equals, source = (piece.strip() for piece in part.partition("="))
        kind, colon, rest = (piece.strip() for piece in source.partition(":"))
        given = _KINDS.get(kind) if colon else None
        source = source if given is None else rest
        if (name in _OWN) == bool(equals) or (equals and not source):
            what = f"{name} takes no source" if equals and source else f"{name} needs a source: {name}=SOURCE"
            raise UserError(what[:200], where=f"--models {text}", fix=_FIX)
        sources = _expand(name, source, given) if equals else {name: None}
        for model, path in sources.items():
            if not (_NAME.fullmatch(model) and is_plain_name(model)):
                what = f"{model[:80]!r} is no name for a model (letters, digits, '.', '_', '-')"
                raise UserError(what, where=f"--models {text}", fix=_FIX)
            kind_of = _OWN[model] if path is None else given or local_kind(path)
            _add(models, ModelArgument(model, kind_of, path), text)
    if not models:
        raise UserError("no model is named", where="--models", fix="write base,adapter")
    return list(models.values())


def _checkpoint(part: str, text: str) -> ModelArgument:
    """The checkpoint, or all of them, that a part of `--models` means."""
    step = part.partition("@")[2]
    if not _STEP.fullmatch(step):
        fix = f"write {OWN_ADAPTER}@20 for the adapter of step 20, or {OWN_ADAPTER}@{ALL_STEPS} for all that were kept"
        raise UserError(f"{part[:80]!r} names no step", where=f"--models {text}", fix=fix)
    return ModelArgument(checkpoint_name(step), "adapter", None, step)


def _add(models: dict[str, ModelArgument], argument: ModelArgument, text: str) -> None:
    if argument.name in models:
        fix = "give each model a name of its own"
        raise UserError(f"the name {argument.name} is given twice", where=f"--models {text}", fix=fix)
    models[argument.name] = argument


def _expand(name: str, source: str, kind: Kind | None) -> Mapping[str, str]:
    """Name and source of each model that a path with wildcards matches, by the numbers in their paths.

    The names end with what the wildcards match: `NAME=out/checkpoint-*` gives `NAME-checkpoint-30` and so on.
    """
    pattern = Path(source).expanduser()
    if not has_magic(source) or pattern.exists() or (kind or local_kind(source)) == "served":
        return {name: source}
    matches = [Path(path) for path in glob(str(pattern))]  # noqa: PTH207 - leaves out hidden ones
    paths = [path for path in matches if path.is_dir() or path.suffix.lower() == GGUF]
    others = [path for path in paths if path.is_dir() and not _is_model(path)]
    if not paths or others:
        what = f"{others[0].name} is no model: it has no {CONFIG} and no config.json" if others else "nothing matches"
        fix = "write a pattern that matches models only, such as NAME=FOLDER/checkpoint-*"
        raise UserError(what, where=f"--models {name}={source}", fix=fix)
    wild = [place for place, part in enumerate(pattern.parts) if has_magic(part)]
    return {
        "-".join([name, *(path.parts[place] for place in wild)]): str(path)
        for path in sorted(paths, key=lambda path: by_number(str(path)))
    }


def _is_model(folder: Path) -> bool:
    return (folder / CONFIG).is_file() or (folder / "config.json").is_file()
