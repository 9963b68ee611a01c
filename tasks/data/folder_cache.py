"""Where `datasets` keeps what it made of a local folder: `datasets` itself goes by the folder's name alone.

Without this, two folders of one name, or a folder whose files were replaced, give the rows that were read first.
"""

from __future__ import annotations

from pathlib import Path

from reports.files import sha256_value


def folder_cache(folder: Path) -> str:
    """A place in the cache of `datasets` for a folder as it is now: by its path, and sizes and times of its files."""
    import datasets

    root = folder.resolve()
    files = sorted(path for path in root.rglob("*") if path.is_file())
    facts = [(str(path.relative_to(root)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    key = sha256_value([str(root), facts])[:32]
    return str(Path(datasets.config.HF_DATASETS_CACHE) / "medbench" / key)
