"""Python that trusted task files name with `!function`: its files, for hashes, and its import."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.task_files.task_yaml import CodeReference, references
from reports.errors import UserError, first_line
from reports.files import sha256_file


def code_files(config: Mapping[str, Any]) -> list[Path]:
    """Python files that a configuration's references lead to, and those beside them, which they may import."""
    paths: set[Path] = set()
    for reference in references(config):
        module = reference.name.rpartition(".")[0]
        paths |= set(reference.folder.glob("*.py"))
        local = reference.folder / f"{module.replace('.', '/')}.py"
        if local.is_file():
            paths.add(local)
        elif (installed := _installed(module)) is not None:
            paths.add(installed)
    return sorted(paths)


def code_hashes(config: Mapping[str, Any]) -> list[list[str]]:
    """(name, SHA-256) of these files."""
    return [[path.name, sha256_file(path)] for path in code_files(config)]


def _installed(module: str) -> Path | None:
    """The file of an importable module, without importing it or its package."""
    package, *inner = module.split(".")
    try:
        spec = importlib.util.find_spec(package) if package else None
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not inner:
        return Path(spec.origin) if spec.origin and Path(spec.origin).is_file() else None
    files = (Path(folder, *inner).with_suffix(".py") for folder in spec.submodule_search_locations or ())
    return next((file for file in files if file.is_file()), None)


def with_code(value: Any) -> Any:
    """A configuration with functions and classes in place of their references: imports, and so runs, their modules.

    Raises:
        UserError: A module cannot be imported, or does not have that name.
    """
    if isinstance(value, dict):
        return {with_code(key): with_code(member) for key, member in value.items()}
    if isinstance(value, list):
        return [with_code(member) for member in value]
    return _imported(value) if isinstance(value, CodeReference) else value


def _imported(reference: CodeReference) -> Any:
    from lm_eval.tasks._yaml_loader import _import_func_in_yml

    try:
        return _import_func_in_yml(reference.name, reference.folder)
    except Exception as error:  # the module can raise anything
        raise UserError(
            f"!function {reference.name} cannot be imported ({type(error).__name__}: {first_line(error)})",
            where=str(reference.folder),
            fix="correct the name, which is FILE.FUNCTION of a Python file in this folder, or the code in it",
        ) from error
