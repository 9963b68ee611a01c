"""Prints what medbench and its tests need, without upper bounds, for a run with the newest release of everything.

python -m benchmarks.newest | pip install --requirement /dev/stdin
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

_PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
_BOUND = re.compile(r"(==|>=|<=|~=|!=|<|>)\s*([\w.*]+)")
_EQUAL = ("==", "~=", ">=")


def lifted(requirement: str) -> str:
    """Return a requirement without its upper bound: `a>=1,<2` gives `a>=1`, `a==1.2.*` gives `a>=1.2`."""
    name = re.split(r"[=<>~!\s]", requirement, maxsplit=1)[0]
    bounds = _BOUND.findall(requirement)
    lowest = [f">={version.removesuffix('.*')}" for mark, version in bounds if mark in _EQUAL]
    return name + ",".join(lowest + [f"{mark}{version}" for mark, version in bounds if mark in (">", "!=")])


def main() -> None:
    """Print the requirements, one on a line."""
    project = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]
    print("\n".join(map(lifted, project["dependencies"] + project["optional-dependencies"]["test"])))


if __name__ == "__main__":
    main()
