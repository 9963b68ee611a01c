"""Where medbench keeps what it fetched and what it remembers from run to run."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from reports.errors import UserError


def medbench_home() -> Path:
    """`MEDBENCH_HOME`, else the platform's cache folder.

    Raises:
        UserError: `MEDBENCH_HOME` is the home of a user who does not exist.
    """
    given = os.environ.get("MEDBENCH_HOME")
    if not given:
        return Path(platformdirs.user_cache_dir("medbench"))
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise UserError(
            "there is no such user", where=f"MEDBENCH_HOME={given}", fix="write the path of a folder"
        ) from error
