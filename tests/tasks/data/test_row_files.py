"""The same three rows in every layout of files that people bring, and what is said of files that cannot be read."""

import gzip
import json
import lzma
from typing import Any

import pandas as pd
import pytest

from reports.errors import UserError
from tasks.data import DataSource, load_pubmedqa, load_reasoning
from tasks.data.selection import official_test_ids, read_ids

COLUMNS = ("Question", "Complex_CoT", "Response")
TABLE = [
    ("Why, after a marathon?", 'The "usual" cause; then\nthe rare one, first | last.', 'Sodium, mostly; "rest" helps.'),
    ("Où est la lésion?", "Left\tor right; both, perhaps.", "À gauche."),
    ("Why not?", "Because.", "So, wait;\nthen treat."),
]
ROWS = [dict(zip(COLUMNS, row, strict=True)) for row in TABLE]
FRAME = pd.DataFrame(ROWS)
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def text(name, content, encoding="utf-8"):
    """Writes one file."""
    return lambda folder: (folder / name).write_text(content, encoding=encoding)


def packed(name, compress, content=LINES):
    return lambda folder: (folder / name).write_bytes(compress(content.encode()))


def csv(name, **how):
    return lambda folder: FRAME.to_csv(folder / name, index=False, **how)


def frame_json(name, **how):
    return lambda folder: FRAME.to_json(folder / name, **how)


def shards(folder, names=("train-00000-of-00002.parquet", "train-00001-of-00002.parquet")):
    for name, part in zip(names, (FRAME[:2], FRAME[2:]), strict=True):
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part.to_parquet(path)


def splits(folder):
    shards(folder)
    FRAME[:1].to_parquet(folder / "data" / "test-00000-of-00001.parquet")
    (folder / "data" / "README.md").write_text("About the rows.")


def folders(folder):
    for name, row in zip(("a", "b", "c"), ROWS, strict=True):
        (folder / "rows" / name).mkdir(parents=True)
        (folder / "rows" / name / "part.jsonl").write_text(json.dumps(row))
    (folder / "rows" / ".cache").mkdir()
    (folder / "rows" / ".cache" / "old.csv").write_text("x")


def saved(folder):
    import datasets

    datasets.Dataset.from_list(ROWS).save_to_disk(folder / "saved", num_shards=2)


def saved_splits(folder):
    import datasets

    parts = {"train": datasets.Dataset.from_list(ROWS), "validation": datasets.Dataset.from_list(ROWS[:1])}
    datasets.DatasetDict(parts).save_to_disk(folder / "saved")


def arrow(folder):
    saved(folder)
    (folder / "saved" / "state.json").unlink()
    (folder / "saved" / "dataset_info.json").unlink()


def feather(folder):
    FRAME.to_feather(folder / "rows.arrow", compression="uncompressed")


def clone(folder):
    """A copy of a data set of the hub, whose README names its configurations."""
    configs = "- config_name: fr\n  data_files: fr.json\n- config_name: en\n  data_files: en/*.jsonl\n"
    (folder / "clone" / "en").mkdir(parents=True)
    (folder / "clone" / "README.md").write_text(f"---\nconfigs:\n{configs}---\n# Rows\n")
    (folder / "clone" / "fr.json").write_text(json.dumps(ROWS[:1]))
    (folder / "clone" / "en" / "rows.jsonl").write_text(LINES)


LAYOUTS: dict[str, Any] = {
    "JSON Lines, suffix in capitals": (text("Rows.JSONL", LINES), {"source": "Rows.JSONL"}),
    "JSON Lines, gzip": (packed("rows.jsonl.gz", gzip.compress), {"source": "rows.jsonl.gz"}),
    "JSON Lines, gzip, without its suffix": (packed("rows.jsonl", gzip.compress), {"source": "rows.jsonl"}),
    "JSON Lines, xz": (packed("rows.ndjson.xz", lzma.compress), {"source": "rows.ndjson.xz"}),
    "JSON Lines in .json": (text("rows.json", LINES), {"source": "rows.json"}),
    "JSON Lines with a byte order mark": (text("rows.jsonl", LINES, "utf-8-sig"), {"source": "rows.jsonl"}),
    "a list in .jsonl": (text("rows.jsonl", json.dumps(ROWS, indent=1)), {"source": "rows.jsonl"}),
    "objects on several lines": (
        text("rows.json", "\n\n".join(json.dumps(row, indent=2) for row in ROWS)),
        {"source": "rows.json"},
    ),
    "a list under a key": (
        text("rows.json", json.dumps({"id": "rows", "tags": ["a"], "data": ROWS})),
        {"source": "rows.json"},
    ),
    "a list under two keys": (text("rows.json", json.dumps({"set": {"train": ROWS}})), {"source": "rows.json"}),
    "a list for each split": (
        text("rows.json", json.dumps({"train": ROWS[:1], "val": ROWS, "test": ROWS[1:]})),
        {"source": "rows.json", "split": "validation"},
    ),
    "an object of rows by id": (
        text("rows.json", json.dumps(dict(zip("abc", ROWS, strict=True)))),
        {"source": "rows.json"},
    ),
    "pandas: columns": (frame_json("rows.json"), {"source": "rows.json"}),
    "pandas: columns with an index": (
        lambda folder: FRAME.set_axis(["x", "y", "z"]).to_json(folder / "rows.json"),
        {"source": "rows.json"},
    ),
    "pandas: split": (frame_json("rows.json", orient="split"), {"source": "rows.json"}),
    "pandas: table": (frame_json("rows.json", orient="table"), {"source": "rows.json"}),
    "pandas: records, gzip": (frame_json("rows.json.gz", orient="records"), {"source": "rows.json.gz"}),
    "lists by column": (text("rows.json", json.dumps(FRAME.to_dict("list"))), {"source": "rows.json"}),
    "CSV, gzip": (csv("rows.csv.gz"), {"source": "rows.csv.gz"}),
    "CSV, semicolons, as Excel writes it": (
        csv("rows.CSV", sep=";", encoding="utf-8-sig", lineterminator="\r\n"),
        {"source": "rows.CSV"},
    ),
    "CSV, pipes": (csv("rows.csv", sep="|"), {"source": "rows.csv"}),
    "CSV, tabs": (csv("rows.csv", sep="\t"), {"source": "rows.csv"}),
    "CSV, everything quoted": (csv("rows.csv", quoting=1), {"source": "rows.csv"}),
    "CSV, the delimiter in its first line": (
        lambda folder: (folder / "rows.csv").write_text("sep=;\n" + FRAME.to_csv(sep=";", index=False)),
        {"source": "rows.csv"},
    ),
    "CSV, empty rows at the end": (
        text("rows.csv", FRAME.to_csv(index=False) + ",,\n\n , ,\n"),
        {"source": "rows.csv"},
    ),
    "TSV": (csv("rows.tsv", sep="\t"), {"source": "rows.tsv"}),
    "a folder of shards": (shards, {"source": "data"}),
    "a glob": (shards, {"source": "data/*.parquet"}),
    "the files of a split": (splits, {"source": "data", "split": "train"}),
    "a glob of one split": (splits, {"source": "data/train-*"}),
    "a list, in any order": (
        shards,
        {"source": ["data/train-00001-of-00002.parquet", "data/train-00000-of-00002.parquet"]},
    ),
    "folders in a folder": (folders, {"source": "rows"}),
    "save_to_disk": (saved, {"source": "saved"}),
    "save_to_disk, splits": (saved_splits, {"source": "saved", "split": "train"}),
    "Arrow streams": (arrow, {"source": "saved"}),
    "an Arrow file": (feather, {"source": "rows.arrow"}),
    "a copy of a hub data set": (clone, {"source": "clone", "config": "en"}),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, to which sources are relative."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_are_read_from_every_layout(here, layout):
    write, source = LAYOUTS[layout]
    write(here)
    rows = load_reasoning(DataSource(**source), seed=0)
    assert [(row.question, row.reasoning, row.response) for row in rows] == TABLE


def test_a_single_row_is_not_taken_for_a_list_in_it(here):
    (here / "row.json").write_text(json.dumps(ROWS[0] | {"options": [{"Response": "a"}, {"Response": "b"}]}))
    (row,) = load_reasoning(DataSource(source="row.json"), seed=0)
    assert (row.question, row.response) == (TABLE[0][0], TABLE[0][2])


def test_the_order_of_a_list_does_not_matter():
    assert DataSource(source=["b.csv", "a.csv"]) == DataSource(source=["a.csv", "b.csv"])


@pytest.mark.parametrize(
    ("layout", "places"),
    [
        ("CSV, the delimiter in its first line", ["rows.csv, line 4", "rows.csv, line 5", "rows.csv, line 7"]),
        ("objects on several lines", ["rows.json, line 1", "rows.json, line 7", "rows.json, line 13"]),
        ("a list for each split", ["rows.json, val row 1", "rows.json, val row 2", "rows.json, val row 3"]),
        ("pandas: columns with an index", ["rows.json, key x", "rows.json, key y", "rows.json, key z"]),
        ("folders in a folder", ["a/part.jsonl, line 1", "b/part.jsonl, line 1", "c/part.jsonl, line 1"]),
        ("save_to_disk", ["saved, row 1", "saved, row 2", "saved, row 3"]),
    ],
)
def test_rows_know_their_places(here, layout, places):
    write, source = LAYOUTS[layout]
    write(here)
    assert [str(row.place) for row in load_reasoning(DataSource(**source), seed=0)] == places


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("a folder of shards", "data (2 files)"),
        ("a glob of one split", "train-* (2 files)"),
        ("a list, in any order", "train-00000-of-00002.parquet, train-00001-of-00002.parquet"),
        ("save_to_disk", "saved"),
        ("CSV, gzip", "rows.csv.gz"),
    ],
)
def test_reports_name_files_without_the_folders_of_this_machine(here, layout, name):
    write, source = LAYOUTS[layout]
    write(here)
    absolute = [str(here / path) for path in [source["source"]]] if isinstance(source["source"], str) else None
    assert DataSource(**source | ({"source": absolute[0]} if absolute else {})).public_name == name


FAULTS: dict[str, Any] = {
    "several kinds": (
        lambda folder: [folders(folder), csv("rows/more.csv")(folder)],
        {"source": "rows"},
        "rows: it has files of several kinds: 1 CSV, 3 JSON Lines",
    ),
    "several splits": (
        splits,
        {"source": "data/*.parquet"},
        "several splits: test (test-00000-of-00001.parquet), train (train-00000-of-00002.parquet, train-0",
    ),
    "another split": (splits, {"source": "data", "split": "dev"}, "data: it has no files of split dev, but test ("),
    "no split": (text("rows.csv", "a"), {"source": "rows.csv", "split": "test"}, "rows.csv: it has no split test"),
    "no configuration": (text("rows.csv", "a"), {"source": "rows.csv", "config": "en"}, "no configuration en"),
    "one shard": (
        shards,
        {"source": "data/train-00000-of-00002.parquet"},
        "1 of the 2 shards train-*-of-00002 are in it\n  fix: add the others (the glob is data/train-*-of-00002*)",
    ),
    "no data": (text("notes.txt", ""), {"source": "."}, ".: the folder has no data files; it has notes.txt"),
    "no match": (text("notes.txt", ""), {"source": "*.csv"}, "*.csv: no file matches"),
    "a sheet": (text("rows.xlsx", "PK"), {"source": "rows.xlsx"}, "from '.xlsx'\n  fix: save the sheet as `CSV UTF-8`"),
    "Parquet, gzip": (packed("a.parquet.gz", gzip.compress), {"source": "a.parquet.gz"}, "fix: decompress it"),
    "a configuration of saved rows": (saved, {"source": "saved", "config": "en"}, "saved: it has no configuration en"),
    "a long name": (text("a", ""), {"source": "x" * 300}, ": cannot look for data files (File name too long)"),
    "pickle": (text("rows.pkl", ""), {"source": "rows.pkl"}, "pickled files can run code"),
    "Git LFS": (
        text("rows.parquet", "version https://git-lfs.github.com/spec/v1\n"),
        {"source": "rows.parquet"},
        "rows.parquet: the file is a Git LFS pointer, not the data\n  fix: run `git lfs pull`",
    ),
    "a web page": (text("rows.csv", "<!DOCTYPE html>"), {"source": "rows.csv"}, "rows.csv: the file is a web page"),
    "UTF-16": (csv("rows.csv", encoding="utf-16"), {"source": "rows.csv"}, "rows.csv: the text is UTF-16, not UTF-8\n"),
    "UTF-16 without a mark": (
        csv("rows.csv", encoding="utf-16-le"),
        {"source": "rows.csv"},
        "iconv -f UTF-16 -t UTF-8 OLD > NEW",
    ),
    "cp1252, CSV": (
        csv("rows.csv", sep=";", encoding="cp1252"),
        {"source": "rows.csv"},
        "rows.csv, line 4: not UTF-8 text (invalid start byte: byte 0xf9); as cp1252 (Windows) it reads",
    ),
    "cp1252, JSON": (
        text("rows.json", json.dumps(ROWS, ensure_ascii=False, indent=1), "cp1252"),
        {"source": "rows.json"},
        "rows.json, line 8: not UTF-8 text",
    ),
    "GB18030": (text("rows.csv", "问题,答案\n为什么,因为\n", "gb18030"), {"source": "rows.csv"}, "such as GB18030"),
    "compressed Arrow": (
        lambda folder: FRAME.to_feather(folder / "rows.arrow", compression="lz4"),
        {"source": "rows.arrow"},
        "rows.arrow: the Arrow file is compressed\n  fix: write it uncompressed, or as Parquet",
    ),
    "CSV in .json": (
        csv("rows.json"),
        {"source": "rows.json"},
        "rows.json, line 1: the file is not JSON\n  fix: fix it, ",
    ),
    "half a gzip file": (
        packed("rows.jsonl.gz", lambda content: gzip.compress(content)[:80]),
        {"source": "rows.jsonl.gz"},
        "rows.jsonl.gz: not readable as gzip: Compressed file ended",
    ),
    "several lists": (
        text("rows.json", json.dumps({"train": ROWS, "test": ROWS[:1]})),
        {"source": "rows.json"},
        "rows.json: it has several lists of rows: train (3 rows), test (1 rows)\n  fix: choose one with split: train",
    ),
    "no list of that split": (
        text("rows.json", json.dumps({"test": ROWS})),
        {"source": "rows.json", "split": "train"},
        "rows.json: it has no list of rows train: test (3 rows)",
    ),
    "no rows in an object": (
        text("rows.json", json.dumps({"version": 1, "paths": ["a"] * 9} | dict.fromkeys("abcde"))),
        {"source": "rows.json"},
        "it is an object with version (a number), paths (a list of 9), a (null), b (null), c (null) and 2 more\n",
    ),
    "lines that are no rows": (
        text("rows.jsonl", LINES + "[1]\n{broken\n\n{broken too\n3\n[2]\n"),
        {"source": "rows.jsonl"},
        (
            "rows.jsonl: 5 faults:\n  line 4: expected an object with columns, found list (and in 1 more row: line 9)\n"
            "  line 5: invalid JSON: Expecting property name enclosed in double quotes (and in 1 more row: line 7)\n"
            "  line 8: expected an object with columns, found int\n  fix: write rows as objects, such as"
        ),
    ),
    "rows of other lengths": (
        text("rows.csv", "question;b\n" + "1;2;3\n" * 1000),
        {"source": "rows.csv"},
        (
            "rows.csv, line 2: the row does not have the 2 columns of the header (and in 999 more rows: line 3, line 4,"
            " line 5, line 6, ...)\n"
            "  fix: quote cells that contain semicolons or line breaks"
        ),
    ),
    "files with faults": (
        lambda folder: [
            folders(folder),
            (folder / "rows/a/part.jsonl").write_text("{"),
            text("rows/b/part.jsonl", "")(folder),
        ],
        {"source": "rows"},
        "2 faults:\n  rows/a/part.jsonl, line 1: invalid JSON: Expecting property name",
    ),
    "other columns": (
        text("rows.csv", ",".join(f"column {number}" for number in range(500)) + "\n" + "1," * 499 + "1\n"),
        {"source": "rows.csv"},
        "column 10, column 11 and 488 more",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_read_is_named_briefly_with_a_way_out(here, fault):
    write, source, message = FAULTS[fault]
    write(here)
    with pytest.raises(UserError) as caught:
        load_reasoning(DataSource(**source), seed=0)
    assert message in str(caught.value)
    assert caught.value.fix
    assert len(str(caught.value)) < 700


def test_a_small_compressed_file_takes_little_memory(here):
    blank = gzip.compress(b" " * 60_000_000 + b"\n", 1)
    (here / "rows.jsonl.gz").write_bytes(gzip.compress(LINES.encode()) + blank * 5)
    with pytest.raises(UserError, match=r"takes more than 268 MB when decompressed, for a file of 1\.3"):
        load_reasoning(DataSource(source="rows.jsonl.gz"), seed=0)


def test_damaged_arrow_files_are_refused_or_read(here):
    feather(here)
    whole = (here / "rows.arrow").read_bytes()
    refused = 0
    for place in range(0, len(whole), 16):
        (here / "rows.arrow").write_bytes(whole[:place] + b"\xff\xff\xff\x7f" + whole[place + 4 :])
        try:
            load_reasoning(DataSource(source="rows.arrow"), seed=0)
        except UserError:
            refused += 1
    assert refused > 20


def test_a_configuration_can_stand_behind_the_name(hub_data):
    import datasets

    loaded = []

    def load_dataset(*names, split):
        loaded.append((*names, split))
        return datasets.Dataset.from_list(ROWS)

    hub_data(load_dataset)
    load_reasoning(DataSource(source="owner/name:en", split="train"), seed=0)
    assert loaded == [("owner/name", "en", "train")]
    with pytest.raises(ValueError, match="names the configuration en and config names zh: give one"):
        DataSource(source="owner/name:en", config="zh")


def test_the_configurations_of_a_hub_data_set_are_named(hub_data):
    def load_dataset(*_, **__):
        raise ValueError("Config name is missing.\nPlease pick one among the available configs: ['en', 'zh']")

    hub_data(load_dataset)
    with pytest.raises(UserError, match=r"'en', 'zh'\]\n  fix: set config to one of them, or write owner/name:CONFIG"):
        load_reasoning(DataSource(source="owner/name"), seed=0)


def test_the_official_test_set_is_recognised_in_a_compressed_file(here):
    ids = sorted(read_ids("pubmedqa-official-test"))
    item = {"QUESTION": "Does it?", "CONTEXTS": ["One."], "final_decision": "yes"}
    (here / "ori_pqal.json.gz").write_bytes(gzip.compress(json.dumps(dict.fromkeys([*ids, "1"], item)).encode()))
    source = official_test_ids(DataSource(source="ori_pqal.json.gz"))
    assert len(load_pubmedqa(source, seed=0)) == 500
