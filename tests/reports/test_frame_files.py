"""No cell of a CSV file is a formula to a spreadsheet, and reading it back gives the text."""

import csv
import json
import shutil

import pytest

from reports.convert import convert
from reports.document.checksums import write_facts
from reports.frame_files import as_text, from_text

FORMULAS = ["=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "''@x", "\uff1d1+1"]


@pytest.mark.parametrize("text", [*FORMULAS, "plain", "'quoted'", "", "5 = 5"])
def test_a_cell_is_text_and_comes_back(text):
    assert not as_text(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))
    assert from_text(as_text(text)) == text


def test_numbers_stay_numbers():
    assert as_text(-0.5) == -0.5
    assert as_text(None) is None


@pytest.mark.parametrize("formula", FORMULAS)
def test_answers_in_a_table_are_no_formulas(tiny_run, tmp_path, formula):
    run = shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("*.safetensors", "*.html"))
    path = run / "samples" / "adapter" / "medbench_generation.jsonl"
    first, _, rest = path.read_text().partition("\n")
    path.write_text(json.dumps(json.loads(first) | {"output": formula}) + "\n" + rest)
    write_facts(path)
    _, samples = convert(run, "csv", tmp_path / "csv")
    with samples.open(newline="") as stream:
        cells = [row["output"] for row in csv.DictReader(stream)]
    assert formula in map(from_text, cells)
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d")) for cell in cells)
