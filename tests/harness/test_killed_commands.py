"""Writing commands are killed before each change they make: nothing is left half, and a repetition completes.

A child process counts its changes with an audit hook (PEP 578) and ends without cleaning up before the n-th.
"""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.releases.baselines import baseline_folder, read_baseline
from reports.document.reading import read_results
from reports.rating_sheet import ASPECTS

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.link", "os.symlink", "os.truncate"}
KILLED = 77
ROOT = Path(__file__).resolve().parents[2]
MOST = 200
pytestmark = pytest.mark.usefixtures("without_plots")


def run_killed(words, change, below):
    """Run a command in a fork that dies before its n-th change to paths that start so; (exit code, whether it died)."""
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return code, code == KILLED
    seen = 0

    def hook(event, args):
        nonlocal seen
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if (event in CHANGES or writes) and str(args[0]).startswith(below):
            seen += 1
            if seen == change:
                os._exit(KILLED)

    code = 70
    try:
        from harness.__main__ import main

        sys.argv = ["medbench", *map(str, words)]
        sys.stdout = sys.stderr = io.StringIO()
        sys.addaudithook(hook)
        main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        os._exit(code)


def kill_everywhere(command, prepare, words, check, below, code=0):
    """Kill a command before each of its changes; `check` sees what is left, and what a repetition makes of it."""
    for change in range(1, MOST):
        prepare()
        ended, died = run_killed(words, change, below)
        if not died:
            assert ended == code
            return change
        check(whole=False)
        ended, _, err = command(*words)
        assert ended == code, f"killed before change {change}: then exit code {ended}, {err}"
        check(whole=True)
    raise AssertionError(f"more than {MOST} changes")


@pytest.fixture
def fresh(tiny_run, tmp_path):
    """A function that makes `tmp_path/run` as it was after the run, and empties what else is there."""

    def make():
        for path in tmp_path.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return Path(shutil.copytree(tiny_run, tmp_path / "run"))

    make()
    return make


def fill(sheet, target, mark):
    rows = list(csv.DictReader(io.StringIO(sheet.read_text(encoding="utf-8"), newline="")))
    with target.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | dict.fromkeys(ASPECTS, mark) for row in rows)
    return target


@pytest.mark.slow
def test_baseline_set(fresh, command, tmp_path):
    store = tmp_path / "store"

    def prepare():
        run = fresh()
        assert command("baseline", "set", f"{run}:base", "--name", "rel", "--store", store)[0] == 0

    def check(*, whole):
        place = baseline_folder(store / "rel")
        model = read_baseline(place).model  # of whole files, by their hashes
        assert model == "adapter" if whole else model in ("base", "adapter")
        if whole:
            assert place == store / "rel"
            assert sorted(path.name for path in store.iterdir()) == [".lock", "rel"]

    words = ("baseline", "set", f"{tmp_path / 'run'}:adapter", "--name", "rel", "--store", store)
    assert kill_everywhere(command, prepare, words, check, str(tmp_path)) > 15


@pytest.mark.slow
def test_rate_export_again(fresh, command, tmp_path):
    ratings = tmp_path / "run" / "ratings"

    def prepare():
        assert command("rate", "export", fresh(), "--items", 3)[0] == 0

    def check(*, whole):
        if (ratings / "key.json").is_file():  # then the sheet is the key's
            codes = [row["code"] for row in csv.DictReader(io.StringIO((ratings / "sheet.csv").read_text()))]
            assert sorted(codes) == sorted(json.loads((ratings / "key.json").read_text())["codes"])
        else:
            assert not whole

    words = ("rate", "export", tmp_path / "run", "--items", 2, "--again")
    assert kill_everywhere(command, prepare, words, check, str(tmp_path)) > 5


@pytest.mark.slow
def test_rate_export_of_more_items_keeps_the_earlier_codes(fresh, command, tmp_path):
    ratings = tmp_path / "run" / "ratings"
    earlier: dict = {}

    def prepare():
        assert command("rate", "export", fresh(), "--items", 2)[0] == 0
        earlier.update(codes=json.loads((ratings / "key.json").read_text())["codes"])

    def check(*, whole):
        codes = json.loads((ratings / "key.json").read_text())["codes"]
        assert codes.items() >= earlier["codes"].items()
        if whole:
            rows = csv.DictReader(io.StringIO((ratings / "sheet.csv").read_text(encoding="utf-8"), newline=""))
            assert {row["code"] for row in rows} <= codes.keys() - earlier["codes"].keys()

    words = ("rate", "export", tmp_path / "run", "--items", 2, "--more")
    assert kill_everywhere(command, prepare, words, check, str(tmp_path)) > 5


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_rate_import_keeps_the_marks_of_other_raters(fresh, command, tmp_path):
    run = tmp_path / "run"

    def prepare():
        fresh()
        assert command("rate", "export", run, "--items", 3)[0] == 0
        assert command("rate", "import", run, fill(run / "ratings" / "sheet.csv", tmp_path / "ann.csv", 5))[0] == 0
        fill(run / "ratings" / "sheet.csv", tmp_path / "bob.csv", 2)

    def check(*, whole):
        marks = json.loads((run / "ratings" / "ratings.json").read_text())
        raters = {rating["rater"] for rating in marks}
        results = read_results(run)
        (score,) = [s for s in results.scores if (s.task, s.model, s.metric) == ("human_rating", "base", "fluency")]
        if whole:
            assert (raters, score.value, results.ratings.raters) == ({"ann", "bob"}, 3.5, 2)
        else:
            assert "ann" in raters
            assert score.value in (5, 3.5)

    below = tuple(str(run / name) for name in ("ratings", "samples", "results.json", ".results.json"))
    assert kill_everywhere(command, prepare, ("rate", "import", run, tmp_path / "bob.csv"), check, below) > 8


@pytest.mark.slow
def test_gate_leaves_no_verdict_of_an_earlier_gate(fresh, command, tmp_path):
    run = tmp_path / "run"

    def prepare():
        fresh()
        (tmp_path / "lenient.yaml").write_text("version: 1\nrules:\n- rule: complete\n")
        (tmp_path / "strict.yaml").write_text(
            "version: 1\nrules:\n- {rule: bound, metric: medbench_perplexity/perplexity, max: 0.5}\n"
        )
        assert command("gate", run, "--policy", tmp_path / "lenient.yaml")[0] == 0

    def check(*, whole):
        verdicts = [json.loads(path.read_text())["verdict"] for path in run.glob("gate.json")]
        assert verdicts == ["fail"] if whole else verdicts in ([], ["pass"], ["fail"])

    words = ("gate", run, "--policy", tmp_path / "strict.yaml")
    assert kill_everywhere(command, prepare, words, check, str(tmp_path), code=1) > 6


def test_a_gate_that_ends_with_an_error_leaves_no_earlier_verdict(fresh, command):
    run = fresh()
    command("gate", run)
    assert (run / "gate.json").is_file()
    (run / "results.json").write_text("{")
    assert command("gate", run)[0] == 2
    assert list(run.glob("gate.*")) == []


@pytest.mark.parametrize(
    "words", [("--bogus",), ("--baseline",), ("--out", "RUN", "--bogus"), ("--out=RUN", "b"), ("--baseline", "\a")]
)
def test_a_gate_with_a_wrong_command_line_leaves_no_earlier_verdict(fresh, command, tmp_path, words):
    run = fresh()
    shutil.copytree(run, tmp_path / "released")
    for folder in (run, tmp_path / "released"):
        command("gate", folder)
    before = "elsewhere" if any("RUN" in word for word in words) else run
    code, _, _ = command(
        "gate", before, "--baseline", tmp_path / "released", *(word.replace("RUN", str(run)) for word in words)
    )
    assert code == 2
    assert list(run.glob("gate.*")) == []
    assert len(list((tmp_path / "released").glob("gate.*"))) == 3  # which is no folder to write to


def test_readme(fresh, command, tmp_path):
    readme = tmp_path / "README.md"
    old = "# Mine\n<!-- medbench:environment run -->\n<!-- medbench:end -->\nend\n"

    def prepare():
        fresh()
        readme.write_text(old)

    def check(*, whole):
        text = readme.read_text()
        assert text.endswith("<!-- medbench:end -->\nend\n")
        if whole:
            assert "| medbench |" in text
            assert list(tmp_path.glob(".*")) == []

    assert kill_everywhere(command, prepare, ("readme", readme), check, str(tmp_path)) > 2


@pytest.mark.slow
def test_convert_and_init(fresh, command, tmp_path):
    def check(*, whole):
        if whole:
            assert (tmp_path / "csv" / "scores.csv").read_text().startswith("model,")
            assert list((tmp_path / "csv").glob(".*")) == []

    words = ("convert", tmp_path / "run", "--to", "csv", "--out", tmp_path / "csv")
    assert kill_everywhere(command, fresh, words, check, str(tmp_path)) > 4

    def check_starter(*, whole):
        if whole:
            assert (tmp_path / "new" / ".github" / "workflows" / "medbench.yml").is_file()
            assert [path.name for path in (tmp_path / "new").rglob("*.part")] == []

    init = ("init", tmp_path / "new", "--action", "OWNER/medbench@v0.1.0", "--force")
    assert kill_everywhere(command, fresh, init, check_starter, str(tmp_path)) > 4


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_export_and_report(fresh, command, tmp_path):
    merged = tmp_path / "run" / "merged"

    def check(*, whole):
        if merged.exists():  # it gets its name when it has been loaded and compared
            log = json.loads((merged / "export.json").read_text())
            assert log["weight_bytes"] == sum(path.stat().st_size for path in merged.glob("*.safetensors"))
        else:
            assert not whole
        if whole:
            assert [path.name for path in merged.parent.glob(".merged*")] == []

    def export(*, killed_before):
        ended, died = run_killed(("export", tmp_path / "run"), killed_before, str(tmp_path))
        assert died or ended == 0
        return died

    for change in range(1, MOST):
        fresh()
        died = export(killed_before=change)
        check(whole=not died)
        if not died:
            break
        if not merged.exists():
            ended, _, err = command("export", tmp_path / "run")
            assert ended == 0, f"killed before change {change}: {err}"
        check(whole=True)
    assert change > 5

    def check_report(*, whole):
        pages = [(tmp_path / "run" / name).read_text() for name in ("report.html", "report.md")]
        assert pages[0].rstrip().endswith("</html>")
        assert "not medical advice" in pages[1].lower()

    assert kill_everywhere(command, fresh, ("report", tmp_path / "run"), check_report, str(tmp_path)) > 2


def at_once(*commands):
    """Run commands at the same time in processes of their own: exit codes and what they printed."""
    program = [sys.executable, "-m", "harness"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [*program, *map(str, words)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for words in commands
    ]
    texts = [process.communicate()[0] for process in running]
    return [process.returncode for process in running], texts


@pytest.mark.slow
def test_five_gates_and_baselines_at_once_do_not_disturb_each_other(fresh, tmp_path):
    run = fresh()
    codes, texts = at_once(*(("gate", run, "--out", tmp_path / f"out{number}") for number in range(5)))
    assert codes == [3] * 5, texts
    store = tmp_path / "store"
    codes, texts = at_once(*(("baseline", "set", run, "--name", "rel", "--store", store) for _ in range(5)))
    assert codes == [0] * 5, texts
    assert read_baseline(store / "rel").model == "adapter"
    assert sorted(path.name for path in store.iterdir()) == [".lock", "rel"]


@pytest.mark.slow
def test_five_readers_of_one_run_at_once(fresh, tmp_path):
    run = fresh()
    readme = tmp_path / "README.md"
    readme.write_text("# Mine\n<!-- medbench:environment run -->\n<!-- medbench:end -->\nend\n")
    for words in (
        ("readme", readme),
        ("report", run),
        ("convert", run, "--to", "csv", "--out", tmp_path / "csv"),
        ("init", tmp_path / "new", "--action", "OWNER/medbench@v0.1.0", "--force"),
    ):
        codes, texts = at_once(*[words] * 5)
        assert codes == [0] * 5, texts
    assert readme.read_text().count("<!-- medbench:environment run -->") == 1
    assert (run / "report.html").read_text().rstrip().endswith("</html>")
    assert (tmp_path / "csv" / "scores.csv").read_text().startswith("model,")
    assert [path.name for path in tmp_path.rglob("*.part")] == []


@pytest.mark.slow
def test_five_raters_imported_at_once_are_all_there(fresh, command, tmp_path):
    run = fresh()
    assert command("rate", "export", run, "--items", 3)[0] == 0
    sheets = [fill(run / "ratings" / "sheet.csv", tmp_path / f"rater{mark}.csv", mark) for mark in range(1, 6)]
    codes, texts = at_once(*(("rate", "import", run, sheet) for sheet in sheets))
    assert codes == [0] * 5, texts
    results = read_results(run)
    (score,) = [s for s in results.scores if (s.task, s.model, s.metric) == ("human_rating", "base", "fluency")]
    assert (results.ratings.raters, score.value) == (5, 3.0)


@pytest.mark.slow
def test_five_exports_at_once_write_one_whole_model(fresh, tmp_path):
    run = fresh()
    codes, texts = at_once(*[("export", run)] * 5)
    assert min(codes) == 0, texts
    assert set(codes) <= {0, 2}, texts  # the others find that it is there
    log = json.loads((run / "merged" / "export.json").read_text())
    assert log["weight_bytes"] == sum(path.stat().st_size for path in (run / "merged").glob("*.safetensors"))
    assert [path.name for path in run.glob(".merged*")] == []


@pytest.mark.slow
def test_five_rating_sheets_at_once_fit_the_key(fresh, tmp_path):
    run = fresh()
    codes, texts = at_once(*[("rate", "export", run, "--items", 3, "--again")] * 5)
    assert codes == [0] * 5, texts
    ratings = run / "ratings"
    codes = [row["code"] for row in csv.DictReader(io.StringIO((ratings / "sheet.csv").read_text()))]
    assert sorted(codes) == sorted(json.loads((ratings / "key.json").read_text())["codes"])


def test_a_run_that_starts_removes_only_what_dead_processes_left(fresh):
    from harness.folder import RunFolder

    run = fresh()
    dead = subprocess.Popen(["true"])
    dead.wait()
    time.sleep(0.01)
    ours, theirs = run / f".a.json.{os.getpid()}-x1.part", run / f".a.json.{dead.pid}-x1.part"
    ours.touch()
    theirs.touch()
    with RunFolder(run).lock():
        assert (ours.exists(), theirs.exists()) == (True, False)
