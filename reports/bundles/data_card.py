"""The card of a data set (`README.md`): which files its configurations name, and that these are its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import yaml

from reports.errors import UserError

CARD = "README.md"
_MOST_BYTES = 4 << 20
_FRONT_MATTER = re.compile(r"---\r?\n(.*?)\n---", re.DOTALL)
_FIX = "make the bundle again without this data set"


def file_patterns(value: Any) -> list[str]:
    """Patterns of a `data_files`: one, a list of them, or by split in two ways."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [pattern for one in value for pattern in file_patterns(one)]
    if isinstance(value, dict):
        inner = [value["path"]] if "path" in value else list(value.values())
        return [pattern for one in inner for pattern in file_patterns(one)]
    return []


def check_card(folder: Path) -> None:
    """Check that the card of a data set names only files below its own folder, since `datasets` opens what it names.

    Raises:
        UserError: It names addresses or files elsewhere, or its front matter cannot be read.
    """
    path = folder / CARD
    if not path.is_file():
        return
    for name in _named(_front_matter(path)):
        parts = {*PurePosixPath(name).parts, *PureWindowsPath(name).parts}
        is_whole = PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute() or name.startswith("~")
        if is_whole or ".." in parts or ":" in name:
            raise UserError(f"the card names data elsewhere: {name[:80]!r}", where=str(path), fix=_FIX)


def _front_matter(path: Path) -> Any:
    if path.stat().st_size > _MOST_BYTES:
        raise UserError(f"it is larger than {_MOST_BYTES >> 20} MiB", where=str(path), fix=_FIX)
    match = _FRONT_MATTER.match(path.read_text(encoding="utf-8", errors="replace"))
    try:
        return yaml.safe_load(match[1]) if match else None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError("its front matter is not YAML", where=str(path), fix=_FIX) from error


def _named(card: Any) -> Iterator[str]:
    """All files and folders that a card's configurations name."""
    configs = card.get("configs") if isinstance(card, dict) else None
    for config in configs if isinstance(configs, list) else ():
        if isinstance(config, dict):
            yield from file_patterns(config.get("data_files"))
            yield from file_patterns(config.get("data_dir"))
