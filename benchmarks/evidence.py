"""The environment that a benchmark's results record, its commit among it; refuses a tree with uncommitted changes."""

from __future__ import annotations

import sys
from typing import Any

from harness.environment import describe
from training.models.device import device_of


def environment(*, allow_dirty: bool) -> dict[str, Any]:
    """Machine, versions and commit.

    Raises:
        SystemExit: The tree has changes that no commit holds, and that is not allowed; exit code 2.
    """
    facts = describe(device_of("cpu"))
    if str(facts["git_commit"]).endswith("-dirty") and not allow_dirty:
        print("the working tree has changes; commit them, or give --allow-dirty", file=sys.stderr)
        raise SystemExit(2)
    return facts
