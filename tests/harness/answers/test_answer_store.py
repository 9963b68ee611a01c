"""The answer store: what it has been given it keeps, whatever is killed, and damaged entries are dropped."""

import logging
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from harness.answers.answer_store import AnswerStore
from reports.errors import MachineError

WRITER = """
import sys
from pathlib import Path
from harness.answers.answer_store import AnswerStore
store = AnswerStore(Path(sys.argv[1]), 10**9)
name = sys.argv[2]
for number in range(int(sys.argv[3])):
    store.put(f"{name} {number}".encode(), f"value of {name} {number}".encode())
    print(number, flush=True)
"""


def keys(name, count):
    return [f"{name} {number}".encode() for number in range(count)]


def fill(store, keys):
    for key in keys:
        store.put(key, bytes(1000))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers" / "answers.sqlite"


def test_two_processes_write_at_once_one_is_killed_and_nothing_is_lost(path, tmp_path):
    logs = [tmp_path / name for name in ("stays", "killed")]
    writers = []
    for log in logs:
        with log.open("w") as out:
            command = [sys.executable, "-c", WRITER, str(path), log.name, "10000"]
            writers.append(subprocess.Popen(command, stdout=out))
    ends = time.monotonic() + 60
    while logs[1].stat().st_size < 20_000 and time.monotonic() < ends:
        time.sleep(0.01)
    writers[1].send_signal(signal.SIGKILL)
    assert [writer.wait() for writer in writers] == [0, -signal.SIGKILL]
    committed = logs[1].read_text().rpartition("\n")[0].count("\n") + 1
    assert 4000 < committed < 10_000
    store = AnswerStore(path, 10**9)
    for name, count in (("stays", 10_000), ("killed", committed)):
        assert store.get(keys(name, count)) == {key: b"value of " + key for key in keys(name, count)}
    assert store.info().entries in (10_000 + committed, 10_001 + committed)  # one may be in before it is said
    assert set(store.puts().values()) == {1}


def test_a_flipped_byte_costs_its_entry_and_is_logged(path, caplog):
    store = AnswerStore(path, 10**9)
    for key in keys("some", 50):
        store.put(key, b"value of " + key)
    store.close()
    data = bytearray(path.read_bytes())
    place = data.index(b"value of some 17")
    data[place + 3] ^= 1
    path.write_bytes(data)
    store = AnswerStore(path, 10**9)
    with caplog.at_level(logging.WARNING):
        found = store.get(keys("some", 50))
    assert set(keys("some", 50)) - set(found) == {b"some 17"}
    assert "is damaged; it is dropped and its request repeated" in caplog.text
    store.put(b"some 17", b"value of some 17")
    assert len(store.get(keys("some", 50))) == 50


@pytest.mark.parametrize("damage", ["header", "pages"])
def test_a_file_that_sqlite_calls_damaged_is_set_aside_and_a_new_one_begun(path, damage):
    store = AnswerStore(path, 10**9)
    for key in keys("some", 2000):
        store.put(key, b"value of " + key)
    store.close()
    data = bytearray(path.read_bytes())
    start = 0 if damage == "header" else 4096
    data[start:-1] = b"\x5a" * (len(data) - 1 - start)
    path.write_bytes(data)
    store = AnswerStore(path, 10**9)
    assert store.get(keys("some", 5)) == {}
    store.put(b"new", b"value")
    assert [each.name for each in store.set_aside] == ["answers.sqlite.damaged-1"]
    assert store.get([b"new"]) == {b"new": b"value"}
    store.clear()
    assert sorted(each.name for each in path.parent.glob("*damaged*")) == []


def test_the_least_recently_used_entries_are_dropped_first(path):
    now = 1_000_000.0
    store = AnswerStore(path, 200_000, clock=lambda: now)
    fill(store, keys("old", 100) + keys("used", 100))
    now += 7200
    assert len(store.get(keys("used", 100))) == 100
    fill(store, keys("new", 100))
    store.close()
    store = AnswerStore(path, 200_000)
    assert store.info().size <= 200_000
    assert len(store.get(keys("new", 100) + keys("used", 100))) > 100
    assert len(store.get(keys("old", 100))) == 0


def test_a_full_disk_is_one_message_and_what_was_put_stays(path):
    connections = []

    def connect(*args, **settings):
        connections.append(sqlite3.connect(*args, **settings))
        connections[-1].execute("PRAGMA max_page_count=60")  # SQLite then says what it says of a full disk
        return connections[-1]

    store = AnswerStore(path, 10**9, connect=connect)
    with pytest.raises(MachineError, match="the disk is full"):
        fill(store, keys("some", 1000))
    kept = len(store.get(keys("some", 1000)))
    assert kept > 100
    (connection,) = connections
    connection.execute("PRAGMA max_page_count=100000")
    store.put(b"more", b"value")
    assert store.info().entries == kept + 1


def test_a_store_of_another_version_is_refused(path):
    AnswerStore(path, 10**9).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(MachineError, match="another version"):
        AnswerStore(path, 10**9)
