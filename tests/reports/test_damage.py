"""Each value of results and of a sample is changed by itself: a page is rendered, or an error names the key."""

import copy
import itertools
import json
import random
from pathlib import Path

import pytest

import harness
from reports.document.checksums import write_facts
from reports.errors import UserError
from reports.page.render import render
from reports.readmes.blocks import BLOCKS
from reports.readmes.readme import update
from tests.reports.documents import NAMES, results_value, sample_values, with_checksum, write_document

_NO_BLOCK = ("has nothing for the block", "verify.json is about another model")
GONE = object()
NUMBERS = (0, -1, 1e300, -1e300, 1e-320)
OTHERS: tuple[object, ...] = (
    None,
    True,
    "",
    "text",
    [],
    {},
    ["text"],
    {"a": 1},
    float("nan"),
    float("inf"),
    10**400,
    GONE,
)


def places(value, at=()):
    """Where values are in a JSON value; of lists only the first member."""
    members = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, member in members:
        yield (*at, key)
        yield from places(member, (*at, key))


def changed(value, place, new):
    """A copy of a JSON value with another value, or none, at a place."""
    copied = inner = copy.deepcopy(value)
    for key in place[:-1]:
        inner = inner[key]
    if new is GONE:
        del inner[place[-1]]
    else:
        inner[place[-1]] = new
    return copied


def refusal(action, *arguments):
    """The message of the user error that a call ends with, or None; any other exception fails the test."""
    try:
        action(*arguments)
    except UserError as error:
        return str(error)
    return None


def outcome(run, place):
    """`refused` with an error that names the key, or `shown` everywhere that results are; a block may refuse them."""
    message = refusal(render, run)
    if message is not None:
        named = [".".join(map(str, place)), ".".join(map(str, place[:-1])), "schema version"]
        # A name is missed where it is referred to, such as that of a suite's row in its comparisons.
        named += ["no task "] if place[-1] in ("name", "key") or place[:3:2] == ("suites", "scores") else []
        assert any(name and name in message for name in named), message
        return "refused"
    for name in BLOCKS:
        (run / "README.md").write_text(f"<!-- medbench:{name} . -->\n<!-- medbench:end -->\n")
        message = refusal(update, run / "README.md")
        assert message is None or any(text in message for text in _NO_BLOCK), message
    refusal(lambda: harness.gate(run, quiet=True))
    return "shown"


def plain(field):
    return f"plain {field}"


def cases():
    """All changes: (whether of the samples, place, new value)."""
    for of_samples, value in ((False, results_value(plain)), (True, sample_values(plain, "base")[0])):
        yield from itertools.product([of_samples], places(value), (*NUMBERS, *OTHERS))


def check(run: Path, chosen):
    """Make each change; the counts of the outcomes."""
    document = json.loads(json.dumps(results_value(plain)))  # no two places share an object
    sample, *others = sample_values(plain, "base")
    path = run / "samples" / "base" / f"{NAMES['task']}.jsonl"
    counts = {"shown": 0, "refused": 0}
    for of_samples, place, new in chosen:
        rows = [changed(sample, place, new) if of_samples else sample, *others]
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        write_facts(path)
        value = document if of_samples else changed(document, place, new)
        (run / "results.json").write_text(json.dumps(with_checksum(value) if place != ("checksum",) else value))
        try:
            counts[outcome(run, place)] += 1
        except Exception as error:
            error.add_note(f"after {'.'.join(map(str, place))} = {new!r:.60}")
            raise
    return counts


@pytest.fixture
def run(tmp_path):
    return write_document(tmp_path / "run", plain)


def test_some_changed_values_end_in_a_page_or_an_error_with_the_key(run):
    """All of them take hours: `check(run, cases())`."""
    chosen = random.Random(19).sample([*cases()], 12)
    assert min(check(run, chosen).values()) >= 3


@pytest.mark.slow
def test_more_changed_values_end_in_a_page_or_an_error_with_the_key(run):
    chosen = random.Random(20).sample([*cases()], 80)
    assert min(check(run, chosen).values()) >= 20
