"""Loads one task or group with lm-eval, and says in one message why that failed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from traceback import walk_tb
from typing import Any

from harness.planning.local_data import local_spec
from harness.task_files.load_errors import load_error
from harness.task_files.own_tasks import OwnTasks
from reports.bundles.active import active_bundle
from reports.errors import UnreachableError, UserError, first_line
from reports.hub_access import hub_error, hub_or_cache
from tasks import catalog
from tasks.benchmarks import BENCHMARKS


def load_task(manager: Any, name: str, own: OwnTasks, folders: Mapping[str, str]) -> dict[str, Any]:
    """lm-eval's objects by task, several for a group.

    Args:
        manager: lm-eval's manager, which knows the name.
        name: The task or group.
        own: The tasks of users' own files.
        folders: Absolute paths of local folders by the ids of the data sets that they stand for.

    Raises:
        UserError: Its data cannot be had, or its file or code is faulty.
    """
    ours = catalog.TASKS.get(name)
    try:
        spec, is_local = local_spec(name, manager.task_index, folders)
    except UnreachableError as error:
        raise UnreachableError(error.what, where=f"task {name}", fix=error.fix) from error
    if ours is not None:
        fetches = ours.reads_hub and BENCHMARKS[name].source_id not in folders and active_bundle() is None
    else:
        fetches = not is_local and own.is_from_hub(name)
    try:
        with hub_or_cache() if fetches else contextlib.nullcontext():
            return dict(manager.load([spec])["tasks"])
    except UserError:
        raise
    except Exception as error:  # a task may fetch its data set, run its own code, or need a package that is not there
        if ours is not None and not ours.reads_hub:
            raise
        if name in own.tasks:
            raise load_error(error, name, own.tasks) from error
        data_set = _data_set(error) or (BENCHMARKS[name].source_id if ours is not None else "of the task")
        refusal = hub_error(error, "data set", data_set, where=f"task {name}")
        raise refusal or UserError(
            f"lm-eval could not load it: {first_line(error)}",
            where=f"task {name}",
            fix="install the package that it needs, if it names one, or leave the task out",
        ) from error


def _data_set(error: Exception) -> str | None:
    """The data set of the task that was loaded when an error was raised."""
    tasks = (frame.f_locals.get("self") for frame, _ in walk_tb(error.__traceback__))
    paths = (getattr(task, "DATASET_PATH", None) for task in tasks)
    return next((path for path in paths if isinstance(path, str)), None)
