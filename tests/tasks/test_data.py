"""Readers: every form of the two data sets, and errors that name file and row."""

import csv
import json
import math

import pytest

from reports.errors import UserError
from tasks.data import DataSource, load_pubmedqa, load_reasoning, sample_indices, split_off
from tasks.data.selection import describe_selection, official_test_ids, read_ids

ROW = {"question": "Why?", "complex_cot": "Because.", "response": "So."}
HUB_ROW = {"Question": "Why?", "Complex_CoT": "Because.", "Response": "So."}


def reasoning(path, **more):
    return load_reasoning(DataSource(source=str(path), **more), seed=0)


def official(decision="yes"):
    return {"QUESTION": "Does it?", "CONTEXTS": ["One.", "Two."], "LABELS": ["A", "B"], "final_decision": decision}


@pytest.mark.parametrize("row", [ROW, HUB_ROW])
def test_both_spellings_of_the_columns_are_read(write_rows, row):
    (found,) = reasoning(write_rows(row))
    assert (found.question, found.reasoning, found.response) == ("Why?", "Because.", "So.")


def test_json_csv_and_parquet_give_the_same_rows_and_ids(tmp_path, write_rows):
    import pyarrow as pa
    from pyarrow import parquet

    rows = [ROW, {**ROW, "question": "Why, then?"}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    with (tmp_path / "rows.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ROW)
        writer.writeheader()
        writer.writerows(rows)
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    wanted = reasoning(write_rows(*rows))
    for name in ("rows.json", "rows.csv", "rows.parquet"):
        assert reasoning(tmp_path / name) == wanted


def test_any_column_names_through_a_mapping(write_rows):
    path = write_rows({"prompt": "Why?", "cot": "Because.", "out": "So."})
    (found,) = reasoning(path, columns={"question": "prompt", "reasoning": "cot", "response": "out"})
    assert found.reasoning == "Because."


def test_pubmedqa_in_its_official_form_and_the_hubs(tmp_path):
    (tmp_path / "ori.json").write_text(json.dumps({"1": official(), "2": official("maybe")}))
    hub = {"pubid": 1, "question": "Does it?", "context": {"contexts": ["One.", "Two."]}, "final_decision": "yes"}
    (tmp_path / "hub.jsonl").write_text(json.dumps(hub))
    first, second = load_pubmedqa(DataSource(source=str(tmp_path / "ori.json")), seed=0)
    assert (first.id, first.contexts, second.answer) == ("1", ("One.", "Two."), "maybe")
    assert load_pubmedqa(DataSource(source=str(tmp_path / "hub.jsonl")), seed=0) == [first]


def test_the_official_test_ids_beside_the_file_are_found(tmp_path):
    (tmp_path / "ori_pqal.json").write_text(json.dumps({"1": official(), "2": official("no")}))
    (tmp_path / "test_ground_truth.json").write_text(json.dumps({"2": "no"}))
    source = official_test_ids(DataSource(source=str(tmp_path / "ori_pqal.json")))
    assert [item.id for item in load_pubmedqa(source, seed=0)] == ["2"]


def test_the_official_test_ids_are_known_for_the_hubs_data_set():
    source = official_test_ids(DataSource(source="qiaojin/PubMedQA", config="pqa_labeled"))
    assert len(read_ids(source.ids)) == 500
    assert describe_selection(source) == "official test ids"
    assert official_test_ids(DataSource(source="qiaojin/PubMedQA", ids=["1"])).ids == ["1"]


def beside(tmp_path, listed, items=("1", "2", "3")):
    """A source of items with answers of yes, beside which a `test_ground_truth.json` lists ids."""
    (tmp_path / "own.json").write_text(json.dumps({key: official() for key in items}))
    (tmp_path / "test_ground_truth.json").write_text(json.dumps(listed))
    return DataSource(source=str(tmp_path / "own.json"))


OFFICIAL = sorted(read_ids("pubmedqa-official-test"))


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (["1", "2"], "ids of test_ground_truth.json"),
        (OFFICIAL, "official test ids"),
        (OFFICIAL[:3], "3 of the official 500 test ids"),
        ([*OFFICIAL, "1"], "ids of test_ground_truth.json"),
        ([*OFFICIAL[:3], "1"], "ids of test_ground_truth.json"),
    ],
)
def test_ids_are_official_by_what_they_are_and_not_by_the_name_of_their_file(tmp_path, ids, words):
    source = official_test_ids(beside(tmp_path, dict.fromkeys(ids, "yes"), ids))
    assert describe_selection(source) == words
    assert describe_selection(source.model_copy(update={"rows": 2})) == f"{words}, 2 drawn"
    assert {item.id for item in load_pubmedqa(source, seed=0)} == set(ids)
    as_list = source.model_copy(update={"ids": ids})
    assert describe_selection(as_list) == (words if "official" in words else f"{len(ids)} listed ids")


def test_gold_labels_that_contradict_the_items_are_an_error(tmp_path):
    source = official_test_ids(beside(tmp_path, {"1": "YES ", "2": "no", "3": "maybe"}))
    with pytest.raises(UserError) as caught:
        load_pubmedqa(source, seed=0)
    said = "the gold labels of 2 items contradict test_ground_truth.json: 2 (yes in the items, no there), 3 (yes in the"
    assert f"{said} items, maybe there)" in str(caught.value)
    assert "ids: all" in caught.value.fix
    assert len(load_pubmedqa(source.model_copy(update={"ids": "all"}), seed=0)) == 3
    with pytest.raises(UserError, match=r"of 4 items .*, 3 .*there\), \.\.\."):
        load_pubmedqa(official_test_ids(beside(tmp_path, dict.fromkeys("1234", "no"), "1234")), seed=0)


@pytest.mark.parametrize("listed", [{"1": "yes"}, {"1": {"other": "no"}}, ["1"]])
def test_lists_without_labels_or_with_the_same_ones_are_only_ids(tmp_path, listed):
    assert [item.id for item in load_pubmedqa(official_test_ids(beside(tmp_path, listed)), seed=0)] == ["1"]


def test_all_rows_are_taken_where_ids_say_so(tmp_path):
    source = beside(tmp_path, OFFICIAL)
    with pytest.raises(UserError, match="500 of the 500 wanted ids") as caught:
        load_pubmedqa(official_test_ids(source), seed=0)
    assert str(tmp_path / "test_ground_truth.json") in caught.value.fix
    assert "--set data.pubmedqa.ids=all" in caught.value.fix
    every = official_test_ids(source.model_copy(update={"ids": "all"}))
    assert len(load_pubmedqa(every, seed=0)) == 3
    assert describe_selection(every) == "all rows"
    with pytest.raises(UserError, match="no row is left") as caught:
        load_pubmedqa(source.model_copy(update={"ids": []}), seed=0)
    assert "ids: all" in caught.value.fix


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "the file is empty"),
        (["", " "], "there are no rows"),
        ([ROW, "{broken", ROW], "line 2: invalid JSON"),
        ([ROW, "[1]"], "line 2: expected an object"),
        (
            [ROW, {"question": "Why?", "complex_cot": "Because.", "response": ""}],
            "line 2: column response should hold a text",
        ),
        (
            [{"topic": "Why?", "Complex_CoT": "x", "Response": "y"}],
            "line 1: there is no column for question; the columns",
        ),
        (
            [{**ROW, "id": "a"}, {**ROW, "id": "a", "response": "No."}],
            "rows have the id a: rows.jsonl, line 1 and",
        ),
        ([{**ROW, "question": 3}], "line 1: column question should hold a text, found 3"),
    ],
)
def test_broken_files_are_refused_by_row(write_rows, lines, message):
    path = write_rows(*lines)
    with pytest.raises(UserError, match=message) as caught:
        reasoning(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("column", ["question", "complex_cot", "response", "id"])
def test_half_a_character_is_refused_by_row_and_column(write_rows, column):
    path = write_rows(ROW, {**ROW, column: "cut off \ud83d"})
    name = {"complex_cot": "reasoning"}.get(column, column)
    with pytest.raises(UserError, match=rf"line 2: column {name} holds half of a character \(\\ud83d"):
        reasoning(path)


@pytest.mark.parametrize(("part", "value"), [("CONTEXTS", ["One.", "\udc00"]), ("LONG_ANSWER", "\udc00")])
def test_half_a_character_in_a_pubmedqa_item_is_refused(tmp_path, part, value):
    (tmp_path / "a.json").write_text(json.dumps({"1": {**official(), part: value}}))
    with pytest.raises(UserError, match=r"key 1: .* holds half of a character"):
        load_pubmedqa(DataSource(source=str(tmp_path / "a.json")), seed=0)


def test_half_a_character_in_a_column_that_is_not_needed_is_replaced(write_rows):
    (row,) = reasoning(write_rows({**ROW, "topic": "a \ud83d"}))
    assert row.fields == {"topic": "a \ufffd"}


def test_text_that_is_not_utf8_is_refused_by_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(json.dumps(ROW).encode() + b'\n{"question": "\xff"}\n')
    with pytest.raises(UserError, match="line 2: not UTF-8"):
        reasoning(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "question,response\nWhy?,So.,more\n", "line 2: the row does not have the 2 columns"),
        ("a.parquet", "no parquet", "not readable as Parquet"),
        ("a.json", '{"a": ', "line 1: invalid JSON"),
        ("a.json", "3", "expected a list of rows"),
        ("a.txt", "x", "cannot tell what kind of file"),
    ],
)
def test_broken_files_of_other_kinds_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        reasoning(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "question,id,question\n1,2,3\n", r"line 1: the column 'question' is there twice"),
        ("a.csv", "\ufeffid,question,id\n1,2,3\n", r"line 1: the column 'id' is there twice"),
        ("a.json", '{"1": {},\n "1": {}}', r"line 2: invalid JSON: the key '1' is there twice"),
        ("a.json", '[{"a": {"b": 1}},\n{"a": {"b": 1, "c": [], "b": 1}}]', r"line 2: .* the key 'b' is there twice"),
        ("a.json", r'{"\u0061": 1, "x": "\"a\":", "a": 2}', r"line 1: .* the key 'a' is there twice"),
        ("a.jsonl", '\n{"a": "}{", "b": 2, "a": 1}\n', r"line 2: .* the key 'a' is there twice"),
    ],
)
def test_what_is_there_twice_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        reasoning(tmp_path / name)


def test_columns_without_a_name_do_not_matter(tmp_path):
    (tmp_path / "a.csv").write_text("question,complex_cot,response,,\nWhy?,Because.,So.,,\n")
    assert [row.question for row in reasoning(tmp_path / "a.csv")] == ["Why?"]


def test_a_line_without_end_is_not_read_into_memory(tmp_path):
    with (tmp_path / "a.csv").open("wb") as stream:
        stream.truncate(1 << 30)
    with pytest.raises(UserError, match="a line has 67,108,864 characters or more"):
        reasoning(tmp_path / "a.csv")
    with (tmp_path / "a.csv").open("wb") as stream:
        stream.truncate((4 << 30) + 1)
    with pytest.raises(UserError, match="the file is larger than 4 GiB"):
        reasoning(tmp_path / "a.csv")


def test_a_missing_file_is_not_taken_for_a_hub_id(tmp_path):
    with pytest.raises(UserError, match="no such data file"):
        reasoning(tmp_path / "none.jsonl")


def test_a_hub_data_set_without_network_is_one_clear_error():
    with pytest.raises(
        UserError, match="offline: HF_HUB_OFFLINE is set, and the data set nobody/nothing-at-all is not in its cache"
    ):
        reasoning("nobody/nothing-at-all")


def test_a_hub_data_set_is_read_by_its_configuration_and_split(hub_data):
    import datasets

    asked = []

    def load_dataset(*names, split):
        asked.append((*names, split))
        return datasets.Dataset.from_list([HUB_ROW])

    hub_data(load_dataset)
    (row,) = reasoning("FreedomIntelligence/medical-o1-reasoning-SFT", config="en", split="train")
    assert row.reasoning == "Because."
    assert asked == [("FreedomIntelligence/medical-o1-reasoning-SFT", "en", "train")]


def test_a_hub_data_set_of_several_splits_asks_for_one(hub_data):
    import datasets

    several = {name: datasets.Dataset.from_list([HUB_ROW]) for name in ("train", "test")}
    hub_data(lambda *_, **__: several)
    with pytest.raises(UserError, match="has the splits train, test"):
        reasoning("owner/name")


def test_rows_know_the_file_and_the_line_or_row_they_are_from(tmp_path, write_rows, hub_data):
    import datasets
    import pyarrow as pa
    from pyarrow import parquet

    rows = [ROW, {**ROW, "question": "Why,\nthen?"}]
    with (tmp_path / "rows.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ROW)
        writer.writeheader()
        writer.writerows([*rows, ROW | {"question": "Last?"}])
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    (tmp_path / "rows.json").write_text(json.dumps({"a": ROW, "b": {**ROW, "question": "So?"}}))
    wanted = {
        write_rows(ROW, "", rows[1]): ["rows.jsonl, line 1", "rows.jsonl, line 3"],
        tmp_path / "rows.csv": ["rows.csv, line 2", "rows.csv, line 4", "rows.csv, line 5"],
        tmp_path / "rows.parquet": ["rows.parquet, row 1", "rows.parquet, row 2"],
        tmp_path / "rows.json": ["rows.json, key a", "rows.json, key b"],
    }
    for path, places in wanted.items():
        assert [str(row.place) for row in reasoning(path)] == places
        assert reasoning(path)[0].place.path == str(path)
    hub_data(lambda *_, **__: datasets.Dataset.from_list([HUB_ROW, HUB_ROW]))
    (row,) = reasoning("owner/name", config="en", split="train", start=1)
    assert str(row.place) == "owner/name (en), split train, row 2"
    (tmp_path / "ori.json").write_text(json.dumps({"7": official()}))
    (row,) = reasoning(tmp_path / "ori.json", kind="pubmedqa")
    assert str(row.place) == "ori.json, key 7"


def test_a_label_that_is_none_is_refused(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"17": official("perhaps")}))
    with pytest.raises(UserError, match="key 17: the label is 'perhaps'"):
        load_pubmedqa(DataSource(source=str(tmp_path / "a.json")), seed=0)


def test_ids_select_and_missing_ones_are_told(write_rows):
    path = write_rows(*({**ROW, "id": str(number), "question": f"Why {number}?"} for number in range(5)))
    assert [row.id for row in reasoning(path, ids=["3", "1"])] == ["1", "3"]
    assert [row.id for row in reasoning(path, exclude_ids=["0", "4"])] == ["1", "2", "3"]
    with pytest.raises(UserError, match="1 of the 2 wanted ids"):
        reasoning(path, ids=["3", "x"])


@pytest.mark.parametrize("ids", [["2"], ["2.0"], "ids.json", "ids.txt"])
def test_ids_that_are_whole_numbers_are_the_same_however_they_are_held(tmp_path, write_rows, ids):
    import pyarrow as pa
    from pyarrow import parquet

    rows = [{**ROW, "id": number, "question": f"Why {number}?"} for number in (1.0, 2.0, None)]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    (tmp_path / "ids.json").write_text("[2.0]")
    (tmp_path / "ids.txt").write_text("2.0\n")
    found = reasoning(tmp_path / "rows.parquet", exclude_ids=ids if isinstance(ids, list) else str(tmp_path / ids))
    assert [row.question for row in found] == ["Why 1.0?", "Why None?"]
    assert found[0].id == "1"
    assert reasoning(write_rows({**ROW, "id": "1.0"}, {**ROW, "id": "1.0.1", "question": "b"}))[0].id == "1"
    rows[2]["id"] = math.nan  # as pandas holds a missing one
    assert reasoning(write_rows(*rows))[2].id == found[1].id


def test_positions_are_for_published_set_ups(write_rows):
    path = write_rows(*({**ROW, "id": str(number), "question": f"Why {number}?"} for number in range(5)))
    assert [row.id for row in reasoning(path, start=3)] == ["3", "4"]
    assert [row.id for row in reasoning(path, stop=2)] == ["0", "1"]
    described = {
        "all rows": {},
        "all rows, positions 3 to the end": {"start": 3},
        "all rows, positions 0 to 1": {"stop": 2},
    }
    for words, settings in described.items():
        assert describe_selection(DataSource(source=str(path), **settings)) == words
    with pytest.raises(UserError, match="no rows from position 7 on"):
        reasoning(path, start=7)


def test_pubmedqa_rows_can_be_trained_on_outside_the_test_ids(tmp_path):
    item = {**official("no"), "LONG_ANSWER": "It does not."}
    (tmp_path / "ori.json").write_text(json.dumps({"12377809": item, "1": item}))
    (row,) = reasoning(tmp_path / "ori.json", kind="pubmedqa", exclude_ids="pubmedqa-official-test")
    assert (row.id, row.reasoning, row.response) == ("1", "", "No. It does not.")
    (same,) = reasoning(tmp_path / "ori.json", kind="pubmedqa-abstract", exclude_ids="pubmedqa-official-test")
    assert same.question == "Abstract: " + "\n".join(item["CONTEXTS"]) + f"\nQuestion: {item['QUESTION']}"
    assert (same.response, row.question) == (row.response, item["QUESTION"])


def test_a_draw_is_by_seed_not_the_head_and_grows_without_changing():
    small, large = sample_indices(100, 10, 3), sample_indices(100, 20, 3)
    assert set(small) < set(large)
    assert small != list(range(10))
    assert small != sample_indices(100, 10, 4)


def test_splitting_off_divides_without_overlap():
    rest, drawn = split_off(range(20), 5, 1)
    assert len(drawn) == 5
    assert sorted(rest + drawn) == list(range(20))
