"""Hash of what an adapter is used with: its settings, and its own tokenizer, chat template and end tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reports.files import read_json, sha256_file, sha256_value

_MOST_CONFIG_BYTES = 16 << 20
_BASE_NAME = "base_model_name_or_path"  # may be a folder's path, which `push` shortens; nothing is computed with it
_PROMPTING = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
    "*.jinja",
    "generation_config.json",  # which tokens end an answer
)


def settings_hash(path: Path) -> str:
    """Hash of the settings in an adapter's configuration file, without the name of its base, and of how it is prompted.

    Args:
        path: The configuration; tokenizer and generation settings, if the adapter has any, are in the same folder.

    Raises:
        UserError: It is not JSON.
    """
    value = read_json(path, _MOST_CONFIG_BYTES)
    settings = {key: _ordered(value[key]) for key in value if key != _BASE_NAME} if isinstance(value, dict) else value
    files = {file for pattern in _PROMPTING for file in path.parent.glob(pattern) if file.is_file()}
    return sha256_value([settings, [[file.name, sha256_file(file)] for file in sorted(files)]])


def _ordered(value: Any) -> Any:
    """A list of names in order: PEFT writes sets, such as the target modules, in an order that changes by process."""
    return sorted(value) if isinstance(value, list) and all(isinstance(name, str) for name in value) else value
