"""Names of tasks: medbench's own, lm-eval's, and what is wrong with others."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from typing import Any

from reports.errors import UserError, did_you_mean
from reports.names import is_plain_name
from tasks.catalog import CONFIG_FOLDER
from tasks.suites import SUITES


def own_task_names() -> list[str]:
    """Names of medbench's own tasks."""
    return sorted(path.stem for path in CONFIG_FOLDER.glob("*.yaml"))


@functools.cache
def lm_eval_tasks() -> dict[str, Any]:
    """The tasks that come with lm-eval by name, found once a process: it reads 14,000 files for that."""
    from lm_eval.tasks import TaskManager

    return dict(TaskManager().task_index)


def check_spelling(names: Iterable[str]) -> None:
    """Check that names of tasks can be parts of paths.

    Raises:
        UserError: One cannot.
    """
    odd = next((name for name in names if not is_plain_name(name)), None)
    if odd is not None:
        raise UserError(f"lm-eval knows no task {odd[:80]!r}", where="--tasks", fix="see `medbench list tasks`")


def check_names(names: Iterable[str], available: Collection[str]) -> None:
    """Check that tasks are available.

    Raises:
        UserError: One is not; the message has the nearest names, also of suites.
    """
    for name in names:
        if name not in available:
            near = did_you_mean(name, [*SUITES, *available], most=3)
            lists = f"suites: {', '.join(SUITES)}; medbench's own: {', '.join(own_task_names())}"
            fix = f"{near} a task file of your own is named by its path; {lists};"
            fix += " see `medbench list suites` and `medbench list tasks`"
            raise UserError(f"lm-eval knows no task {name!r}", where="--tasks", fix=fix)
