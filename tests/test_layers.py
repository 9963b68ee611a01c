"""The packages import one way: medbench, harness, training, tasks, reports; so do their folders and all files."""

import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ORDER = ["medbench", "harness", "training", "tasks", "reports"]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ORDER
    for path in (ROOT / package).rglob("*.py")
}


def imported(path: Path) -> set[str]:
    """Modules of ours that a file imports, at its top or within a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule in MODULES else node.module)
    return found & set(MODULES)


def folder(module: str) -> str:
    """The folder of a package that a module is in; the module itself where it is in none."""
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize("package", ORDER)
def test_a_package_imports_only_itself_and_those_below_it(package):
    above = set(ORDER[: ORDER.index(package)])
    for name, path in MODULES.items():
        if name.split(".")[0] == package:
            assert not {each.split(".")[0] for each in imported(path)} & above, path


def test_no_file_imports_itself_by_way_of_others():
    TopologicalSorter({name: imported(path) for name, path in MODULES.items()}).prepare()


def test_no_folder_imports_itself_by_way_of_others():
    arrows: dict[str, set[str]] = defaultdict(set)
    for name, path in MODULES.items():
        arrows[folder(name)] |= {folder(each) for each in imported(path)} - {folder(name)}
    TopologicalSorter(arrows).prepare()


@pytest.mark.parametrize("package", ORDER)
def test_every_file_says_in_its_first_line_what_it_is_for(package):
    for path in (ROOT / package).rglob("*.py"):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert docstring, path
        assert docstring.splitlines()[0].endswith((".", "?")), path


def test_medbench_only_re_exports_in_fewer_than_60_lines():
    lines = [line for path in (ROOT / "medbench").rglob("*.py") for line in path.read_text("utf-8").splitlines()]
    assert len([line for line in lines if line.strip()]) < 60


# Attributes of the standard library's and of other people's objects for which there is no public name.
THEIRS = {"_cli", "_exit", "_foreach_copy_", "_http", "_mixed_precision", "_parser", "_repr_html_", "_shared_state"}
STILL_PATCH = {"test_blocks.py", "test_docs.py"}  # modules of ours; no file is added to these


def private_uses(source: str) -> list[str]:
    """Private names of ours that a test's source uses, and modules of ours that it patches."""
    uses = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            if node.attr not in THEIRS and not (isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}):
                uses.append(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ORDER:
            uses += [alias.name for alias in node.names if alias.name.startswith("_") and alias.name[:2] != "__"]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr":
            target = node.args[0]
            name = target.value if isinstance(target, ast.Constant) else ast.unparse(target)
            if str(name).split(".")[0] in {*ORDER, *names_of_ours(source)}:
                uses.append(ast.unparse(node))
    return uses


def names_of_ours(source: str) -> set[str]:
    """The names that a source imports from our packages."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in nodes if (node.module or "").split(".")[0] in ORDER]
    return {alias.asname or alias.name for node in ours for alias in node.names}


def test_private_names_and_patches_of_ours_are_seen():
    source = "from harness import api\nfrom reports.files import _parsed\nstore._do()\nself._own\n"
    source += "patch.setattr(api, 'run', 1)\npatch.setattr('reports.x', 1)\npatch.setattr(os, 'fsync', 1)\n"
    wanted = ["_parsed", "store._do", "patch.setattr(api, 'run', 1)", "patch.setattr('reports.x', 1)"]
    assert sorted(private_uses(source)) == sorted(wanted)


@pytest.mark.parametrize(
    "path", [path for path in sorted((ROOT / "tests").rglob("*.py")) if path.name not in STILL_PATCH], ids=str
)
def test_tests_use_public_names_of_ours_and_patch_none(path):
    assert private_uses(path.read_text(encoding="utf-8")) == []
