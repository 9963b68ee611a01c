"""README blocks: every kind, nothing outside the markers, line endings kept, broken markers refused."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from reports.document.checksums import write_facts
from reports.document.reading import read_results
from reports.errors import UserError
from reports.readmes.readme import sources, update
from reports.readmes.selection import select


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


def test_a_link_stays_a_link_and_its_target_is_written(run):
    (run.parent / "docs").mkdir()
    target = run.parent / "docs" / "README.md"
    target.write_text("<!-- medbench:environment ../run -->\n<!-- medbench:end -->\n")
    link = run.parent / "README.md"
    link.symlink_to(target)
    assert update(link)
    assert link.is_symlink()
    assert "| medbench | 0.1.0, seed 7" in target.read_text()
    assert update(link, check=True) == ""


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
        ("<!-- medbench:results . --\n<!-- medbench:end -->\n", "line 1: the marker is broken"),
        ("<!-- medbench:results gone -->\n<!-- medbench:end -->\n", "line 1: the block's run is missing: gone"),
        ("<!-- medbench:results 'a b -->\n<!-- medbench:end -->\n", "line 1: a quote is not closed"),
    ],
)
def test_broken_markers_are_refused_and_the_file_is_left_alone(run, text, message):
    file = run / "README.md"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        update(file)
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("results", "| Change |"),
        ("training", "| Backend and device |"),
        ("memory", "Peak during training"),
        ("examples", "Not medical advice"),
        ("environment", "| machine |"),
    ],
)
def test_every_block_is_written_and_stays(run, name, words):
    file = run / "README.md"
    file.write_text(f"<!-- medbench:{name} . -->\n<!-- medbench:end -->\n")
    assert words in update(file)
    assert words in file.read_text()
    assert update(file) == update(file, check=True) == ""


def test_several_blocks_of_several_runs_stand_in_one_file(run):
    other = shutil.copytree(run, run / "other")
    value = json.loads((other / "results.json").read_text()) | {"name": "other"}
    (other / "results.json").write_text(json.dumps(value))
    file = run / "README.md"
    file.write_text(
        "# T\n<!-- medbench:results . other -->\n<!-- medbench:end -->\nbetween\n"
        "<!-- medbench:training other/results.json -->\nold\n<!-- medbench:end -->\n"
    )
    assert update(file)
    text = file.read_text()
    assert text.index("**tiny**") < text.index("**other**") < text.index("\nbetween\n") < text.index("| Backend")
    assert update(file) == ""


@pytest.mark.parametrize("name", [".env", ".git/config"])
def test_a_hidden_file_is_no_template(run, name):
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_text("token=1")
    file = run / "README.md"
    file.write_text(f"<!-- medbench:template . file={name} -->\n<!-- medbench:end -->\n")
    with pytest.raises(UserError, match="template is hidden, or in a hidden folder"):
        update(file, check=True)


def test_a_block_of_a_template_of_the_user_s(run):
    file, template = run / "README.md", run / "mine.md.j2"
    template.write_text("{% for run in runs %}\n{{ run.name }}: {{ run.verdict | length }}\n{% endfor %}\n")
    file.write_text("<!-- medbench:template . file=mine.md.j2 -->\n<!-- medbench:end -->\n")
    assert update(file)
    assert f"\ntiny: {len(read_results(run).verdict)}\n" in file.read_text()
    for text, message in (
        ("{{ runs[0].nothing }}", "has no attribute 'nothing'"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("<!-- medbench:end -->", "contains a medbench marker"),
        ("```", "leaves a code fence open"),
    ):
        template.write_text(text)
        before = file.read_bytes()
        with pytest.raises(UserError, match=message):
            update(file)
        assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ 'a' * 10**10 }}", "line 2: the template fails: MemoryError"),
        ("{{ '%9999999999d' % 1 }}", "line 2: the template fails: MemoryError"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "line 2: the template fails: maximum recursion depth"),
        ("{% for a in range(9999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "line 2: .* more than 2 s"),
        ("{% for a in range(99999) %}{{ 'a' * 99 }}{% endfor %}", "it writes more than 1,000,000 characters"),
        ("{{ results.parse_file('results.json') }}", "line 2: .* access to attribute 'parse_file' .* is unsafe"),
        ("{{ results.model_fields.name.annotation() }}", "line 2: .* is not safely callable"),
        ("{{ tables.dataclass }}", "line 2: .* has no attribute 'dataclass'"),
    ],
)
def test_a_template_is_stopped(run, text, message):
    (run / "mine.j2").write_text(f"\n{text}")
    (run / "README.md").write_text("<!-- medbench:template . file=mine.j2 -->\n<!-- medbench:end -->\n")
    with pytest.raises(UserError, match=message) as caught:
        update(run / "README.md")
    assert str(run / "mine.j2") in str(caught.value)


def test_a_template_unpickles_nothing(run, tmp_path):
    """Old methods of pydantic unpickle what they are given; this pickle would create a file."""
    pickled = f"cos\nmkdir\n(V{tmp_path / 'made'}\ntR."
    loaded = f"{{{{ results.parse_raw({json.dumps(pickled)}.encode(), proto='pickle', allow_pickle=True) }}}}"
    (run / "mine.j2").write_text(loaded)
    (run / "README.md").write_text("<!-- medbench:template . file=mine.j2 -->\n<!-- medbench:end -->\n")
    with pytest.raises(UserError, match="access to attribute 'parse_raw' of 'Results' object is unsafe"):
        update(run / "README.md")
    assert not (tmp_path / "made").exists()


def test_fences_within_fences_that_mention_markers_are_text(run):
    file = run / "README.md"
    before = (
        "````md\n```\n<!-- medbench:results nowhere -->\n```\n<!-- medbench:end -->\n````\n"
        "~~~ text\n```\n<!-- medbench:end -->\n``` no end\n~~~\nfor `a` and ```b``` inline\n"
    )
    file.write_text(before + "<!-- medbench:environment . -->\n<!-- medbench:end -->\nrest\x0c\u2028more")
    assert update(file)
    text = file.read_text()
    assert text.startswith(before)
    assert text.endswith("<!-- medbench:end -->\nrest\x0c\u2028more")


def test_a_check_changes_nothing_prints_a_diff_and_exits_1(run, command):
    file = run / "README.md"
    file.write_text("<!-- medbench:results . -->\nstale\n<!-- medbench:end -->\n")
    before = file.read_bytes()
    code, out, _ = command("readme", file, "--check")
    assert (code, file.read_bytes()) == (1, before)
    assert "-stale" in out
    assert command("readme", file)[0] == 0
    assert command("readme", file, "--check")[0] == 0


def test_a_block_that_the_run_has_nothing_for_is_refused(run):
    value = json.loads((run / "results.json").read_text()) | {"training": None}
    (run / "results.json").write_text(json.dumps(value))
    file = run / "README.md"
    file.write_text("<!-- medbench:memory . -->\n<!-- medbench:end -->\n")
    with pytest.raises(UserError, match="has nothing for the block memory"):
        update(file)


def test_answers_that_hold_fences_and_markers_stay_within_their_block(run):
    path = run / "samples" / "base" / "medbench_generation.jsonl"
    rows = [json.loads(line) | {"output": "```\n<!-- medbench:end -->\n~~~~"} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_facts(path)
    file = run / "README.md"
    file.write_text("<!-- medbench:examples . -->\n<!-- medbench:end -->\nafter\n")
    assert update(file)
    assert "````text\n```\n<!-- medbench:end -->\n~~~~\n````" in file.read_text()
    assert file.read_text().endswith("\n<!-- medbench:end -->\nafter\n")
    assert update(file) == ""


OUTSIDE = "SECRET=outside of the repository"


@pytest.fixture
def repository(run):
    """A repository with a run, next to files that no block may show: (its root, the folder outside)."""
    outside = run.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_text(OUTSIDE)
    shutil.copytree(run, outside / "run")
    root = run.parent / "repository"
    (root / ".git").mkdir(parents=True)
    (root / "docs").mkdir()
    shutil.move(run, root / "runs" / "a b")
    return root, outside


def test_a_path_with_blanks_is_quoted_and_may_lie_anywhere_in_the_repository(repository):
    root, _ = repository
    file = root / "docs" / "results.md"
    (root / "mine here.j2").write_text("{{ runs[0].name }}")
    file.write_text(
        '<!-- medbench:results "../runs/a b" -->\n<!-- medbench:end -->\n'
        "<!-- medbench:template '../runs/a b' file='../mine here.j2' -->\n<!-- medbench:end -->\n"
    )
    assert update(file)
    assert "| Change |" in file.read_text()
    assert file.read_text().endswith("-->\ntiny\n<!-- medbench:end -->\n")


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("template runs file=/proc/self/environ", "the block's template lies outside of"),
        ("template runs file=../outside/secret", "the block's template lies outside of"),
        ("template runs file=docs/../../outside/secret", "the block's template lies outside of"),
        ("template runs file=linked", "the block's template lies outside of"),
        ("template runs file=linked-folder/secret", "the block's template lies outside of"),
        ("template runs file=docs", "the block's template is not a file"),
        ("template runs file=pipe", "the block's template is not a file"),
        ("template runs file=large", "the block's template is not a file of at most 1 MB"),
        ("template runs file=loop", "the block's template is missing: loop"),
        ("results ../outside/run", "the block's run lies outside of"),
        ("results linked-folder/run", "the block's run lies outside of"),
        ("results linked-folder/run/results.json", "the block's run lies outside of"),
        ("results linked-results", "a file of the block's run linked-results lies outside of"),
        ("examples linked-samples", "a file of the block's run linked-samples lies outside of"),
        ("examples linked-samples/results.json", "a file of the block's run results.json lies outside of"),
    ],
)
def test_no_block_reads_a_file_outside_of_the_repository(repository, command, words, fault):
    root, outside = repository
    (root / "linked").symlink_to(outside / "secret")
    (root / "linked-folder").symlink_to(outside)
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    (root / "large").write_text("x" * 1_000_001)
    shutil.move(root / "runs" / "a b", root / "runs" / "a")
    for name in ("results.json", "samples"):
        copy = shutil.copytree(root / "runs" / "a", root / f"linked-{name.removesuffix('.json')}")
        shutil.move(copy / name, copy / "old")
        (copy / name).symlink_to(outside / "run" / name)
    file = root / "README.md"
    file.write_text(f"<!-- medbench:{words.replace(' runs ', ' runs/a ')} -->\n<!-- medbench:end -->\n")
    before = file.read_bytes()
    for check in ("--check", None):
        code, out, err = command("readme", file, *filter(None, [check]))
        assert (code, out) == (2, "")
        assert fault in err
        assert OUTSIDE not in err
    assert file.read_bytes() == before


def test_a_markdown_file_that_is_a_link_out_of_the_repository_is_not_shown(repository, command):
    root, outside = repository
    (outside / "notes.md").write_text(f"{OUTSIDE}\n<!-- medbench:results run -->\n<!-- medbench:end -->\n")
    (root / "README.md").symlink_to(outside / "notes.md")
    code, out, err = command("readme", root / "README.md", "--check")
    assert (code, out) == (2, "")
    assert "the file lies outside of" in err
    assert OUTSIDE not in err


QUICKSTART = Path(__file__).resolve().parents[3] / "benchmarks" / "results" / "quickstart" / "results.json"


@pytest.fixture
def clone(tmp_path):
    """A clone of a repository whose runs are not committed, but a results.json in a folder with a blank is."""
    (tmp_path / "clone" / ".git").mkdir(parents=True)
    (tmp_path / "clone" / "my results").mkdir()
    shutil.copy(QUICKSTART, tmp_path / "clone" / "my results")
    return tmp_path / "clone"


def block(clone, words, name="results"):
    """Write a block and return its text."""
    file = clone / "README.md"
    file.write_text(f"<!-- medbench:{name} 'my results/results.json' {words} -->\n<!-- medbench:end -->\n")
    update(file)
    return file.read_text()


def metrics_of(text):
    return [line.split("|")[1].strip() for line in text.splitlines() if re.match(r"\| [A-Z]", line)][1:]


@pytest.mark.parametrize(
    ("words", "metrics"),
    [
        ("metrics=perplexity", ["Perplexity ↓"]),
        ("metrics=perplexity,accuracy", ["Accuracy ↑ (PubMedQA, synthetic items)", "Perplexity ↓"]),
        ("'metrics=accuracy, medbench_generation/rouge_l'", ["Accuracy ↑ (PubMedQA, synthetic items)", "ROUGE-L ↑"]),
        ("metrics=medbench_pubmedqa/macro_f1 models=adapter", ["Macro-F1 ↑ (PubMedQA, synthetic items)"]),
    ],
)
def test_a_block_shows_the_metrics_that_it_names(clone, words, metrics):
    text = block(clone, words)
    assert metrics_of(text) == metrics
    assert ("Perplexity of the gold" in text) == ("Perplexity ↓" in metrics)  # the settings of shown tasks only
    assert len(metrics_of(block(clone, ""))) > 15


def test_a_block_shows_the_models_that_it_names(clone):
    value = json.loads(QUICKSTART.read_text())
    other = [model | {"name": "other"} for model in value["models"] if model["name"] == "adapter"]
    scores = [score | {"model": "other"} for score in value["scores"] if score["model"] == "adapter"]
    pairs = [pair | {"candidate": "other"} for pair in value["comparisons"]]
    value |= {"models": value["models"] + other, "scores": value["scores"] + scores}
    value |= {"comparisons": value["comparisons"] + pairs, "checksum": ""}
    (clone / "my results" / "results.json").write_text(json.dumps(value))
    both, one = block(clone, "metrics=perplexity"), block(clone, "metrics=perplexity models=other")
    assert (both.count("Fine-tuned (adapter)"), both.count("Fine-tuned (other)")) == (1, 1)
    assert (one.count("Fine-tuned (adapter)"), one.count("Fine-tuned (other)")) == (0, 1)
    assert block(clone, "metrics=perplexity models=adapter,other") == both.replace(
        "metrics=perplexity", "metrics=perplexity models=adapter,other", 1
    )


@pytest.mark.parametrize(
    ("name", "words", "message", "fix"),
    [
        ("results", "metrics=perplexit", "the run has no metric 'perplexit'", "accuracy, macro_f1"),
        ("results", "metrics=medbench_pubmedqa/perplexity", "the run has no metric", "accuracy, macro_f1"),
        ("results", "models=adaptr", "the run has no model 'adaptr'", "write models= with some of base, adapter"),
        ("results", "metrics=", "metrics= names nothing", "write metrics=NAME,NAME"),
        ("results", "metrics=,", "metrics= names nothing", "write metrics=NAME,NAME"),
        ("results", "models=base models=adapter", "an option is there twice", "write <!-- medbench:template"),
        ("training", "models=adapter", "the block training takes no models=", "results: metrics= and models="),
        ("cost", "metrics=accuracy", "the block cost takes no metrics=", "cost: models="),
        ("results", "file=x", "file= goes with template", "write <!-- medbench:template RUN file=PATH -->"),
    ],
)
def test_a_name_that_the_run_does_not_have_is_refused(clone, name, words, message, fix):
    with pytest.raises(UserError, match=r"README\.md, line 1") as error:
        block(clone, words, name)
    assert message in str(error.value)
    assert fix in str(error.value)


@pytest.mark.parametrize("name", ["results", "training", "memory", "environment"])
def test_a_clone_without_runs_passes_the_check_on_committed_results(run, tmp_path, name, command):
    """The run writes the block; the clone has README.md and results.json only."""
    repository = tmp_path / "repository"
    (repository / ".git").mkdir(parents=True)
    shutil.copytree(run, repository / "runs" / "mine")
    file = repository / "README.md"
    file.write_text(f"<!-- medbench:{name} runs/mine -->\n<!-- medbench:end -->\n")
    code, out, _ = command("readme", file)
    assert code == 0
    committed = out.split("git add --force ")[1].split()
    assert [Path(path).relative_to(repository).as_posix() for path in committed] == [
        "README.md",
        "runs/mine/results.json",
    ]
    cloned = tmp_path / "cloned"
    (cloned / ".git").mkdir(parents=True)
    for path in committed:
        copy = cloned / Path(path).relative_to(repository)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    assert command("readme", cloned / "README.md", "--check")[0] == 0
    (cloned / "runs" / "mine" / "results.json").unlink()
    (cloned / "runs" / "mine").rmdir()
    code, _, err = command("readme", cloned / "README.md", "--check")
    assert code == 2
    assert "line 1: the block's run is missing: mine" in err
    assert "commit the run's results.json, since a clone has only what was committed" in err


def test_the_files_that_a_clone_needs_are_those_of_every_block(run):
    file = run / "README.md"
    (run / "mine.j2").write_text("x")
    file.write_text(
        "<!-- medbench:results . -->\n<!-- medbench:end -->\n"
        "<!-- medbench:examples ./results.json -->\n<!-- medbench:end -->\n"
        "<!-- medbench:template . file=mine.j2 -->\n<!-- medbench:end -->\n"
    )
    assert sources(file) == [run / "results.json", run / "samples", run / "mine.j2"]


def test_a_stale_file_is_named_in_the_difference_with_its_command(run, monkeypatch):
    monkeypatch.chdir(run)
    Path("my readme.md").write_text("<!-- medbench:environment . -->\nold\n<!-- medbench:end -->\n")
    heading = update(Path("my readme.md"), check=True).splitlines()[:2]
    assert heading == ["--- my readme.md", "+++ my readme.md (after: medbench readme 'my readme.md')"]


def test_what_is_selected_is_all_that_is_left_of_the_results():
    results = read_results(QUICKSTART)
    other = [pair.model_copy(update={"candidate": "other"}) for pair in results.comparisons]
    several = results.model_copy(
        update={
            "models": [*results.models, results.models[1].model_copy(update={"name": "other"})],
            "comparisons": [*results.comparisons, *other],
        }
    )
    chosen = select(several, ["other"], ["perplexity"], "here")
    assert [model.name for model in chosen.models] == ["base", "other"]
    assert [(pair.candidate, pair.metric) for pair in chosen.comparisons] == [("other", "perplexity")]
    assert [(task.name, [metric.key for metric in task.metrics]) for task in chosen.tasks] == [
        ("medbench_perplexity", ["perplexity"])
    ]
    assert {(score.model, score.metric) for score in chosen.scores} == {("base", "perplexity")}
    assert {cost.task for cost in chosen.costs} == {"medbench_perplexity"}
    assert chosen.label_use == []
