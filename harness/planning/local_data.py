"""Local folders in place of the data sets of the hub that tasks read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reports.errors import UserError
from tasks.data.folder_cache import folder_cache

_OF_THE_HUB = ("revision", "trust_remote_code", "token")  # arguments that mean nothing for a folder


def check_folders(folders: Mapping[str, str]) -> dict[str, str]:
    """Absolute paths of the folders, by the ids of the data sets.

    Raises:
        UserError: Some are no folders.
    """
    missing = [f"{name}: {folder}" for name, folder in folders.items() if not Path(folder).is_dir()]
    if missing:
        raise UserError(
            f"there is no such folder: {'; '.join(missing)}",
            where="data.folders",
            fix="give a folder that `datasets.load_dataset` reads for each data set, or leave the data set out",
        )
    return {name: str(Path(folder).resolve()) for name, folder in folders.items()}


def local_spec(name: str, entry: Any, folders: Mapping[str, str]) -> str | dict[str, Any]:
    """What `TaskManager.load` takes to load a task, from a local folder if there is one for its data set.

    lm-eval lets the members of a group override their configuration, so the task becomes the member of one.

    Args:
        name: Name of the task.
        entry: lm-eval's index entry of it.
        folders: Absolute paths of folders by the ids of data sets.
    """
    config = entry.cfg or {}
    folder = folders.get(str(config.get("dataset_path")))
    if folder is None:
        return name
    kept = {key: value for key, value in (config.get("dataset_kwargs") or {}).items() if key not in _OF_THE_HUB}
    kept["cache_dir"] = folder_cache(Path(folder))
    member = {"task": name, "dataset_path": folder, "dataset_kwargs": kept}
    return {"group": f"local data of {name}", "task": [member]}
