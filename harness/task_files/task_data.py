"""Finds the local data of a task file: beside the file, or in the working directory as stock lm-eval does."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.task_files.task_yaml import TaskFile
from reports.errors import UserError
from reports.files import check_regular, sha256_file
from reports.names import is_hub_id, is_plain_name
from reports.text import Place
from tasks.data.files import kind_of
from tasks.data.source import MOST_BYTES

_READERS = {"json": "JSON", "csv": "CSV", "parquet": "Parquet", "arrow": "Arrow", "text": None}
_KINDS = {"JSON": "json", "JSON Lines": "json", "CSV": "csv", "TSV": "csv", "Parquet": "parquet", "Arrow": "arrow"}


def is_hub_data(config: Mapping[str, Any]) -> bool:
    """Whether the data of a configuration for lm-eval is on the hub: neither a file, nor a folder, nor made by code."""
    path = config.get("dataset_path")
    return isinstance(path, str) and path not in _READERS and not Path(path).is_absolute()


class LocalData:
    """The local data of one task.

    Args:
        config: The task's configuration.
        file: The file that it stands in.
        place: Where in the file.

    Attributes:
        settings: `dataset_path` and `dataset_kwargs` with absolute paths, for lm-eval; only those that change.
        files: The data files on this machine.
        faults: What is wrong with them.
    """

    def __init__(self, config: Mapping[str, Any], file: TaskFile, place: Place = ()) -> None:
        self._file = file
        self._place = place
        self.settings: dict[str, Any] = {}
        self.files: list[Path] = []
        self.faults: list[UserError] = []
        path, kwargs = config.get("dataset_path"), config.get("dataset_kwargs")
        if kwargs is not None and not isinstance(kwargs, dict):
            self._fault(
                "dataset_kwargs is a mapping", ("dataset_kwargs",), "write `dataset_kwargs: {data_files: FILE}`"
            )
        elif isinstance(path, str):
            try:
                self._find(path, kwargs or {})
            except UserError as fault:
                self.faults.append(fault)
        elif path is not None:
            self._fault("dataset_path is a text", ("dataset_path",), "write json, csv, a folder or a hub id")

    def _fault(self, what: str, key: Place, fix: str) -> None:
        self.faults.append(UserError(what, where=self._file.where(*self._place, *key), fix=fix))

    def _find(self, path: str, kwargs: Mapping[str, Any]) -> None:
        if path in _READERS:
            self._find_files(path, kwargs)
            return
        if path.endswith(".py"):
            fix = "save its rows as JSON, CSV or Parquet, or name a function with custom_dataset"
            self._fault("datasets 4 runs no scripts of data sets", ("dataset_path",), fix)
            return
        kind = kind_of(Path(path))
        if kind is not None and any((base / path).is_file() for base in self._bases):
            fix = f"write `dataset_path: {_KINDS[kind]}` and `dataset_kwargs: {{data_files: {path}}}`"
            self._fault("dataset_path names a file, not the kind of file", ("dataset_path",), fix)
            return
        folders = [(base / path).resolve() for base in self._bases if (base / path).is_dir()]
        if folders:
            self.settings["dataset_path"] = str(self._one(folders, path, ("dataset_path",)))
            self.files += sorted(entry for entry in folders[0].rglob("*") if entry.is_file())
        elif not (is_hub_id(path) or is_plain_name(path)) or kind is not None or path.startswith("."):
            self._missing(path, ("dataset_path",), "folder")

    def _find_files(self, reader: str, kwargs: Mapping[str, Any]) -> None:
        place: Place = ("dataset_kwargs", "data_files")
        files, folder = kwargs.get("data_files"), kwargs.get("data_dir")
        if files is None and folder is None:
            fix = "write `dataset_kwargs: {data_files: FILE}`"
            self._fault(f"dataset_path: {reader} needs the files to read", ("dataset_path",), fix)
            return
        changed = dict(kwargs)
        if isinstance(folder, str) and files is None:
            folders = [(base / folder).resolve() for base in self._bases if (base / folder).is_dir()]
            if folders:
                changed["data_dir"] = str(self._one(folders, folder, ("dataset_kwargs", "data_dir")))
                self.files += sorted(entry for entry in folders[0].rglob("*") if entry.is_file())
            else:
                self._missing(folder, ("dataset_kwargs", "data_dir"), "folder")
        if isinstance(files, dict):
            changed["data_files"] = {
                split: list(self._resolved(named, (*place, str(split)))) for split, named in files.items()
            }
        elif files is not None:
            changed["data_files"] = list(self._resolved(files, place))
        self.settings["dataset_kwargs"] = changed

    def _resolved(self, named: Any, place: Place) -> Iterator[str]:
        """Absolute paths of what `data_files` names; web addresses stay as they are."""
        for name in named if isinstance(named, list) else [named]:
            if not isinstance(name, str) or not name:
                self._fault("data_files takes paths", place, "write a path, a list, or a mapping from splits to paths")
            elif "://" in name:
                yield name
            else:
                yield from self._local(name, place)

    def _local(self, name: str, place: Place) -> Iterator[str]:
        if glob.has_magic(name):
            matches = [
                sorted(match.resolve() for match in base.glob(name) if match.is_file())
                if not Path(name).is_absolute()
                else sorted(map(Path, glob.glob(name, recursive=True)))  # noqa: PTH207 - a whole path
                for base in self._bases
            ]
            paths = next((matched for matched in matches if matched), [])
        else:
            candidates = [(base / Path(name).expanduser()).resolve() for base in self._bases]
            existing = [path for path in candidates if path.exists()]
            paths = [self._one(existing, name, place)] if existing else []
        if not paths:
            self._missing(name, place, "file")
        for path in paths:
            self._check_file(path, name, place)
            self.files.append(path)
            yield str(path)

    def _check_file(self, path: Path, name: str, place: Place) -> None:
        check_regular(path)
        if path.is_dir():
            self._fault(f"{name} is a folder", place, f"write `data_dir: {name}`, or the files: {name}/*.jsonl")
        elif path.stat().st_size > MOST_BYTES:
            self._fault(f"{name} is larger than {MOST_BYTES >> 30} GB", place, "give fewer rows")

    @property
    def _bases(self) -> list[Path]:
        """Folders at which relative paths may start: that of the file, then the working directory."""
        return [self._file.path.parent.resolve(), Path.cwd()]

    def _one(self, paths: list[Path], name: str, place: Place) -> Path:
        """The path, if both folders do not have different data of that name."""
        first, *others = dict.fromkeys(paths)
        if others and not (first.is_file() and others[0].is_file() and sha256_file(first) == sha256_file(others[0])):
            self._fault(
                f"{name} stands beside the task file and in the working directory, and they differ",
                place,
                f"write the whole path: {first} or {others[0]}",
            )
        return first

    def _missing(self, name: str, place: Place, what: str) -> None:
        self._fault(
            f"the data {what} {name} does not exist",
            place,
            f"check the path: it starts at the task file's folder ({self._bases[0]}) or the working directory"
            f" ({self._bases[1]})",
        )
