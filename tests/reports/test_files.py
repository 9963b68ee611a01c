"""JSON from strangers is bounded, and what is broken is named by its line; what is written is whole or absent."""

import json
import os

import pytest

from reports.errors import UserError
from reports.files import ListHash, WholeFile, read_json, read_jsonl, sha256_value, write_text


def nested(levels):
    return "[" * levels + "]" * levels


@pytest.mark.parametrize("levels", [65, 900, 100_000])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_deep_nesting_is_refused(tmp_path, name, levels):
    path = tmp_path / name
    path.write_text(nested(levels))
    with pytest.raises(UserError, match="nested too deeply"):
        list(read_jsonl(path)) if name.endswith("l") else read_json(path)


def test_what_is_wide_and_flat_is_read(tmp_path):
    value = {"a": [[1], {"b": [2]}] * 1000, "text": nested(500)}
    (tmp_path / "a.json").write_text("\ufeff" + json.dumps(value), encoding="utf-8")
    assert read_json(tmp_path / "a.json") == value


def test_broken_utf8_is_named_by_its_line(tmp_path):
    (tmp_path / "a.json").write_bytes(b'[\n1,\n"\xff"]')
    with pytest.raises(UserError, match="line 3: not UTF-8"):
        read_json(tmp_path / "a.json")


def test_lines_and_files_without_end_are_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text("{}\n" + '"' + "x" * 2000 + '"\n')
    with pytest.raises(UserError, match="line 2: the line is longer"):
        list(read_jsonl(tmp_path / "a.jsonl", 1000))
    with pytest.raises(UserError, match="the file is larger"):
        read_json(tmp_path / "a.jsonl", 1000)


def test_a_file_written_bit_by_bit_is_there_once_it_is_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    file = WholeFile(path)
    file.write(["one\n", "two\n"])
    assert not path.exists()
    file.write(["three\n"])
    file.put()
    file.close()
    assert path.read_text() == "one\ntwo\nthree\n"
    other = WholeFile(path)
    other.write(["half"])
    other.close()
    assert path.read_text() == "one\ntwo\nthree\n"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("values", [[], [["1", "a"]], [["1", "a\u00e4\n"], {"b": 1, "a": [0.1, None]}, 3]])
def test_a_list_has_the_same_hash_entry_by_entry(values):
    found = ListHash()
    for value in values:
        found.add(value)
    assert found.hexdigest() == sha256_value(values)


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_rights_that_the_umask_allows_and_an_old_one_keeps_its_own(tmp_path, mask, mode):
    path = tmp_path / "a.txt"
    before = os.umask(mask)
    try:
        write_text(path, "new")
        assert path.stat().st_mode & 0o777 == mode
        path.chmod(0o640)
        write_text(path, "newer")
        assert path.stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


@pytest.mark.timeout(20)
def test_a_named_pipe_is_rejected_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    for read in (read_json, lambda path: list(read_jsonl(path))):
        with pytest.raises(UserError, match="not a regular file"):
            read(tmp_path / "pipe.json")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, full_disk):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with full_disk("a.txt"), pytest.raises(UserError, match="No space left"):
        write_text(path, "new")
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"
