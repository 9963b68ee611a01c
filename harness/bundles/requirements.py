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
    lines: dict[str, str] = {}
    for package in importlib.metadata.distributions():
        about = package.metadata
        name = re.sub(r"[-_.]+", "-", about["Name"] or "").lower()
        line = f"{name}=={about['Version']}"
        if package.read_text("direct_url.json"):  # installed from a folder, a file or an address
            line = f"# {line} is from no index: take its wheel along (pip wheel --no-deps FOLDER)"
        lines.setdefault(name, line)  # the first one is imported
    yield from (lines[name] for name in sorted(filter(None, lines)))
