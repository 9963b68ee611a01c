"""docs/licences.md names every installed dependency with a copyleft licence."""

import importlib.metadata
import re
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

COPYLEFT = re.compile(r"GPL|General Public|\bMPL|Mozilla|\bEPL\b|CDDL|EUPL|CeCILL|\bOSL|-SA-")
LIST = Path(__file__).resolve().parents[1] / "docs" / "licences.md"
EXTRAS = ("docs", "ray", "test", "track", "unsloth", "vllm")


def dependencies(name, extras):
    """Names of the installed packages that a package needs, directly or not, with some of its extras."""
    seen, queue = set(), [(name, extra) for extra in ("", *extras)]
    while queue:
        package = queue.pop()
        try:
            requires = importlib.metadata.requires(package[0])
        except importlib.metadata.PackageNotFoundError:
            continue
        seen.add(package)
        for requirement in map(Requirement, requires or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": package[1]}):
                needed = {(canonicalize_name(requirement.name), extra) for extra in ("", *requirement.extras)}
                queue += needed - seen
    return {package for package, _ in seen} - {name}


def licence(package):
    """What the metadata says: an expression, a class, or the first line of a free text."""
    metadata = importlib.metadata.metadata(package)
    classes = [line for line in metadata.get_all("Classifier") or [] if line.startswith("License ::")]
    return " | ".join([metadata["License-Expression"] or "", *(metadata["License"] or "").splitlines()[:1], *classes])


def test_every_copyleft_licence_is_listed():
    listed = set(re.findall(r"^\| `(\w+)` \|", LIST.read_text(), re.MULTILINE))
    installed = dependencies("medbench", EXTRAS)
    assert {"chardet", "lm-eval", "torch", "mypy"} <= installed
    copyleft = {package.replace("-", "_") for package in installed if COPYLEFT.search(licence(package))}
    assert copyleft == listed & {package.replace("-", "_") for package in installed}


def test_the_listed_licences_are_those_of_the_metadata():
    for package, name in re.findall(r"^\| `(\w+)` \| ([\w.-]+)", LIST.read_text(), re.MULTILINE):
        if package in dependencies("medbench", EXTRAS):
            family, version = re.fullmatch(r"([A-Z]+)-([\d.]+)(?:-or-later)?", name).groups()
            assert family in licence(package)
            assert version in licence(package)
