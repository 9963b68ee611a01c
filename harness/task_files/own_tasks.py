"""The tasks in users' own files: read and checked as a whole, with configurations for lm-eval and a hash of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from harness.task_files.faults import raise_faults
from harness.task_files.find_files import is_path, read_task_files, yaml_files
from harness.task_files.groups import changes_tasks, inline_task, members, prepared_group
from harness.task_files.task_checks import check_keys, check_name, check_task
from harness.task_files.task_code import code_files, code_hashes, with_code
from harness.task_files.task_data import LocalData, is_hub_data
from harness.task_files.task_yaml import TaskFile, read_task_file
from reports.errors import UserError
from reports.files import sha256_value
from reports.json_text import plain
from reports.text import Place

KEY = "scoring.task_paths"
_FLAG = "--tasks"
_TRUST = (
    "read the code; if you trust it, allow it with --set scoring.trust_task_code=true (in a recipe `trust_task_code:"
    " true` under `scoring`); else leave the task out"
)
_IsTaken = Callable[[str], bool]


@dataclass(frozen=True)
class OwnTask:
    """A task or group in a user's own file.

    Attributes:
        name: Its name.
        file: The file that defines it.
        place: Where in the file its keys are; empty for the file's own task or group.
        config: Its configuration for lm-eval, with absolute paths of local data and references in place of functions.
        sha256: Hash of what the file, its includes and the Python files beside it say; paths do not count.
    """

    name: str
    file: TaskFile
    place: Place
    config: Mapping[str, Any]
    sha256: str

    @property
    def is_group(self) -> bool:
        """Whether it lists other tasks."""
        return "group" in self.config and "class" not in self.config

    def where(self, *key: str | int) -> str:
        """File and line of a key, or of the task's name."""
        return self.file.where(*self.place, *(key or ("group" if self.is_group else "task",)))


class Definition(NamedTuple):
    """What users' own files say of a task that is scored.

    Attributes:
        file: Name of the file.
        sha256: Hash of what the files say, part of the hash of the task's items.
        task: The task; None if it is one of lm-eval's, with settings of the user's group.
    """

    file: str
    sha256: str
    task: OwnTask | None


@dataclass(frozen=True)
class OwnTasks:
    """All tasks and groups in users' own files.

    Attributes:
        names: The names to score, in place of the paths that were given.
        tasks: Tasks and groups by name.
    """

    names: list[str]
    tasks: Mapping[str, OwnTask] = field(default_factory=dict)

    def elsewhere(self, names: Iterable[str]) -> set[str]:
        """Names of tasks that no file of the user's defines: of `names`, and of what groups list."""
        groups = [task.file for task in self.tasks.values() if task.is_group]
        return {*names, *(name for file in groups for name, _ in members(file))} - self.tasks.keys()

    def is_from_hub(self, name: str) -> bool:
        """Whether lm-eval may ask the hub for the data of a task or group."""
        task = self.tasks.get(name)
        return task is None or task.is_group or is_hub_data(task.config)

    def definition(self, name: str, task: str) -> Definition | None:
        """What own files say of a task that was loaded by its name or by that of a group; None if nothing."""
        own = self.tasks.get(task)
        parts = [own] if own is not None else []
        if name != task and name in self.tasks:  # by a group, which may list others
            parts += [group for group in self.tasks.values() if group.is_group and changes_tasks(group.file)]
        if not parts:
            return None
        return Definition(parts[0].file.path.name, sha256_value([part.sha256 for part in parts]), own)

    def entries(self) -> dict[str, Any]:
        """Entries of lm-eval's index by name, also of the tasks' tags; code that the recipe trusts is imported now.

        Raises:
            UserError: It cannot be imported.
        """
        from lm_eval.tasks._index import Entry, TaskIndex

        index: dict[str, Entry] = {}
        for task in self.tasks.values():
            TaskIndex.process_cfg(with_code(dict(task.config)), task.file.path, index)
            index[task.name].yaml_path = None  # lm-eval would read the file itself
        return dict(index)


def read_own_tasks(
    words: Sequence[str], task_paths: Sequence[str], *, is_trusted: bool, is_lm_evals: _IsTaken
) -> OwnTasks:
    """Read the task files that a run names, without running any code of theirs.

    Args:
        words: Names of tasks, and paths of task files and folders.
        task_paths: The recipe's paths of task files and folders.
        is_trusted: Whether the recipe allows code of these files.
        is_lm_evals: Whether lm-eval itself has a task, group or tag of a name.

    Raises:
        UserError: Files are missing or faulty, would run code that is not allowed, or use a name twice; all faults of
            a kind together.
    """
    given, names = _given_files(words, task_paths, is_lm_evals)
    if not given:
        return OwnTasks(names)
    files = _with_members(given, is_lm_evals)
    _refuse_code(files, is_trusted=is_trusted)
    from harness.task_files.templates import sandbox_templates

    sandbox_templates()
    return OwnTasks(names, _checked(files, is_lm_evals))


def own_task_inputs(words: Sequence[str], task_paths: Sequence[str]) -> list[Path]:
    """The files on this machine that the task files of a run consist of and read, for finding out whether they changed.

    Raises:
        UserError: Files are missing or no task files.
    """
    given, _ = _given_files(words, task_paths, lambda _: False)
    files = _with_members(given, lambda _: False)
    data = [path for file in files for path in LocalData(file.config, file).files]
    return [*(path for file in files for path in (*file.files, *code_files(file.config))), *data]


def _given_files(
    words: Sequence[str], task_paths: Sequence[str], is_lm_evals: _IsTaken
) -> tuple[list[TaskFile], list[str]]:
    """(the files that are named, each once; the names to score)."""
    given = read_task_files(task_paths, KEY)
    names: list[str] = []
    for word in words:
        if is_path(word) or _is_own_folder(word, given, is_lm_evals):
            files = read_task_files([word], f"{_FLAG} {word}")
            names += [name for file in _to_score(files) for name in file.names]
            given += files
        else:
            names.append(word)
    return list({file.path.resolve(): file for file in given}.values()), list(dict.fromkeys(names))


def _is_own_folder(word: str, given: Sequence[TaskFile], is_lm_evals: _IsTaken) -> bool:
    """Whether a bare word is a folder, and the name of no task."""
    return Path(word).is_dir() and word not in {name for file in given for name in file.names} and not is_lm_evals(word)


def _to_score(files: Sequence[TaskFile]) -> list[TaskFile]:
    """Files of a path without those of tasks that a group among them lists: the group brings these."""
    listed = {name for file in files if file.is_group for name, _ in members(file)}
    return [file for file in files if not set(file.names) & listed]


def _with_members(given: Sequence[TaskFile], is_lm_evals: _IsTaken) -> list[TaskFile]:
    """The files with those in the folder of a group that define what it lists."""
    files, groups = list(given), [file for file in given if file.is_group]
    while groups:
        group = groups.pop()
        here = {name for file in files for name in file.names}
        missing = {name for name, place in members(group) if name not in here and inline_task(group, place) is None}
        missing = {name for name in missing if not is_lm_evals(name)}
        others = map(_task_file_or_none, yaml_files(group.path.parent) if missing else ())
        added = [file for file in others if file is not None and set(file.names) & missing]
        files += added
        groups += [file for file in added if file.is_group]
    return files


def _task_file_or_none(path: Path) -> TaskFile | None:
    """A file that nobody named, if it is a task file."""
    try:
        return read_task_file(path)
    except UserError:
        return None


def _refuse_code(files: Sequence[TaskFile], *, is_trusted: bool) -> None:
    """Refuse files that would run Python, unless the recipe allows it.

    Raises:
        UserError: They would.
    """
    lines = list(dict.fromkeys(line for file in files for line in file.code))
    if not lines or is_trusted:
        return
    if len(lines) == 1:
        where, _, named = lines[0].partition(": ")
        raise UserError(f"it would run Python code, which is not allowed: {named}", where=where, fix=_TRUST)
    listed = "\n".join(f"  - {line}" for line in lines)
    raise UserError(f"task files would run Python code, which is not allowed:\n{listed}", fix=_TRUST)


def _checked(files: Sequence[TaskFile], is_lm_evals: _IsTaken) -> dict[str, OwnTask]:
    """All tasks and groups by name.

    Raises:
        UserError: Faults of keys, names or data files, all together.
    """
    faults: list[UserError] = []
    configs = {name: file.config for file in files if not file.is_group for name in file.names}
    tasks: dict[str, OwnTask] = {}
    for task in (task for file in files for task in _tasks_of(file, files, configs, is_lm_evals, faults)):
        if task.name in tasks:
            what = f"the name {task.name} is used twice; first in {tasks[task.name].where()}"
            fix = "rename one of them, or name only one of the files"
            faults.append(UserError(what, where=task.where(), fix=fix))
        tags = task.config.get("tag") or []
        for name in [task.name, *([tags] if isinstance(tags, str) else tags)]:
            if is_lm_evals(name):
                fix = "choose another name, so that results say which of the two was scored"
                what = f"lm-eval has a task, group or tag {name} of its own"
                faults.append(UserError(what, where=task.where(*(() if name == task.name else ("tag",))), fix=fix))
        tasks[task.name] = task
    raise_faults(faults)
    return tasks


def _tasks_of(
    file: TaskFile,
    files: Sequence[TaskFile],
    configs: Mapping[str, Mapping[str, Any]],
    is_lm_evals: _IsTaken,
    faults: list[UserError],
) -> Iterator[OwnTask]:
    """The task or group of a file, and the tasks that are written in a group's list; adds to `faults`."""
    if not file.is_group:
        faults += check_task(file.config, file)
        yield _own_task(file, (), file.config, faults)
        return
    faults += [*check_name(file.config["group"], file, "group"), *check_keys(file.config, file, group=True)]
    here, inline = {name for one in files for name in one.names}, set()
    for name, place in members(file):
        if name in here or is_lm_evals(name):
            continue
        config = inline_task(file, place)
        if config is None:
            fix = "check the name; tasks of your own are looked for in the files you name and in the group's folder"
            faults.append(UserError(f"there is no task {name!r}", where=file.where(*place), fix=fix))
            continue
        inline.add(name)
        faults += check_task(config, file, place)
        yield _own_task(file, place, config, faults)
    config = prepared_group(file, configs, inline, faults)
    yield OwnTask(str(file.config["group"]), file, (), config, _hash(file.config))


def _own_task(file: TaskFile, place: Place, config: Mapping[str, Any], faults: list[UserError]) -> OwnTask:
    data = LocalData(config, file, place)
    faults += data.faults
    return OwnTask(str(config.get("task")), file, place, {**config, **data.settings}, _hash(config))


def _hash(config: Mapping[str, Any]) -> str:
    return sha256_value([plain(config), code_hashes(config)])
