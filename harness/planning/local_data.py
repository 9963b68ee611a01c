"""Folders in place of the data sets of the hub that tasks read: those of `data.folders`, and of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.planning.leaf_tasks import LeafTask, leaf_tasks
from reports.bundles.active import bundled_folder
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


class LocalSpec(NamedTuple):
    """What `TaskManager.load` takes to load a task or group.

    Attributes:
        spec: Its name, or a group with the changed configurations of its tasks.
        is_local: Whether nothing of it is read from the hub.
    """

    spec: str | dict[str, Any]
    is_local: bool


def local_spec(name: str, index: Mapping[str, Any], folders: Mapping[str, str]) -> LocalSpec:
    """A task or group with its data sets read from folders, where there is one in `folders` or a bundle is in use.

    lm-eval lets the members of a group override their configuration, so the tasks become members of one.

    Args:
        name: A name of the index.
        index: lm-eval's index entries by name.
        folders: Absolute paths of folders by the ids of data sets; they go before the bundle.

    Raises:
        UserError: The bundle in use lacks a data set, or was changed.
    """
    leaves = list(leaf_tasks(name, index, runs_code=True))
    paths = [_folder(leaf, folders) for leaf in leaves]
    is_local = all(path or not leaf.hub_data for leaf, path in zip(leaves, paths, strict=True))
    if not any(paths):
        return LocalSpec(name, is_local)
    members = [_member(leaf, path, name) for leaf, path in zip(leaves, paths, strict=True)]
    group = name if index[name].kind.name == "GROUP" else f"local data of {name}"
    return LocalSpec({"group": group, "task": members}, is_local)


def _folder(leaf: LeafTask, folders: Mapping[str, str]) -> str | None:
    if leaf.hub_data is None:
        return None
    folder = folders.get(leaf.hub_data) or bundled_folder("data set", leaf.hub_data, leaf.revision)
    return None if folder is None else str(folder)


def _member(leaf: LeafTask, path: str | None, group: str) -> dict[str, Any]:
    member = {**leaf.settings, "task": leaf.name.removeprefix(f"{group}::")}
    if path is not None:
        kept = {key: value for key, value in leaf.arguments.items() if key not in _OF_THE_HUB}
        member |= {"dataset_path": path, "dataset_kwargs": {**kept, "cache_dir": folder_cache(Path(path))}}
    return member
