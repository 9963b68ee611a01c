"""Reports and README blocks: hostile text shows as text, markers are respected, errors name their line."""

import json
import shutil

import pytest

from reports.errors import UserError
from reports.files import write_text
from reports.readme import update
from reports.render import read_results, render

HOSTILE = "<script>alert(1)</script> **bold** | \x1b[31m \u202egnol\u202c \U0001f600 " + "x" * 100_000


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


def test_hostile_answers_show_as_text(run):
    path = run / "samples" / "base" / "medbench_generation.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0] |= {"output": HOSTILE, "id": '"><img src=x>'}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    html = render(run)[1].read_text(encoding="utf-8")
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; **bold**" in html
    assert len(html) < 400_000


def test_the_report_says_what_it_must(run):
    for path in render(run):
        text = path.read_text(encoding="utf-8")
        assert "Not medical advice" in text
        assert "synthetic" in text
        assert read_results(run).verdict[0].split(" (")[0] in text
        assert read_results(run).models[0].sha256[:16] in text


def test_the_page_loads_nothing_from_anywhere(run):
    html = render(run)[1].read_text(encoding="utf-8")
    assert "http://" not in html
    assert "https://" not in html
    assert "default-src 'none'" in html


def test_results_of_a_later_schema_or_broken_ones_are_refused(run):
    value = json.loads((run / "results.json").read_text())
    for change, message in (
        ({"schema_version": "2.0"}, "schema version is 2.0"),
        ({"scores": 3}, "not a results document: scores"),
        ({"surprise": 1}, "not a results document: surprise"),
    ):
        (run / "results.json").write_text(json.dumps(value | change))
        with pytest.raises(UserError, match=message):
            read_results(run)


def test_a_block_is_rewritten_and_nothing_else(run):
    file = run / "README.md"
    before = "# A\r\n\r\n```\r\n<!-- medbench:results nowhere -->\r\n```\r\n<!-- medbench:results . -->\r\n"
    file.write_bytes(f"{before}TBD\r\n<!-- medbench:end -->\r\nlast line without end".encode())
    assert update(file)
    text = file.read_bytes().decode()
    assert text.startswith(before)
    assert text.endswith("<!-- medbench:end -->\r\nlast line without end")
    assert "TBD" not in text
    assert "\n" not in text.replace("\r\n", "")
    assert update(file) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing\n", "there is no block to write"),
        ("<!-- medbench:results . -->\n", "line 1: the block has no end marker"),
        ("a\n<!-- medbench:end -->\n", "line 2: an end marker without a start"),
        ("<!-- medbench:results . -->\n<!-- medbench:results . -->\n", "line 2: a block starts inside"),
        ("<!-- medbench:result . -->\n<!-- medbench:end -->\n", "line 1: there is no block 'result'"),
        ("<!-- medbench:results -->\n<!-- medbench:end -->\n", "line 1: the block names no run"),
        ("<!-- medbench:results gone -->\n<!-- medbench:end -->\n", "line 1: the block's run is missing: gone"),
    ],
)
def test_broken_markers_are_refused_and_the_file_is_left_alone(run, text, message):
    file = run / "README.md"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        update(file)
    assert file.read_text() == text


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match="No space left"):
        write_text(path, "new")
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"
