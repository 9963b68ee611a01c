"""The answer store: one SQLite file shared by all runs of this user, whose entries carry checksums.

Every entry is a transaction of its own in write-ahead mode: a killed process loses none that it has put, and any number
of processes may read and write at once. A damaged entry is dropped and its request repeated. A file that SQLite cannot
work with, or whose version or schema is another, is set aside and a new one started.
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
_SCHEMA = "CREATE TABLE answers (key BLOB PRIMARY KEY, used INTEGER, puts INTEGER, checksum BLOB, value BLOB)"
_VERSION = 2
_PATIENCE = 120.0  # seconds to wait for another process that locks the file
_SYNC_SECONDS = 1.0  # an entry is synchronised to the disk itself after at most about so long
_CHUNK = 400  # keys of one query
_TOUCH_SECONDS = 3600  # resolution of an entry's last use
_PUTS_BETWEEN_CHECKS = 4096
_KEPT_SHARE = 0.9  # of the limit remains when entries are dropped
_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)  # the latter where SQLite's message quotes damaged text
_MACHINE = (  # error codes that are not the file's fault
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
)


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
            chunk = set(keys[start : start + _CHUNK])
            marks = ",".join("?" * len(chunk))
            rows = self._do(f"SELECT rowid, key, value, checksum, used FROM answers WHERE key IN ({marks})", [*chunk])  # noqa: S608 - question marks
            stale = []
            for row, key, value, checksum, used in rows:
                if key in chunk and isinstance(value, bytes) and _checksum(key, value) == checksum:
                    intact[key] = value
                    if not (isinstance(used, int) and now - _TOUCH_SECONDS <= used <= now):
                        stale.append(key)
                else:
                    _log.warning("%s: the entry %r is damaged; it is dropped and its request repeated", self.path, key)
                    self._do("DELETE FROM answers WHERE rowid = ?", [row])
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
            "INSERT INTO answers VALUES (?, ?, 1, ?, ?) ON CONFLICT (key) DO UPDATE SET"
            " used = excluded.used, puts = puts + 1, checksum = excluded.checksum, value = excluded.value",
            [key, int(self._clock()), _checksum(key, value), value],
        )
        self._puts += 1
        if self._puts % _PUTS_BETWEEN_CHECKS == 0:
            self.keep_to_limit()

    def info(self) -> StoreInfo:
        """Current size."""
        oldest_use = "MIN(CASE WHEN used BETWEEN 0 AND ? THEN CAST(used AS INTEGER) END)"
        ((entries, oldest),) = self._do(f"SELECT COUNT(*), {oldest_use} FROM answers", [self._clock()])  # noqa: S608
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
        oldest = "SELECT key FROM answers ORDER BY used BETWEEN 0 AND ?, used, key LIMIT ?"  # impossible times first
        self._do(f"DELETE FROM answers WHERE key IN ({oldest})", [self._clock(), wanted])  # noqa: S608 - as above
        self._do("PRAGMA incremental_vacuum", [])
        _log.info("%s: %d of %d entries dropped to keep to %d bytes", self.path, wanted, entries, self.limit)

    def clear(self) -> int:
        """Drop all entries and the damaged files; returns the number of entries."""
        entries = self.info().entries
        self._do("DELETE FROM answers", [])
        self._do("PRAGMA incremental_vacuum", [])
        self._do("PRAGMA wal_checkpoint(TRUNCATE)", [])
        for path in self.damaged_files():
            path.unlink(missing_ok=True)
        self.set_aside.clear()
        return entries

    def damaged_files(self) -> list[Path]:
        """The files that this and other processes set aside."""
        return sorted(self.path.parent.glob(f"{self.path.name}.damaged-*"))

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
                except _ERRORS as error:
                    if not self._is_damage(error):
                        raise
                    self._set_aside()
                    self._connect()

    def _connect(self) -> None:
        self._connection = self._new_connection(self.path, timeout=_PATIENCE, isolation_level=None)
        self._inode = self.path.stat().st_ino
        self._connection.text_factory = bytes  # damaged text need not be UTF-8
        ((version,),) = self._connection.execute("PRAGMA user_version").fetchall()
        schema = [sql for (sql,) in self._connection.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL")]
        self._connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        self._connection.execute("PRAGMA journal_mode=WAL")
        if not (version or schema):
            self._connection.executescript(f"BEGIN; {_SCHEMA}; PRAGMA user_version={_VERSION}; COMMIT")
        elif (version, schema) != (_VERSION, [_SCHEMA.encode()]):
            raise sqlite3.DatabaseError("it has another version or schema")

    def _do(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """Run a statement; if the file turns out to be damaged, on a new one."""
        with self._machine_errors():
            try:
                return self._connection.execute(statement, values).fetchall()
            except _ERRORS as error:
                if not self._is_damage(error):
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
        _log.warning(
            "%s is damaged or of another version; it was set aside as %s and a new one started", self.path, aside.name
        )

    def _is_damage(self, error: Exception) -> bool:
        """Whether the file is at fault: not the disk, another process, or the rights."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_NOTADB) & 0xFF
        if code == sqlite3.SQLITE_READONLY:  # also by the file's own header
            return os.access(self.path, os.W_OK)
        return code not in _MACHINE and not isinstance(error, sqlite3.ProgrammingError)

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


def _checksum(key: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(key + value, digest_size=8).digest()
