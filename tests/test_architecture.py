"""ARCHITECTURE.md names files and functions that exist, and answers ten questions with them."""

import ast
import re

import pytest

from tests.pages import ROOT, text_of

PAGE = text_of(ROOT / "ARCHITECTURE.md")
FOLDERS = ("medbench", "harness", "training", "tasks", "reports", "tests")
CORE_TYPES = [ROOT / "training/models/model.py", ROOT / "reports/document/scores.py"]  # Model, MetricInfo
ROWS = [line.split(" | ") for line in PAGE.partition("## Find it")[2].partition("\n## ")[0].splitlines()[4:] if line]


def names_in(file):
    """Every function, class, method (as `Class.method`), constant and field that a file defines."""
    names = set()
    for node in ast.walk(ast.parse(text_of(file))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
            names |= {f"{node.name}.{field.name}" for field in node.body if isinstance(field, ast.FunctionDef)}
            fields = [field.target for field in node.body if isinstance(field, ast.AnnAssign)]
            names |= {f"{node.name}.{target.id}" for target in fields if isinstance(target, ast.Name)}
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def test_paths_exist():
    paths = [path for path in re.findall(r"`([\w/]+(?:\.py)?)`", PAGE) if path.split("/")[0] in FOLDERS]
    assert len(paths) > 50
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("| "))
def test_the_functions_of_a_question_are_in_the_files_of_its_row(row):
    files = [ROOT / path for path in re.findall(r"`([\w/]+\.py)`", " ".join(row[1:]))]
    functions = set(re.findall(r"`([A-Za-z][\w.]*)`", row[2])) - {"scoring.max_new_tokens"}
    assert functions <= set.union(*map(names_in, [*files, *CORE_TYPES]))


def test_the_questions_are_answered():
    assert len(ROWS) == 18
