"""Finds the task files that a path names: a YAML file, or all in a folder that define a task or a group."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

from harness.task_files.faults import raise_faults
from harness.task_files.task_yaml import SUFFIXES, TaskFile, read_task_file
from reports.errors import UserError

_MOST_ENTRIES = 100_000  # of a folder: more are a home folder or a disk, given by mistake
_TEMPLATE = "_"  # first character of the name of a file that is only included


def is_path(word: str) -> bool:
    """Whether a word in a list of tasks is a path rather than a name."""
    return "/" in word or "\\" in word or word.startswith("~") or Path(word).suffix.lower() in SUFFIXES


def read_task_files(paths: Iterable[str], where: str) -> list[TaskFile]:
    """The task files at some paths, each once, in the order of the paths and of their names in a folder.

    Args:
        paths: Files or folders; relative ones start at the working directory.
        where: The flag or key that names them, for messages.

    Raises:
        UserError: A path does not exist, or files are no task files; all faults together.
    """
    files: dict[Path, TaskFile] = {}
    faults: list[UserError] = []
    for path in paths:
        try:
            read = read_folder(Path(path).expanduser()) if _is_folder(path, where) else [_read_single(path, where)]
        except UserError as fault:
            faults.append(fault)
            continue
        for file in read:
            files.setdefault(file.path.resolve(), file)
    raise_faults(faults)
    return list(files.values())


def _is_folder(path: str, where: str) -> bool:
    try:
        return Path(path).expanduser().is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # too long a name, no such home, a NUL
        raise UserError(f"cannot look for task files ({error})", where=f"{where} {path[:80]}") from error


def _read_single(path: str, where: str) -> TaskFile:
    file_path = Path(path).expanduser()
    if not file_path.exists() or file_path.suffix.lower() not in SUFFIXES:
        problem = "it is no YAML file" if file_path.exists() else "there is no such file"
        fix = f"check the path (relative ones start at {Path.cwd()}); for names see `medbench list tasks`"
        raise UserError(f"lm-eval knows no task {path[:200]!r}, and {problem}", where=where, fix=fix)
    file = read_task_file(file_path)
    if not file.names:
        raise UserError("it has no key task (or group)", where=str(file.path), fix="name the task: `task: my_task`")
    return file


def yaml_files(folder: Path) -> list[Path]:
    """All YAML files in a folder and its folders, sorted; hidden ones are left out.

    Raises:
        UserError: It has too many entries.
    """
    entries = list(itertools.islice(folder.rglob("*"), _MOST_ENTRIES + 1))
    if len(entries) > _MOST_ENTRIES:
        fix = "name the task files, or a smaller folder"
        raise UserError(f"the folder has more than {_MOST_ENTRIES:,} files", where=str(folder), fix=fix)
    return sorted(
        path
        for path in entries
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def read_folder(folder: Path) -> list[TaskFile]:
    """The task files in a folder, without those that only others include.

    Raises:
        UserError: There are none, or a file is no task file and no other includes it; all faults together.
    """
    files, faults = [], []
    for path in yaml_files(folder):
        try:
            files.append(read_task_file(path))
        except UserError as fault:
            faults.append(fault)
    included = {inner.resolve() for file in files for inner in file.files[1:]}
    tasks = [file for file in files if file.names]
    faults += [
        UserError(
            "it has no key task or group, and no other file includes it",
            where=str(file.path),
            fix=f"name its task, or name the task files instead of the folder {folder}; what is only included may also"
            f" have a name that starts with {_TEMPLATE}",
        )
        for file in files
        if not file.names and file.path.resolve() not in included and not file.path.name.startswith(_TEMPLATE)
    ]
    raise_faults(faults)
    if not tasks:
        raise UserError("the folder has no task files (.yaml)", where=str(folder), fix="check the path")
    return tasks
