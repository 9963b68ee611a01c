"""The answer store: what it has been given it keeps, whatever is killed, and damaged entries are dropped."""

import contextlib
import logging
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from harness.answers.answer_store import AnswerStore, StoreInfo
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


@pytest.mark.parametrize(
    "change",
    [
        "PRAGMA user_version=99",
        "DROP TABLE answers",
        "ALTER TABLE answers RENAME COLUMN used TO unused",
        "ALTER TABLE answers ADD COLUMN more",
        "CREATE TRIGGER more AFTER INSERT ON answers BEGIN DELETE FROM answers; END",
    ],
)
def test_a_store_of_another_version_or_schema_is_set_aside(path, change):
    store = AnswerStore(path, 10**9)
    store.put(b"key", b"value")
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(change)
        connection.commit()
    store = AnswerStore(path, 10**9)
    assert [aside.name for aside in store.set_aside] == ["answers.sqlite.damaged-1"]
    assert store.get([b"key"]) == {}
    store.put(b"key", b"value")
    assert store.get([b"key"]) == {b"key": b"value"}


@pytest.mark.parametrize("used", ["NULL", "'abc'", "x'ff'", "CAST(x'ff' AS TEXT)", "1.5", "-1", "9e18", "1 << 62"])
def test_an_impossible_time_of_use_is_corrected(path, used):
    now = 1_000_000
    store = AnswerStore(path, 10**9, clock=lambda: now)
    store.put(b"key", b"value")
    store.put(b"other", b"value")
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"UPDATE answers SET used = {used} WHERE key = CAST('key' AS BLOB)")
        connection.commit()
    store = AnswerStore(path, 10**9, clock=lambda: now)
    assert store.info().oldest_use == (1 if used == "1.5" else now)
    assert store.get([b"key"]) == {b"key": b"value"}
    assert store.info() == StoreInfo(2, store.info().size, 10**9, now)


@pytest.mark.parametrize("column", ["checksum", "value"])
@pytest.mark.parametrize("damage", ["NULL", "1", "CAST(x'ff' AS TEXT)", "'value'", "x''"])
def test_a_damaged_entry_is_dropped(path, column, damage):
    store = AnswerStore(path, 10**9)
    store.put(b"key", b"value")
    store.put(b"other", b"value")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"UPDATE answers SET {column} = {damage} WHERE key = CAST('key' AS BLOB)")
        connection.commit()
    is_same = (column, damage) == ("value", "'value'")
    assert store.get([b"key", b"other"]).keys() == {b"other", *([b"key"] if is_same else [])}
    assert store.info().entries == 1 + is_same
    assert store.set_aside == []


def test_any_flipped_bit_costs_answers_at_most(path):
    """Of the header, of the schema's text, and of some other places: all of them would take minutes."""
    values = {key: key * 10 for key in keys("some", 30)}
    store = AnswerStore(path, 10**9)
    for key, value in values.items():
        store.put(key, value)
    store.close()
    whole = path.read_bytes()
    schema = whole.index(b"CREATE TABLE") * 8
    bits = [*range(0, 100 * 8, 11), *range(schema, schema + 800, 31), *range(0, len(whole) * 8, 1777)]
    n_lost = 0
    for bit in bits:
        for file in path.parent.iterdir():
            file.unlink()
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        store = AnswerStore(path, 10**9)
        intact = store.get(list(values))
        assert intact == {key: values[key] for key in intact}, bit
        n_lost += len(intact) < len(values)
        for _ in range(4):  # a file may turn out to be damaged, and be set aside, only by writing to it
            for key in values.keys() - store.get(list(values)).keys():
                store.put(key, values[key])
        assert store.get(list(values)) == values, bit
        assert store.info().entries >= len(values), bit
        store.clear()
        store.close()
    assert 10 < n_lost < len(bits)
