"""The packages import one way down: harness, training, tasks, reports."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ORDER = ["harness", "training", "tasks", "reports"]


def imported_packages(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", ORDER)
def test_a_package_imports_only_itself_and_those_below_it(package):
    above = set(ORDER[: ORDER.index(package)])
    for path in (ROOT / package).rglob("*.py"):
        assert not imported_packages(path) & above, path


@pytest.mark.parametrize("package", ORDER)
def test_every_file_says_in_its_first_line_what_it_is_for(package):
    for path in (ROOT / package).rglob("*.py"):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert docstring, path
        assert docstring.splitlines()[0].endswith((".", "?")), path
