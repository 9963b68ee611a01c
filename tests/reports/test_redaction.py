"""A copy of a run without texts: nothing of the rows is in it, and it has the same scores, gate verdicts and tables."""

import shutil

import pytest

import harness
from reports.document.reading import read_results, samples_of, samples_path, write_results
from reports.document.schema import Sample
from reports.document.slices import Slice, TaskSlices
from reports.errors import UserError
from reports.redaction import NOTE, redact, redacted


@pytest.fixture(scope="module")
def copy(tiny_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared") / "copy"
    harness.report(tiny_run, redact=folder, quiet=True)
    return folder


def texts(run):
    """All texts of a run's items and answers that are longer than a label."""
    results = read_results(run)
    samples = [one for m in results.models for t in results.tasks for one in samples_of(run, m.name, t.name)]
    parts = {part for one in samples for part in (one.prompt, one.output, one.gold, one.question or "")}
    return {line.strip() for part in parts for line in part.splitlines() if len(line.strip()) > 20}


def test_no_text_of_a_row_is_in_any_file(tiny_run, copy):
    lines = texts(tiny_run)
    assert len(lines) > 50
    for path in copy.rglob("*"):
        if path.is_file():
            content = path.read_text(encoding="utf-8")
            assert [line for line in lines if line in content] == [], path


def test_it_has_the_results_and_says_what_was_removed(tiny_run, copy):
    before, after = read_results(tiny_run), read_results(copy)
    assert (after.scores, after.comparisons, after.classes) == (before.scores, before.comparisons, before.classes)
    assert after.is_as_written()
    assert after.notes == [*before.notes, NOTE]
    assert {path.name for path in copy.iterdir()} == {"results.json", "samples", "report.md", "report.html"}


def test_the_gate_decides_as_it_does_on_the_run(tiny_run, copy):
    before, after = (harness.gate(run, quiet=True) for run in (tiny_run, copy))
    assert [(rule.name, rule.verdict, rule.reason) for rule in after.rules] == [
        (rule.name, rule.verdict, rule.reason) for rule in before.rules
    ]


def test_labels_of_classes_stay_and_options_with_texts_are_numbered():
    sample = Sample(
        id="1",
        doc_hash="hash",
        model="base",
        task="task",
        prompt="Mr Smith of ward 3 has a fever.",
        output="he is well",
        gold="B",
        metrics={"acc": 1.0},
        choices={"yes": -1.0, "he is well": -2.0, "B": -3.0},
        fields={"speciality": "lungs", "name": "Smith"},
        question="What does he have?",
    )
    short = redacted(sample, {"speciality"}, {"yes"})
    assert (short.prompt, short.question, short.output, short.gold) == ("", None, "option 2", "B")
    assert short.choices == {"yes": -1.0, "option 2": -2.0, "B": -3.0}
    assert short.fields == {"speciality": "lungs"}
    assert (short.id, short.doc_hash, short.metrics) == ("1", "hash", {"acc": 1.0})
    assert redacted(sample.model_copy(update={"choices": None}), set(), set()).output == ""


def test_answers_to_few_items_are_no_classes(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    values = [("yes", 40), ("a text of one item", 1), ("B", 3), (None, 2)]
    slices = [
        TaskSlices(task="medbench_pubmedqa", column=column, slices=[Slice(value=value, n=n) for value, n in values])
        for column in ("class", "speciality")
    ]
    write_results(run, read_results(run).model_copy(update={"slices": slices}))
    by_label, by_column = read_results(redact(run, tmp_path / "copy")).slices
    assert [one.value for one in by_label.slices] == ["yes", "answer 2", "B", None]
    assert by_column == slices[1]


def test_a_folder_in_use_is_refused(tiny_run, copy):
    before = samples_path(copy, "base", "medbench_pubmedqa").read_bytes()
    with pytest.raises(UserError, match="not an empty folder"):
        harness.report(tiny_run, redact=copy, quiet=True)
    assert samples_path(copy, "base", "medbench_pubmedqa").read_bytes() == before


def test_a_copy_that_fails_can_be_repeated(tiny_run, tmp_path):
    run, folder = shutil.copytree(tiny_run, tmp_path / "run"), tmp_path / "copy"
    path = samples_path(run, "adapter", "medbench_generation")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError):
        harness.report(run, redact=folder, quiet=True)
    assert not folder.exists()
    path.write_bytes(whole)
    assert harness.report(run, redact=folder, quiet=True) == (folder / "report.md", folder / "report.html")
