"""The answer store: one SQLite file shared by all runs of this user, whose entries carry checksums.

Every entry is a transaction of its own in write-ahead mode: a killed process loses none that it has put, and any number
of processes may read and write at once. A damaged entry is dropped and its request repeated. A file that SQLite itself
calls damaged is set aside and a new one started.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from reports.errors import MachineError

_log = logging.getLogger("medbench.answers")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY, value BLOB NOT NULL, checksum BLOB NOT NULL, used INTEGER NOT NULL, puts INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS answers_used ON answers (used);
"""
_VERSION = 1
_PATIENCE = 120.0  # seconds to wait for another process that locks the file
_SYNC_SECONDS = 1.0  # an entry is synchronised to the disk itself after at most about so long
_CHUNK = 400  # keys of one query
_TOUCH_SECONDS = 3600  # resolution of an entry's last use
_PUTS_BETWEEN_CHECKS = 4096
_KEPT_SHARE = 0.9  # of the limit remains when entries are dropped
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@dataclass(frozen=True)
class StoreInfo:
    """Size of the store.

    Attributes:
        entries: Number of answers.
        size: Bytes in use.
        limit: Bytes that it may use.
        oldest_use: Last use of the least recently used entry, in seconds since the epoch; None if there are none.
    """

    entries: int
    size: int
    limit: int
    oldest_use: int | None


class AnswerStore:
    """Values by key.

    Args:
        path: The file; its folder is made.
        limit: Bytes; beyond them the least recently used entries are dropped.
        clock: Seconds since the epoch.
        connect: Opens the file.

    Raises:
        MachineError: In every method, if the disk is full, or the file cannot be opened, read or written.
    """

    def __init__(
        self,
        path: Path,
        limit: int,
        clock: Callable[[], float] = time.time,
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
    ) -> None:
        self.path = path
        self.limit = limit
        self.set_aside: list[Path] = []  # damaged files that this process moved away
        self._clock, self._new_connection = clock, connect
        self._lock = FileLock(path.with_suffix(".lock"))
        self._synced = 0.0
        self._puts = 0
        self._open()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of the keys that are in the store, undamaged."""
        intact: dict[bytes, bytes] = {}
        now = int(self._clock())
        for start in range(0, len(keys), _CHUNK):
            chunk = list(keys[start : start + _CHUNK])
            marks = ",".join("?" * len(chunk))
            rows = self._do(f"SELECT key, value, checksum, used FROM answers WHERE key IN ({marks})", chunk)  # noqa: S608 - question marks
            stale = []
            for key, value, checksum, used in rows:
                if _is_whole(key, value, checksum):
                    intact[key] = value
                    if used < now - _TOUCH_SECONDS:
                        stale.append(key)
                else:
                    _log.warning(
                        "%s: the entry %s is damaged; it is dropped and its request repeated", self.path, _hex(key)
                    )
                    self._do("DELETE FROM answers WHERE key = ?", [key])
            if stale:
                marks = ",".join("?" * len(stale))
                self._do(f"UPDATE answers SET used = ? WHERE key IN ({marks})", [now, *stale])  # noqa: S608 - as above
        return intact

    def put(self, key: bytes, value: bytes) -> None:
        """Store a value: when this returns, every process can read it, and it survives a kill of this one."""
        now = time.monotonic()
        if now - self._synced > _SYNC_SECONDS:
            self._do("PRAGMA synchronous=FULL", [])
            self._synced = now
        else:
            self._do("PRAGMA synchronous=NORMAL", [])
        self._do(
            "INSERT INTO answers VALUES (?, ?, ?, ?, 1) ON CONFLICT (key) DO UPDATE SET"
            " value = excluded.value, checksum = excluded.checksum, used = excluded.used, puts = puts + 1",
            [key, value, _checksum(key, value), int(self._clock())],
        )
        self._puts += 1
        if self._puts % _PUTS_BETWEEN_CHECKS == 0:
            self.keep_to_limit()

    def info(self) -> StoreInfo:
        """Current size."""
        ((entries, oldest),) = self._do("SELECT COUNT(*), MIN(used) FROM answers", [])
        return StoreInfo(entries, self._size(), self.limit, oldest)

    def puts(self) -> dict[bytes, int]:
        """Number of times that each entry was put: 2 if its request was answered twice."""
        return dict(self._do("SELECT key, puts FROM answers", []))

    def keep_to_limit(self) -> None:
        """Drop the least recently used entries beyond the limit."""
        size = self._size()
        if size <= self.limit:
            return
        ((entries,),) = self._do("SELECT COUNT(*) FROM answers", [])
        wanted = math.ceil(entries * (1 - _KEPT_SHARE * self.limit / size))
        self._do("DELETE FROM answers WHERE key IN (SELECT key FROM answers ORDER BY used, key LIMIT ?)", [wanted])
        self._do("PRAGMA incremental_vacuum", [])
        _log.info("%s: %d of %d entries dropped to keep to %d bytes", self.path, wanted, entries, self.limit)

    def clear(self) -> int:
        """Drop all entries and the damaged files; returns the number of entries."""
        entries = self.info().entries
        self._do("DELETE FROM answers", [])
        self._do("PRAGMA incremental_vacuum", [])
        self._do("PRAGMA wal_checkpoint(TRUNCATE)", [])
        for path in self.path.parent.glob(f"{self.path.name}.damaged-*"):
            path.unlink(missing_ok=True)
        return entries

    def close(self) -> None:
        """Apply the limit and close the file."""
        try:
            self.keep_to_limit()
        finally:
            self._connection.close()

    def _size(self) -> int:
        pages, free, page = (
            self._do(f"PRAGMA {name}", [])[0][0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * page)

    def _open(self) -> None:
        with self._machine_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock:  # one process at a time creates the file and switches to write-ahead mode
                try:
                    self._connect()
                except sqlite3.DatabaseError as error:
                    if not _is_damage(error):
                        raise
                    self._set_aside()
                    self._connect()

    def _connect(self) -> None:
        self._connection = self._new_connection(self.path, timeout=_PATIENCE, isolation_level=None)
        self._inode = self.path.stat().st_ino
        ((version,),) = self._connection.execute("PRAGMA user_version").fetchall()
        if version not in (0, _VERSION):
            raise MachineError(
                "the answer store was written by another version of medbench",
                where=str(self.path),
                fix="remove it, or set MEDBENCH_HOME to another folder",
            )
        self._connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.executescript(_SCHEMA)
        self._connection.execute(f"PRAGMA user_version={_VERSION}")

    def _do(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """Run a statement; if the file turns out to be damaged, on a new one."""
        with self._machine_errors():
            try:
                return self._connection.execute(statement, values).fetchall()
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
            with self._lock:
                self._connection.close()
                if self.path.exists() and self.path.stat().st_ino == self._inode:  # else another process was quicker
                    self._set_aside()
                self._connect()
            return self._connection.execute(statement, values).fetchall()

    def _set_aside(self) -> None:
        self._connection.close()
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        for suffix in ("-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        self.path.replace(aside)
        self.set_aside.append(aside)
        _log.warning("%s is damaged; it was set aside as %s and a new one started", self.path, aside.name)

    @contextlib.contextmanager
    def _machine_errors(self) -> Iterator[None]:
        """Turn errors of SQLite and the system into a MachineError."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
            what = "the disk is full" if full else str(getattr(error, "strerror", None) or error)
            raise MachineError(
                f"the answer store cannot be used: {what}",
                where=str(self.path),
                fix="free some disk space or check the rights; MEDBENCH_CACHE_GB=0 runs without the store. What is done"
                " is kept, and the same command goes on",
            ) from error


def _is_damage(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def _checksum(key: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(key + value, digest_size=8).digest()


def _is_whole(key: Any, value: Any, checksum: Any) -> bool:
    return isinstance(key, bytes) and isinstance(value, bytes) and _checksum(key, value) == checksum


def _hex(key: Any) -> str:
    return key.hex() if isinstance(key, bytes) else os.fsdecode(repr(key))
