"""The single tasks that a name of lm-eval's index stands for, with the settings that groups give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_READERS = ("json", "csv", "parquet", "arrow", "text", "pandas", "imagefolder", "audiofolder", "webdataset", "xml")
_PARTS = ("data_files", "data_dir")  # arguments that choose files of a data set without a configuration


@dataclass(frozen=True)
class LeafTask:
    """One task.

    Attributes:
        name: Its name.
        settings: What the groups around it change in its configuration.
        config: Its configuration with these settings.
    """

    name: str
    settings: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def hub_data(self) -> str | None:
        """Id of the data set of the hub that it reads; None if it reads something else."""
        path = self.config.get("dataset_path")
        is_id = isinstance(path, str) and path not in _READERS and not path.startswith((".", "/", "~"))
        return path if is_id and "custom_dataset" not in self.config and "class" not in self.config else None

    @property
    def arguments(self) -> dict[str, Any]:
        """Further arguments of `datasets.load_dataset`."""
        return dict(self.config.get("dataset_kwargs") or {})

    @property
    def revision(self) -> str | None:
        """The branch, tag or commit that it pins."""
        revision = self.arguments.get("revision")
        return None if revision is None else str(revision)

    @property
    def dataset_config(self) -> str | None:
        """The configuration of the data set, "" for the default one; None if files are chosen in another way."""
        if any(self.arguments.get(part) for part in _PARTS):
            return None
        return str(self.config.get("dataset_name") or "")


def leaf_tasks(
    name: str, index: Mapping[str, Any], settings: Mapping[str, Any] | None = None, *, runs_code: bool = False
) -> Iterator[LeafTask]:
    """The tasks of a task, group or tag, as `lm_eval.tasks._factory.TaskFactory` builds them.

    Args:
        name: A name of the index.
        index: lm-eval's index entries by name.
        settings: What groups around it change; an inner group gives way to the outer ones.
        runs_code: Whether functions that a group's file names are imported, as for loading.
    """
    entry, given = index[name], dict(settings or {})
    kind = entry.kind.name
    if kind == "TAG":
        for task in sorted(entry.tags & index.keys()):
            yield from leaf_tasks(task, index, given, runs_code=runs_code)
    elif kind == "GROUP":
        config = entry.cfg or {}
        if runs_code and entry.yaml_path:
            from lm_eval.tasks._yaml_loader import load_yaml

            config = load_yaml(entry.yaml_path, resolve_func=True)
        yield from _members(name, config, index, given, runs_code=runs_code)
    else:
        yield LeafTask(name, given, {**(entry.cfg or {}), **given})


def _members(
    group: str, config: Mapping[str, Any], index: Mapping[str, Any], given: Mapping[str, Any], *, runs_code: bool
) -> Iterator[LeafTask]:
    from lm_eval.tasks._factory import GROUP_FIELD_NAMES

    settings = {**{key: value for key, value in config.items() if key not in GROUP_FIELD_NAMES}, **given}
    listed = config.get("task")
    for member in listed if isinstance(listed, list) else ():
        own = {} if isinstance(member, str) else {k: v for k, v in member.items() if k not in ("task", "group")}
        inner = member if isinstance(member, str) else member.get("group") or member["task"]
        if inner in index:
            yield from leaf_tasks(inner, index, {**settings, **own}, runs_code=runs_code)
        elif isinstance(member, dict) and "group" in member:
            yield from _members(f"{group}::{inner}", member, index, settings, runs_code=runs_code)
        else:
            yield LeafTask(f"{group}::{inner}", {**settings, **own}, {**settings, **own})
