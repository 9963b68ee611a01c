"""Which task a name means: medbench's own, a user's file, or lm-eval's, in one index for lm-eval's manager."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.planning.task_names import check_names, check_spelling, lm_eval_tasks, own_task_names
from harness.task_files.lm_eval_names import name_check
from harness.task_files.own_tasks import OwnTasks, read_own_tasks
from tasks import catalog
from tasks.suites import expand
from training.recipes.recipe import ScoringSection

Index = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class TaskIndex:
    """The tasks that names stand for.

    Attributes:
        names: Names of tasks and groups to score, suites and paths taken apart.
        own: The tasks of users' own files.
        manager: lm-eval's manager, which knows all names.
    """

    names: list[str]
    own: OwnTasks
    manager: Any

    @property
    def entries(self) -> Mapping[str, Any]:
        """lm-eval's index entries by name."""
        entries: Mapping[str, Any] = self.manager.task_index
        return entries


def find_tasks(
    names: Sequence[str],
    scoring: ScoringSection,
    index: Index = lm_eval_tasks,
    metadata: Mapping[str, Any] | None = None,
) -> TaskIndex:
    """Find tasks by name without loading them.

    Args:
        names: Names of tasks, groups and suites, and paths of task files and folders.
        scoring: The recipe's paths of task files, and whether their code is trusted.
        index: Gives lm-eval's own tasks by name; called only if one of them may be meant.
        metadata: Arguments of the functions of ours that make data sets, see `tasks.task_settings`.

    Raises:
        UserError: A name is unknown to lm-eval, or a task file is faulty.
    """
    from lm_eval.tasks import TaskManager

    ours = set(own_task_names())
    is_lm_evals = name_check(index)
    own = read_own_tasks(expand(names), scoring.task_paths, is_trusted=scoring.trust_task_code, is_lm_evals=is_lm_evals)
    foreign = [name for name in own.names if name not in ours]
    check_spelling(foreign)
    manager = TaskManager(
        include_path=str(catalog.CONFIG_FOLDER), include_defaults=False, metadata=dict(metadata or {})
    )
    available = manager.task_index
    available |= own.entries()
    if own.elsewhere(foreign) - available.keys():
        available |= {name: entry for name, entry in index().items() if name not in available}
    check_names(own.names, available)
    return TaskIndex(own.names, own, manager)
