"""Groups in task files: what they list, and the same for lm-eval with absolute paths of local data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.task_files.task_data import LocalData
from harness.task_files.task_yaml import TaskFile
from reports.errors import UserError
from reports.text import Place

_OF_GROUP = ("group", "group_alias", "task", "tag", "aggregate_metric_list", "metadata")
_DATA = ("dataset_path", "dataset_kwargs")


def members(file: TaskFile) -> Iterator[tuple[str, Place]]:
    """(name, place) of every task or group that a group lists, also in groups within it."""
    yield from _listed(file.config.get("task"), ("task",))


def _listed(value: Any, place: Place) -> Iterator[tuple[str, Place]]:
    for number, member in enumerate(_as_list(value)):
        at = (*place, number) if isinstance(value, list) else place
        if isinstance(member, str):
            yield member, at
        elif isinstance(member, dict) and "group" in member and "task" in member:
            yield from _listed(member["task"], (*at, "task"))
        elif isinstance(member, dict) and isinstance(name := member.get("task", member.get("group")), str):
            yield name, at


def inline_task(file: TaskFile, place: Place) -> dict[str, Any] | None:
    """The configuration of a task that is written in a group's list; None if the list only names it."""
    value: Any = file.config
    for key in place:
        value = value[key]
    config = {**_shared(file.config), **value} if isinstance(value, dict) else {}
    return config if config.get("dataset_path") or config.get("custom_dataset") else None


def changes_tasks(file: TaskFile) -> bool:
    """Whether a group gives settings to its tasks, or lists other groups, instead of only naming tasks."""
    return bool(_shared(file.config)) or not all(
        isinstance(member, str) for member in _as_list(file.config.get("task"))
    )


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _shared(group: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a group that are settings of all its tasks."""
    return {key: value for key, value in group.items() if key not in _OF_GROUP}


def prepared_group(
    file: TaskFile, tasks: Mapping[str, Mapping[str, Any]], inline: set[str], faults: list[UserError]
) -> dict[str, Any]:
    """A group's configuration for lm-eval.

    Settings of data are moved from the group to its tasks, with absolute paths; tasks written in the list are only
    named, since they are in lm-eval's index.

    Args:
        file: The group's file.
        tasks: Configurations of the user's own tasks by name.
        inline: Names of tasks that are written in the group's list.
        faults: Gets what is wrong with the data that the group gives to its tasks.
    """
    shared = _shared(file.config)

    def prepare(value: Any, place: Place) -> list[Any]:
        prepared: list[Any] = []
        for number, member in enumerate(_as_list(value)):
            at = (*place, number) if isinstance(value, list) else place
            if isinstance(member, dict) and "task" in member and "group" in member:
                prepared.append({**member, "task": prepare(member["task"], (*at, "task"))})
                continue
            written = {"task": member} if isinstance(member, str) else dict(member)
            name = written.get("task")
            if name in inline:
                prepared.append(name)
                continue
            over = {key: value for key, value in {**shared, **written}.items() if key in _DATA}
            data = LocalData({**tasks.get(str(name), {}), **over}, file, at) if over else None
            faults.extend(data.faults if data else ())
            changed = {**over, **(data.settings if data else {})}
            prepared.append({**written, **changed} if changed or isinstance(member, dict) else member)
        return prepared

    rest = {key: value for key, value in file.config.items() if key not in _DATA}
    return {**rest, "task": prepare(file.config.get("task"), ("task",))}
