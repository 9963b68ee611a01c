"""The page on which people rate shows what steers a browser or a terminal, as the report does."""

import csv
import io
from random import Random

import pytest

from reports.document.schema import Sample
from reports.errors import UserError
from reports.rating_sheet import ASPECTS, make_sheet, read_sheet

TEXTS = {"prompt": "p", "output": "o", "gold": "g"}


def test_control_characters_of_answers_are_visible_on_the_page(tmp_path):
    texts = {"prompt": "p\x00", "output": "o\x1b[31m<b>\ud83d", "gold": "g"}
    sample = Sample(id="1", doc_hash="1", model="base", task="t", metrics={}, **texts)
    make_sheet({"base": {"1": sample}}, ["1"], "t", tmp_path)
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert "p\u2400" in page
    assert "o\u241b[31m&lt;b&gt;\ufffd" in page


def test_the_order_of_a_sheet_is_random(tmp_path):
    samples = {
        name: {str(n): Sample(id=str(n), doc_hash="1", model=name, task="t", metrics={}, **TEXTS) for n in range(4)}
        for name in ("one", "two")
    }
    random, orders = Random(5), []
    for _ in range(2):
        codes = make_sheet(samples, ["0", "1", "2", "3"], "t", tmp_path, random).codes
        assert list(codes) == sorted(codes)
        orders.append(" ".join(entry.model + entry.item for entry in codes.values()))
    assert orders == ["one3 two0 two3 two1 one2 one1 one0 two2", "one1 one3 two3 one2 two0 two1 one0 two2"]
    assert len(make_sheet(samples, ["0"], "t", tmp_path).codes) == 2  # the system's own random numbers


@pytest.fixture
def sheet(tmp_path):
    """A sheet of one long answer: (its key, a function that writes a filled copy and reads it back)."""
    sample = Sample(
        id="1", doc_hash="1", model="base", task="t", metrics={}, prompt="p", output="x" * 150_000, gold="g"
    )
    key = make_sheet({"base": {"1": sample}}, ["1"], "t", tmp_path)
    csv.field_size_limit(1_000_000)
    rows = list(csv.reader(io.StringIO((tmp_path / "sheet.csv").read_text(encoding="utf-8"), newline="")))
    csv.field_size_limit(131_072)

    def read(change=lambda rows: rows):
        filled = [rows[0], [*rows[1][:3], *["4"] * len(ASPECTS), ""]]
        with (tmp_path / "ann.csv").open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows(change(filled))
        return read_sheet(tmp_path / "ann.csv", key)

    return read


def test_a_sheet_with_a_long_answer_and_blank_rows_is_read_back(sheet):
    (rating,) = sheet(lambda rows: [*rows, [""] * len(rows[0]), []])
    assert rating.marks == dict.fromkeys(ASPECTS, 4)


def test_a_column_that_is_there_twice_is_an_error(sheet):
    with pytest.raises(UserError, match="the column 'fluency' is there twice"):
        sheet(lambda rows: [[*rows[0], "fluency"], [*rows[1], "1"]])
