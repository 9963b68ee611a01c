"""Where medbench keeps what it fetched and what it remembers from run to run."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def medbench_home() -> Path:
    """`MEDBENCH_HOME`, else the platform's cache folder."""
    given = os.environ.get("MEDBENCH_HOME")
    return Path(given).expanduser() if given else Path(platformdirs.user_cache_dir("medbench"))
