"""The list of packages with which a bundle was made, as a requirements file."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from collections.abc import Iterator

from reports.version import __version__


def system() -> str:
    """Operating system and processor that the packages are for."""
    return f"{platform.system()} {platform.machine()}"


def requirements() -> str:
    """Exact versions of all packages of this environment; without addresses or folders that they came from."""
    lines = [
        f"# Packages beside which medbench {__version__} made this bundle.",
        f"# Python {platform.python_version()}, {system()}",
        "# Fetch them on a connected machine of that kind: pip download -r requirements.txt -d wheels",
        "# Install them on the other one: pip install --no-index --find-links wheels -r requirements.txt",
    ]
    return "\n".join([*lines, *_packages(), ""])


def _packages() -> Iterator[str]:
    packages: dict[str, importlib.metadata.Distribution] = {}
    for package in importlib.metadata.distributions():
        name = package.metadata["Name"]
        if name:
            packages.setdefault(re.sub(r"[-_.]+", "-", name).lower(), package)
    for name, package in sorted(packages.items()):
        if package.read_text("direct_url.json"):  # installed from a folder, a file or an address
            yield f"# {name}=={package.version} is from no index: take its wheel along (pip wheel --no-deps FOLDER)"
        else:
            yield f"{name}=={package.version}"
