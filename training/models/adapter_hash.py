"""Hash of the settings that an adapter's weights are used with."""

from __future__ import annotations

from pathlib import Path

from reports.files import read_json, sha256_value

_MOST_CONFIG_BYTES = 16 << 20
_BASE_NAME = "base_model_name_or_path"  # may be a folder's path, which `push` shortens; nothing is computed with it


def settings_hash(path: Path) -> str:
    """Hash of the settings in an adapter's configuration file, without the name of its base.

    Raises:
        UserError: It is not JSON.
    """
    value = read_json(path, _MOST_CONFIG_BYTES)
    return sha256_value({key: value[key] for key in value if key != _BASE_NAME} if isinstance(value, dict) else value)
