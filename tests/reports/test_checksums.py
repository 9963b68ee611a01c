"""The SHA-256 of a samples file: every change of samples, facts or checksum is noticed."""

import json

import pytest

from reports.document.checksums import remove_facts, verified_facts, write_facts, write_samples
from reports.document.reading import locate_samples, read_samples
from reports.errors import UserError
from reports.files import sha256_file, write_json
from tests.reports.comparison.handmade import sample


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "quiz.jsonl"
    write_samples(path, [sample("base", item, item % 2) for item in range(3)])
    return path


def facts(path):
    return json.loads(path.with_suffix(".json").read_text())


def test_the_hash_is_that_of_the_file(path):
    assert facts(path).keys() == {"sha256", "facts_sha256"}
    assert verified_facts(path, required=True) == {"sha256": sha256_file(path)}
    write_facts(path, {"key": "k", "figures": {"acc": 0.1, "loss": None}})
    assert verified_facts(path)["figures"] == {"acc": 0.1, "loss": None}
    assert [row.output for row in read_samples(path)] == ["no", "yes", "no"]


@pytest.mark.parametrize("position", [0, 100, -2])
def test_one_flipped_bit_of_the_samples_is_noticed(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    for read in (verified_facts, lambda file: list(read_samples(file)), lambda file: list(locate_samples(file))):
        with pytest.raises(UserError, match="the samples were changed since they were written"):
            read(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value | {"figures": {"acc": 1.0}},
        lambda value: value | {"sha256": "0" * 64},
        lambda value: value | {"facts_sha256": "0" * 64},
        lambda value: {"sha256": value["sha256"], "figures": value["figures"]},
        lambda value: {"facts_sha256": value["facts_sha256"], "figures": value["figures"]},
    ],
    ids=["figures", "hash of the samples", "hash of the facts", "no hash of the facts", "no hash of the samples"],
)
def test_changed_facts_are_noticed(path, change):
    write_facts(path, {"figures": {"acc": 0.5}})
    write_json(path.with_suffix(".json"), change(facts(path)))
    with pytest.raises(UserError, match="the file was changed since it was written"):
        verified_facts(path)


def test_samples_without_a_hash_are_read_but_not_reused_or_judged(path):
    write_json(path.with_suffix(".json"), {"figures": {"acc": 0.5}})
    assert verified_facts(path) == {"figures": {"acc": 0.5}}
    remove_facts(path)
    assert len(list(read_samples(path))) == 3
    with pytest.raises(UserError, match="no SHA-256 of the samples is recorded"):
        verified_facts(path, required=True)
