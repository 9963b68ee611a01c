"""Says where in a task file the cause of an error of lm-eval, `datasets` or Jinja stands, from its traceback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Any

from harness.task_files.own_tasks import OwnTask
from harness.task_files.task_code import code_files
from harness.task_files.task_data import is_hub_data
from reports.errors import UserError, did_you_mean, first_line
from reports.hub_access import hub_error

_SHOWN = 12  # columns in a message
# Functions of lm-eval's tasks, by the key of the file that decides what they do.
_TEMPLATES = {
    "doc_to_text": "doc_to_text",
    "doc_to_target": "doc_to_target",
    "doc_to_choice": "doc_to_choice",
    "doc_to_prefix": "gen_prefix",
    "resolve_field": "description",
}
_SPLITS = {
    "test_docs": "test_split",
    "validation_docs": "validation_split",
    "training_docs": "training_split",
    "fewshot_docs": "fewshot_split",
}


def load_error(error: Exception, name: str, tasks: Mapping[str, OwnTask]) -> UserError:
    """An error while a task of a user's own file was loaded or rendered, as one message that names file and line.

    Args:
        error: The error.
        name: The task or group that was loaded.
        tasks: Tasks of users' own files by name.
    """
    if isinstance(error, UserError):
        return error
    frames = [(frame, line) for frame, line in walk_tb(error.__traceback__)][::-1]  # the innermost first
    task = tasks.get(_task_name(frames), tasks[name])
    fault = _in_code(error, frames, task) or _in_template(error, frames, task) or _in_split(error, frames, task)
    if fault is not None:
        return fault
    if _is_in(frames, "download"):
        return _unreadable(error, task)
    if isinstance(error, IndexError) and _is_in(frames, "__init__"):  # which tries the first item
        return _no_rows(task)
    return UserError(
        f"lm-eval cannot use it ({type(error).__name__}: {first_line(error)})",
        where=task.where(),
        fix="compare its keys with lm-eval's guide to task files",
    )


def columns_of(task: Any) -> list[str]:
    """Names of the columns of a loaded task's items."""
    return [str(name) for name in getattr(task, "features", ())]


def _task_name(frames: Sequence[tuple[FrameType, int]]) -> str:
    """The task whose methods were running."""
    tasks = (frame.f_locals.get("self") for frame, _ in frames)
    names = (getattr(getattr(task, "_config", None), "task", None) for task in tasks)
    return next((name for name in names if isinstance(name, str)), "")


def _is_in(frames: Sequence[tuple[FrameType, int]], function: str) -> bool:
    return any(frame.f_code.co_name == function for frame, _ in frames)


def _in_code(error: Exception, frames: Sequence[tuple[FrameType, int]], task: OwnTask) -> UserError | None:
    """An error in the file's own Python."""
    own = {path.resolve() for path in code_files(task.config)}
    for frame, line in frames:
        path = Path(frame.f_code.co_filename)
        if path.resolve() in own:
            what = f"its code failed in {frame.f_code.co_name} ({type(error).__name__}: {first_line(error)})"
            return UserError(what, where=f"{path}, line {line}", fix=f"correct the code, which {task.where()} uses")
    return None


def _in_template(error: Exception, frames: Sequence[tuple[FrameType, int]], task: OwnTask) -> UserError | None:
    from jinja2 import TemplateSyntaxError, UndefinedError
    from jinja2.exceptions import SecurityError

    inner = next((frame for frame, _ in frames if frame.f_code.co_name in _TEMPLATES), None)
    if inner is None:
        return None
    key = _TEMPLATES[inner.f_code.co_name]
    where, columns = task.where(key), columns_of(inner.f_locals.get("self"))
    listed = ", ".join(columns[:_SHOWN]) + (f" and {len(columns) - _SHOWN} more" if len(columns) > _SHOWN else "")
    if isinstance(error, SecurityError):
        fix = "write the template with the columns alone"
        return UserError(f"{key} reaches for what Jinja's sandbox refuses: {first_line(error)}", where=where, fix=fix)
    if isinstance(error, UndefinedError):
        name = first_line(error).partition("' is undefined")[0].lstrip("'")
        fix = f"{did_you_mean(name, columns)} the columns are {listed}"
        return UserError(f"{key} cannot be filled in: {first_line(error)}", where=where, fix=fix)
    if isinstance(error, TemplateSyntaxError):
        return UserError(f"{key} is no Jinja template: {first_line(error)}", where=where, fix="correct the template")
    if isinstance(error, SyntaxError | ValueError) and key == "doc_to_choice":
        fix = f"name a column with lists, write a list, or a template that prints one; the columns are {listed}"
        return UserError("doc_to_choice gives no list of choices", where=where, fix=fix)
    what = f"{key} cannot be filled in ({type(error).__name__}: {first_line(error)})"
    return UserError(what, where=where, fix=f"correct it; the columns are {listed}")


def _in_split(error: Exception, frames: Sequence[tuple[FrameType, int]], task: OwnTask) -> UserError | None:
    inner = next((frame for frame, _ in frames if frame.f_code.co_name in _SPLITS), None)
    if inner is None or not isinstance(error, KeyError):
        return None
    splits = [str(name) for name in getattr(inner.f_locals.get("self"), "dataset", {})]
    key = _SPLITS[inner.f_code.co_name]
    return UserError(
        f"its data has no split {error.args[0]!r}", where=task.where(key), fix=f"the splits are {', '.join(splits)}"
    )


def _unreadable(error: Exception, task: OwnTask) -> UserError:
    """Data that `datasets` cannot read; the error that says why is often the cause of the one it raises."""
    where = task.where("dataset_path")
    if is_hub_data(task.config):
        path = str(task.config["dataset_path"])
        refusal = hub_error(error, "data set", path, where=where)
        if refusal is not None:
            both = f"{refusal.what}; nor is there a folder {path} beside the task file or in the working directory"
            return type(refusal)(both, where=where, fix=refusal.fix)
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if "corresponds to no data" in str(cause):
        return _no_rows(task)
    return UserError(
        f"its data cannot be read ({type(cause).__name__}: {first_line(cause)})",
        where=where,
        fix="correct the data, or the kind of file in dataset_path and the settings in dataset_kwargs",
    )


def _no_rows(task: OwnTask) -> UserError:
    return UserError("its data has no rows", where=task.where("dataset_path"), fix="give it rows")
