"""Local folders in place of the data sets of the hub that tasks read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reports.errors import UserError
from reports.files import sha256_value

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
    member = {"task": name, "dataset_path": folder, "dataset_kwargs": kept | own_cache(Path(folder))}
    return {"group": f"local data of {name}", "task": [member]}


def own_cache(folder: Path) -> dict[str, str]:
    """Argument of `datasets.load_dataset` by which it never takes other rows for those of a local folder.

    `datasets` 4 caches a folder whose README.md lists its files by the folder's name and that README.md alone, so that
    changed files, or another folder of that name, would give the earlier rows.
    """
    from datasets import config

    facts = [
        (str(path.relative_to(folder)), status.st_size, status.st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if (status := path.stat()) and path.is_file()
    ]
    return {"cache_dir": str(Path(config.HF_DATASETS_CACHE) / f"medbench-{sha256_value([str(folder), facts])[:16]}")}
