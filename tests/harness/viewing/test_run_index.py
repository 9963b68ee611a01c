"""Which runs are listed: nested, unfinished, broken and linked ones, and when a results document is read again."""

import json
import os
import shutil

import pytest

from harness.viewing.run_index import MOST_BYTES, RunIndex
from reports.errors import UserError
from tests.harness.viewing.run_folders import write_baseline, write_run

LONG_ENOUGH = 60.0  # seconds


def listed(folder):
    return RunIndex(folder).listing(LONG_ENOUGH)


def by_path(folder):
    return {run.path: run for run in listed(folder).runs}


def test_runs_at_any_depth_are_listed_latest_first(tmp_path):
    write_run(tmp_path / "old", day="2026-01-01")
    write_run(tmp_path / "team" / "a" / "new", day="2026-05-01")
    write_run(tmp_path / "middle", day="2026-03-01")
    (tmp_path / "not-a-run").mkdir()
    assert [run.path for run in listed(tmp_path).runs] == ["team/a/new", "middle", "old"]


def test_a_summary_has_what_the_document_says(tmp_path):
    write_run(tmp_path / "run", day="2026-03-01", values=(0.5, 0.7))
    summary = by_path(tmp_path)["run"].summary
    assert (summary.title, summary.base, summary.models) == ("run", "tiny-lm", ("base", "adapter"))
    assert (summary.version, summary.commit) == ("0.1.0", "c0ffee123456")
    assert summary.created.isoformat() == "2026-03-01T10:00:00+00:00"
    base, adapter = summary.scores
    assert (base.is_baseline, base.score.value, base.comparison) == (True, 0.5, None)
    assert (adapter.title, adapter.score.value, adapter.comparison.outcome) == ("Accuracy \u2191 (quiz)", 0.7, "better")


def test_the_folder_may_itself_be_a_run(tmp_path):
    write_run(tmp_path / "mine")
    assert by_path(tmp_path / "mine")["mine"].summary.title == "mine"


def test_cells_of_a_sweep_are_below_it_and_folders_of_seeds_are_no_runs(tmp_path):
    sweep = write_run(tmp_path / "sweep")
    for cell in ("r-8", "r-16"):
        write_run(sweep / "cells" / cell)
    seeds = write_run(tmp_path / "seeds-run")
    (seeds / "seeds" / "1").mkdir(parents=True)
    (seeds / "seeds" / "1" / "run.log").touch()
    runs = by_path(tmp_path)
    assert {path: [inner.path for inner in run.below] for path, run in runs.items()} == {
        "sweep": ["sweep/cells/r-16", "sweep/cells/r-8"],
        "seeds-run": [],
    }


def test_what_is_not_finished_is_listed_as_that_and_appears_when_it_is(tmp_path):
    (tmp_path / "started").mkdir()
    (tmp_path / "started" / "run.log").touch()
    write_run(tmp_path / "grid" / "cells" / "r-8")
    index = RunIndex(tmp_path)
    before = {run.path: run for run in index.listing(LONG_ENOUGH).runs}
    assert before["started"].note == "no results yet"
    assert before["grid"].note == "a sweep without results yet"
    assert [inner.path for inner in before["grid"].below] == ["grid/cells/r-8"]
    write_run(tmp_path / "started")
    after = {run.path: run for run in index.listing(LONG_ENOUGH).runs}
    assert (after["started"].note, after["started"].summary.title) == ("", "started")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("{", "invalid JSON"),
        ("[]", "its schema version is missing"),
        ('{"schema_version": "9.0"}', "its schema version is 9.0"),
        ('{"schema_version": "2.0"}', "not a results document"),
        ("[" * 100_000, "unreadable JSON"),
        ('{"schema_version": "2.0", "seed": 1e999}', "not finite"),
        ("\udcff", "UTF-8"),
    ],
    ids=["cut", "list", "version", "empty", "deep", "infinite", "bytes"],
)
def test_a_broken_run_is_listed_with_its_error_beside_the_others(tmp_path, content, error):
    write_run(tmp_path / "whole")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "results.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    runs = by_path(tmp_path)
    assert error in runs["broken"].error
    assert len(runs["broken"].error) < 500
    assert runs["broken"].summary is None
    assert runs["whole"].summary is not None


def test_a_sparse_file_of_results_is_not_read(tmp_path):
    (tmp_path / "huge").mkdir()
    with (tmp_path / "huge" / "results.json").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    assert by_path(tmp_path)["huge"].error == "its results.json is larger than 67.1 MB"


def test_a_document_that_was_changed_by_hand_is_marked(tmp_path):
    path = write_run(tmp_path / "run") / "results.json"
    assert by_path(tmp_path)["run"].summary.is_as_written
    path.write_text(path.read_text().replace('"value": 0.7', '"value": 0.9'))
    assert not by_path(tmp_path)["run"].summary.is_as_written


def test_links_are_named_and_never_followed(tmp_path):
    outside = write_run(tmp_path / "outside" / "private")
    runs = tmp_path / "runs"
    write_run(runs / "own")
    (runs / "own" / "report.md").symlink_to(outside / "report.html")
    (runs / "linked").symlink_to(outside)
    (runs / "half").mkdir()
    (runs / "half" / "results.json").symlink_to(outside / "results.json")
    (runs / "loop").symlink_to(runs)
    listing = listed(runs)
    assert [(run.path, run.files) for run in listing.runs] == [("own", ("report.html", "results.json"))]
    assert listing.notes == ("Links are not followed: half/results.json, linked, loop, own/report.md.",)


def test_folders_of_a_run_and_hidden_ones_are_not_searched(tmp_path):
    run = write_run(tmp_path / "run")
    for name in ("samples", "adapter", "checkpoints"):
        write_run(run / name / "inner")
    write_run(tmp_path / ".hidden" / "inner")
    runs = listed(tmp_path).runs
    assert [(run.path, run.below) for run in runs] == [("run", ())]


def test_a_stored_baseline_is_a_release(tmp_path):
    write_baseline(tmp_path / "baselines" / "v1", "run")
    write_run(tmp_path / "runs" / "run")
    runs = by_path(tmp_path)
    assert (runs["baselines/v1"].release, runs["runs/run"].release) == ("v1", "")


def test_results_are_read_once_for_each_state_of_the_file(tmp_path):
    path = write_run(tmp_path / "run", values=(0.5, 0.7)) / "results.json"
    index = RunIndex(tmp_path)

    def value():
        return index.listing(LONG_ENOUGH).runs[0].summary.scores[-1].score.value

    assert value() == 0.7
    state = path.stat()
    text = path.read_text()
    path.write_text(text.replace('"value": 0.7', '"value": 0.6'))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert value() == 0.7  # same size and time: not read again
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert value() == 0.6


def test_many_results_are_read_little_by_little_latest_first(tmp_path):
    for number in range(4):
        path = write_run(tmp_path / str(number)) / "results.json"
        os.utime(path, (number, number))
    index = RunIndex(tmp_path)
    read = []
    for unread in (3, 2, 1, 0):
        listing = index.listing(0.0)
        assert listing.unread == unread
        read.append({run.path for run in listing.runs if run.summary})
    assert read == [{"3"}, {"3", "2"}, {"3", "2", "1"}, {"3", "2", "1", "0"}]
    assert index.listing(0.0).runs[0].note == ""


def test_a_run_that_was_removed_is_gone(tmp_path):
    run = write_run(tmp_path / "run")
    index = RunIndex(tmp_path)
    assert len(index.listing(LONG_ENOUGH).runs) == 1
    shutil.rmtree(run)
    assert index.listing(LONG_ENOUGH).runs == ()


@pytest.mark.parametrize(("make", "problem"), [(False, "there is no such folder"), (True, "it is not a folder")])
def test_a_path_that_is_no_folder_is_an_error(tmp_path, make, problem):
    path = tmp_path / "runs"
    if make:
        path.touch()
    with pytest.raises(UserError, match=problem):
        RunIndex(path)


@pytest.mark.parametrize("created", ["", "yesterday", "0001-01-01T00:00:00", "9999-12-31T23:59:59-12:00"])
def test_an_impossible_date_is_replaced_by_that_of_the_file(tmp_path, created):
    path = write_run(tmp_path / "run", created=created) / "results.json"
    os.utime(path, (86400, 86400))
    assert by_path(tmp_path)["run"].created.date().isoformat() == "1970-01-02"


def test_other_types_in_free_parts_are_no_fault(tmp_path):
    path = write_run(tmp_path / "run") / "results.json"
    value = json.loads(path.read_text())
    value |= {"environment": {"git_commit": {"nested": ["x"]}}, "recipe": {"report": {"title": "Mine"}}}
    path.write_text(json.dumps(value))
    summary = by_path(tmp_path)["run"].summary
    assert (summary.commit, summary.title) == ("", "Mine")
