"""The product's names are the field's: replaced names do not come back, and a binding says what it holds."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = [
    path
    for package in ("harness", "training", "tasks", "reports", "medbench")
    for path in (ROOT / package).rglob("*.py")
]
VAGUE = {"each", "found", "told", "known", "asked"}
MOST_VAGUE = 60

# Definitions that were replaced; what replaced them is in the comment where it is not obvious.
REPLACED = {
    "Asked",  # ModelRequest
    "NONE_KNOWN",
    "known_to_all",
    "Start",  # EngineConfig
    "Hindrance",  # Unsupported
    "Gathered",  # ScoringBatch
    "Slots",  # SlotKVCache
    "Recorded",  # PrefixKVCache
    "_close_ranks",
    "fed",  # score_inputs
    "fitted",  # fit_to_context
    "free_memory",  # available_memory, release_memory
    "BaseModel",  # our own; pydantic's is imported, not defined
    "Units",  # Clusters
    "Measured",  # ScoredItem
    "_added",
    "untesteds",  # n_not_rejected
    "right_or_wrong",  # mcnemar_test
    "permuted",
    "averaged",
    "Around",
    "Party",  # GateInput
    "Side",
    "Seen",  # AnswerStats
    "Shown",  # TaskExamples
    "Done",  # TrainingResult
    "validation_chooses",
    "_told",
    "HALVES",  # LONE_SURROGATES
    "whole",  # replace_surrogates
    "settings_of_all",  # global_options
}
REPLACED_MODULES = [
    "reports/page/figures.py",
    "reports/comparison/statistics.py",
    "reports/comparison/compare.py",
    "reports/gate/words.py",
    "reports/gate/sides.py",
    "training/division.py",
    "training/backends/running.py",
]


def bindings(tree: ast.AST) -> list[str]:
    """Names that a file binds: variables, loop variables, parameters and attributes with a type."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append(node.id)
        elif isinstance(node, ast.arg):
            names.append(node.arg)
    return names


def definitions(tree: ast.AST) -> set[str]:
    """Classes and functions, and names bound at the top of the file."""
    defined = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    for node in getattr(tree, "body", []):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        defined |= {target.id for target in targets if isinstance(target, ast.Name)}
    return defined


@pytest.fixture(scope="module")
def trees():
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in PRODUCT}


def test_replaced_names_are_not_defined_again(trees):
    assert {(path, name) for path, tree in trees.items() for name in definitions(tree) & REPLACED} == set()


@pytest.mark.parametrize("path", REPLACED_MODULES)
def test_replaced_modules_are_gone(path):
    assert not (ROOT / path).exists()


def test_bindings_say_what_they_hold(trees):
    counts = Counter((name, path) for path, tree in trees.items() for name in bindings(tree) if name in VAGUE)
    assert sum(counts.values()) <= MOST_VAGUE, counts.most_common(20)
