"""Parquet files: bounded by what they take in memory, and cells that Python cannot hold are named or do not matter."""

import tracemalloc
from base64 import b64decode, b64encode
from decimal import Decimal

import pyarrow as pa
import pytest
from pyarrow import parquet
from pyarrow.parquet import encryption

from reports.errors import UserError
from tasks.data import DataSource, load_pubmedqa, load_reasoning
from tasks.data.arrow_rows import parquet_rows

NOT_UTF8 = pa.Array.from_buffers(
    pa.string(), 3, [None, pa.py_buffer(b"".join(n.to_bytes(4, "little") for n in range(4))), pa.py_buffer(b"a\xffb")]
)


def rows(n=3):
    return {
        "question": [f"Why {number}?" for number in range(n)],
        "complex_cot": ["Because."] * n,
        "response": ["So."] * n,
    }


def repeated(text, n):
    """A column that stores a text once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int32()), pa.array([text]))


@pytest.fixture
def write(tmp_path):
    def write(columns):
        parquet.write_table(pa.table(columns), tmp_path / "rows.parquet", compression="zstd", write_statistics=False)
        return DataSource(source=str(tmp_path / "rows.parquet"))

    return write


BOMBS = {
    "equal rows": (lambda: {name: repeated("x", 2_000_000) for name in rows()}, "2,000,000 rows"),
    "one long text in every row": (lambda: {**rows(1000), "response": repeated("x" * 500_000, 1000)}, "1,000 rows"),
    "one text that is mostly zeros": (lambda: {**rows(1), "response": ["0" * 300_000_000]}, "1 rows"),
    "a list of nothing": (
        lambda: {**rows(1), "response": pa.ListArray.from_arrays([0, 6_000_000], pa.nulls(6_000_000, pa.int8()))},
        "1 rows",
    ),
    "a list of one long text": (
        lambda: {
            **rows(1),
            "response": pa.ListArray.from_arrays([0, 2000], pa.array(["x" * 200_000]).take(pa.array([0] * 2000))),
        },
        "1 rows",
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_file_takes_little_memory(write, bomb):
    columns, n_rows = BOMBS[bomb]
    source = write(columns())
    pool = pa.default_memory_pool()
    before = pool.max_memory()
    tracemalloc.start()
    with pytest.raises(UserError, match=f"its {n_rows} take more than 268 MB of memory, for a file of 0.") as caught:
        load_reasoning(source, seed=0)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert pool.max_memory() <= before + 50e6
    assert caught.value.where == source.source


def test_long_texts_that_nothing_needs_do_not_count(write):
    source = write({**rows(1000), "notes": repeated("x" * 500_000, 1000), "topic": repeated("heart", 1000)})
    loaded = load_reasoning(source, seed=0)
    assert [row.fields for row in loaded] == [{"topic": "heart"}] * 1000
    source = write({**rows(1), "notes": ["0" * 300_000_000]})
    assert [row.fields for row in load_reasoning(source, seed=0)] == [{}]


UNREADABLE = {
    "not UTF-8": (NOT_UTF8, "row 2: column {} is unreadable ('utf-8' codec can't decode byte 0xff"),
    "not UTF-8, in a list": (
        pa.ListArray.from_arrays([0, 1, 2, 3], NOT_UTF8),
        "row 2: column {} is unreadable ('utf-8' codec can't decode byte 0xff",
    ),
    "date": (pa.array([1, 2, 1 << 30], pa.date32()), "row 3: column {} is unreadable (days=1073741824"),
    "timestamp": (pa.array([1, 1 << 60, 2], pa.timestamp("ms")), "row 2: column {} is unreadable ("),
    "time zone": (pa.array([1, 2, 3], pa.timestamp("s", "No/Where")), "row 1: column {} is unreadable ('No/Where'"),
    "duration": (pa.array([1 << 60, 1, 2], pa.duration("s")), "row 1: column {} is unreadable ("),
    "struct": (
        pa.array([{"when": 1}, {"when": 1 << 60}, None], pa.struct({"when": pa.timestamp("ms")})),
        "row 2: column {} is unreadable (",
    ),
}


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("column", ["response", "id"])
def test_a_cell_that_python_cannot_hold_is_named(write, kind, column):
    cells, message = UNREADABLE[kind]
    source = write({**rows(), column: cells})
    with pytest.raises(UserError) as caught:
        load_reasoning(source, seed=0)
    assert str(caught.value).startswith(f"{source.source}, {message.format(column)}")


@pytest.mark.parametrize("kind", UNREADABLE)
def test_such_a_cell_does_not_matter_in_a_column_that_nothing_needs(write, kind):
    loaded = load_reasoning(write({**rows(), "topic": UNREADABLE[kind][0]}), seed=0)
    fields = [{"topic": "a"}, {}, {"topic": "b"}] if kind == "not UTF-8" else [{}, {}, {}]
    assert [row.fields for row in loaded] == fields


@pytest.mark.parametrize(
    ("cells", "content"),
    [
        (pa.array([Decimal("1.50")] * 3), "Decimal('1.50')"),
        (pa.array([1.0, float("nan"), 2.0]), "1.0"),
        (pa.array([None, "a", "b"]), "nothing"),
        (pa.array([b"a"] * 3), "b'a'"),
        (pa.array([["a"]] * 3), "a list"),
        (pa.array([{"a": "b"}] * 3), "an object"),
        (pa.array([[("a", "b")]] * 3, pa.map_(pa.string(), pa.string())), "a list"),
    ],
)
def test_other_cells_than_texts_are_refused_by_row(write, cells, content):
    with pytest.raises(UserError) as caught:
        load_reasoning(write({**rows(), "response": cells}), seed=0)
    assert f"column response should hold a text, found {content}" in str(caught.value)
    assert "row 1" in str(caught.value)


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_every_kind_of_text_is_read(write, kind):
    texts = ["So.", "Thus.", "So."]
    loaded = load_reasoning(write({**rows(), "response": pa.array(texts).cast(kind)}), seed=0)
    assert [row.response for row in loaded] == texts


def test_an_abstract_is_read_from_lists_in_structs(write):
    contexts = [{"contexts": ["One.", "Two."], "labels": ["A", "B"]}] * 3
    columns = {"pubid": [1, 2, 3], "question": rows()["question"], "context": contexts, "final_decision": ["yes"] * 3}
    loaded = load_pubmedqa(write(columns), seed=0)
    assert [(item.id, item.contexts) for item in loaded] == [(name, ("One.", "Two.")) for name in "123"]


def test_lists_of_texts_are_read_across_row_groups(tmp_path):
    table = pa.table({**rows(), "notes": [["a", "b"], ["c"], []]})
    parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=1)
    assert list(parquet_rows(tmp_path / "rows.parquet", {"notes"})) == table.to_pylist()


# A key server that returns the keys as they are.
KEY_SERVER = {"wrap_key": lambda _, key, name: b64encode(key), "unwrap_key": lambda _, key, name: b64decode(key)}


@pytest.mark.parametrize(
    ("encrypted", "message"),
    [
        ({"plaintext_footer": True, "column_keys": {"key": ["response"]}}, "Cannot decrypt ColumnMetadata"),
        ({"plaintext_footer": True, "column_keys": {"key": ["topic"]}}, "Cannot decrypt ColumnMetadata"),
        ({"uniform_encryption": True}, "Could not read encrypted metadata"),
    ],
)
def test_an_encrypted_file_is_refused(tmp_path, encrypted, message):
    table, path = pa.table({**rows(), "topic": ["heart"] * 3}), tmp_path / "rows.parquet"
    keys = encryption.CryptoFactory(
        lambda _: type("KeyServer", (encryption.KmsClient,), KEY_SERVER)()
    ).file_encryption_properties(
        encryption.KmsConnectionConfig(), encryption.EncryptionConfiguration(footer_key="key", **encrypted)
    )
    parquet.write_table(table, path, encryption_properties=keys)
    with pytest.raises(UserError, match=f"not readable as Parquet: {message}.*\n  fix: .* without encryption"):
        load_reasoning(DataSource(source=str(path)), seed=0)


def test_a_footer_with_wrong_sizes_is_refused(write, tmp_path):
    """The schema decides how many numbers a histogram of definition levels has: 4 for a list of texts, here 3."""
    source = write({**rows(), "notes": [["a"], ["b"], []]})
    path = tmp_path / "rows.parquet"
    intact, broken = b"\x19\x46\0\x02\0\x04", b"\x19\x36\x80\x01\x02\x04"  # thrift: [0, 1, 0, 2] and [64, 1, 2]
    assert path.read_bytes().count(intact) == 1
    path.write_bytes(path.read_bytes().replace(intact, broken))
    with pytest.raises(UserError, match="not readable as Parquet: Definition level histogram size mismatch"):
        load_reasoning(source, seed=0)


def test_a_missing_column_is_reported_with_all_that_are_there(write):
    columns = {"question": ["Why?"], "complex_cot": ["Because."], "answers": [["So."]]}
    with pytest.raises(UserError, match="no column for response; the columns are question, complex_cot, answers"):
        load_reasoning(write(columns), seed=0)


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "rows.parquet"
    names = ["question", "response", "complex_cot", "response"]
    parquet.write_table(pa.Table.from_arrays([pa.array(["a"])] * 4, names), path)
    with pytest.raises(UserError, match="the column 'response' is there twice"):
        load_reasoning(DataSource(source=str(path)), seed=0)


def test_a_truncated_file_is_refused(write, tmp_path):
    source = write(rows())
    whole = (tmp_path / "rows.parquet").read_bytes()
    (tmp_path / "rows.parquet").write_bytes(whole[:200] + bytes(100) + whole[300:])
    with pytest.raises(UserError, match="not readable as Parquet: "):
        load_reasoning(source, seed=0)
