"""The pages in Markdown: short, linked, and every command they show is run, or parsed where a test cannot run it."""

import argparse
import importlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml

from reports.version import __version__
from tests.conftest import tiny_recipe_value
from tests.pages import PAGES, ROOT, WALKTHROUGHS, blocks, commands, name_of, shown_commands, text_of, write

CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
FAST: dict[str, dict] = {
    "model": {"dtype": "float32"},
    "trainer": {"max_steps": 1, "batch_size": 2, "gradient_accumulation": 1, "learning_rate": 0.1, "max_length": 256},
    "data": {"train": {"source": "samples:reasoning_train", "rows": 4}},
    "scoring": {"tasks": ["medbench_pubmedqa"], "limit": 2, "max_new_tokens": 2, "noise_items": 0},
}
# What a page leaves to the reader, and what a test puts there.
PLACEHOLDERS = {
    "RUN": "runs/quickstart",
    "FILE": "README.md",
    "FOLDER": "templates",
    "RECIPE": "quickstart",
    "COMMAND": "run",
    "50": "2",  # items
}
PARSED_ONLY = (
    *("medqa_4options", "medical", "retention"),  # their questions are on the hub
    "http://localhost:8000",  # where no server is
    "runs/story",  # whose rows are not in the repository
    *("ada.csv", "--more"),  # which a rater fills in before further items are drawn
)
EXIT_CODES = {"gate": (0, 1, 3), "readme": (0, 1), "verify": (0, 3)}  # that are no faults


def anchors(page):
    """What links may point to in a page: its headings as GitHub writes them."""
    titles = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_readme_is_short_and_leads_to_every_page():
    readme = text_of(ROOT / "README.md")
    written = re.sub(r"<!-- medbench:.*?<!-- medbench:end -->", "", readme, flags=re.DOTALL)
    assert len(written.encode()) < 6_000
    contents = text_of(ROOT / "docs" / "contents.md")
    assert "](docs/contents.md)" in readme
    for page in PAGES:
        in_contents = f"]({page.name})" if page.parent != ROOT else f"](../{page.name})"
        assert page.name in ("README.md", "contents.md") or in_contents in contents, page.name


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent != ROOT], ids=name_of)
def test_a_page_in_docs_answers_the_question_in_its_first_line(page):
    assert re.fullmatch(r"# .+\?", text_of(page).splitlines()[0])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings_that_are_there(page):
    for target in re.findall(r"\]\(([^)]+)\)", text_of(page)):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_the_changelog_begins_with_this_version():
    assert re.findall(r"^## (\S+)", text_of(ROOT / "CHANGELOG.md"), re.MULTILINE)[0] == __version__


@pytest.fixture(scope="module")
def place(tiny_model, tmp_path_factory):
    """A folder where the commands of the pages find all that they name; `quickstart` and the like are tiny recipes."""
    folder = tmp_path_factory.mktemp("place")
    for name, source in {"train": "reasoning_train", "test": "reasoning_heldout"}.items():
        shutil.copy(ROOT / "tasks" / "samples" / f"{source}.jsonl", folder / f"{name}.jsonl")
    shutil.copy(ROOT / "tasks" / "samples" / "pubmedqa.json", folder / "ori_pqal.json")
    rows = [f'What is sign {number}?,"It is seen, then named.",Sign {number}.\n' for number in range(10)]
    (folder / "qa.csv").write_text("Prompt,Rationale,Answer\n" + "".join(rows), encoding="utf-8")
    for page in ("your-data", "judging"):
        for block in blocks(text_of(ROOT / "docs" / f"{page}.md")):
            if block.verb and block.language != "sh":
                write(block, folder)
    (folder / "my").mkdir()
    (folder / "my" / "model-folder").symlink_to(tiny_model)
    (folder / "path" / "or").mkdir(parents=True)
    (folder / "path" / "or" / "hub-id").symlink_to(folder / "runs" / "quickstart" / "adapter")
    (folder / "benchmarks").mkdir()
    (folder / "benchmarks" / "results").symlink_to(ROOT / "benchmarks" / "results")
    (folder / "templates").mkdir()
    (folder / "recipes").mkdir()
    for name in ("quickstart", "llama31-8b-huatuo", "my_recipe"):
        value = {**tiny_recipe_value(tiny_model), **FAST, "name": name}
        value["model"] = {"base": str(tiny_model), **FAST["model"]}
        target = folder / "my_recipe.yaml" if name == "my_recipe" else folder / "recipes" / f"{name}.yaml"
        target.write_text(yaml.safe_dump(value), encoding="utf-8")
    (folder / "gate.yaml").write_text("version: 1\nrules:\n  - rule: complete\n", encoding="utf-8")
    (folder / ".git").mkdir()  # README blocks of docs/ may name runs of the repository
    (folder / "docs").mkdir()
    for file, run in {"README.md": "runs/quickstart", "docs/results.md": "../runs/quickstart"}.items():
        (folder / file).write_text(f"<!-- medbench:results {run} -->\n<!-- medbench:end -->\n", encoding="utf-8")
    return folder


@pytest.fixture
def medbench(place, command, without_plots, monkeypatch):
    """Run a `medbench` command of a page in that folder, for real but for the report's plots, which take longest."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("MEDBENCH_HOME", str(place / "home"))
    monkeypatch.setattr("training.recipes.recipe_file.RECIPES_FOLDER", place / "recipes")

    def run(words):
        if words[0] == "export":  # which overwrites nothing
            shutil.rmtree(place / "runs" / "quickstart" / "merged", ignore_errors=True)
            (place / "runs" / "quickstart" / "merged-q8_0.gguf").unlink(missing_ok=True)
        code, _, err = command(*words)
        assert code in EXIT_CODES.get(words[0], (0,)), (words, err)

    if not (place / "runs").exists():
        run(["train"])
        run(["run", "--models", "base,adapter,b=path/or/hub-id"])
        for name in ("a", "b", "new", "old", "released"):
            shutil.copytree(place / "runs" / "quickstart", place / "runs" / name)
        for name in ("released", "reference"):
            run(["baseline", "set", "runs/released", "--name", name])
    return run


def parse_medbench(words):
    """Parse a command with the command line's own parser, without calling what it names."""
    import typer

    from harness.__main__ import make_app

    left = [top := typer.main.get_command(make_app())]
    while left:
        command = left.pop()
        command.callback = lambda **_: None
        left.extend(getattr(command, "commands", {}).values())
    top.main(list(words), standalone_mode=False)


def check_medbench(line, medbench, monkeypatch, tmp_path):
    """Run it for each of its alternatives; what stands for the reader's own is filled in."""
    varied = next((word for word in shlex.split(line) if "|" in word and "options=" not in word), "")
    for alternative in varied.split("|"):
        words = [alternative if varied and word == varied else word for word in shlex.split(line) if word != "..."][1:]
        words = [PLACEHOLDERS.get(word, word) for word in words]
        if "sweep" in words:  # of each grid the first value
            words = [word.partition(",")[0] if "=" in word else word for word in words]
        if words == ["init"] or words[0] == "view" or any(name in word for name in PARSED_ONLY for word in words):
            parse_medbench(words)
            continue
        with monkeypatch.context() as patch:
            if words[0] == "init":
                patch.chdir(tmp_path)
            medbench(words)


def check_benchmark(line, monkeypatch):
    """Parse it with its own parser."""
    _, _, module, *words = shlex.split(line)
    loaded = importlib.import_module(module)
    monkeypatch.setattr(sys, "argv", [module, *words])
    parse = argparse.ArgumentParser.parse_args

    def parsed(*args, **kwargs):
        parse(*args, **kwargs)
        raise StopIteration  # before anything is measured

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parsed)
        with pytest.raises(StopIteration):
            loaded.main()


def check_python(line):
    words = shlex.split(line)[1:]
    subprocess.run([sys.executable, *words, "--help"], cwd=ROOT, check=True, capture_output=True)


def check_launcher(line):
    """Parse a launcher's own flags, and the `medbench` command behind `-m medbench`."""
    head, *words = shlex.split(line.removesuffix(" ..."))
    if head == "torchrun":
        from torch.distributed.run import get_args_parser

        found = get_args_parser().parse_args(words)
    else:
        from accelerate.commands.launch import launch_command_parser

        assert words.pop(0) == "launch"
        found = launch_command_parser().parse_args(words)
    assert (found.module, found.training_script) == (True, "medbench")
    parse_medbench(found.training_script_args)


def check_lm_eval(line, monkeypatch):
    from lm_eval._cli import HarnessCLI

    from tasks.catalog import CONFIG_FOLDER, TASKS

    monkeypatch.setattr(sys, "argv", shlex.split(line))
    found = HarnessCLI().parse_args()
    assert (ROOT / found.include_path).resolve() == CONFIG_FOLDER
    assert set(found.tasks if isinstance(found.tasks, list) else found.tasks.split(",")) <= TASKS.keys()


def check_pytest(line, config):
    """Its options are known and its paths there; CI runs the tests."""
    found = config._parser.parse(shlex.split(line)[1:])
    assert all((ROOT / path).exists() for path in found.file_or_dir)


def check_pip(line):
    extras = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    assert all(name in extras for name in re.findall(r"\[(\w+)\]", line))


def check_script(line):
    assert subprocess.run(["bash", "-n", ROOT / line.split()[0]], check=False).returncode == 0


def check_ci(line):
    """It is what CI runs."""
    assert any(each.startswith(line) for each in CI.splitlines())


def check_build(tmp_path):
    pytest.importorskip("hatchling")
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(".git", ".*cache", ".venv*", "runs", "__pycache__", "results")
    shutil.copytree(ROOT, source, ignore=ignored)
    subprocess.run([sys.executable, "-m", "hatchling", "build"], cwd=source, check=True, capture_output=True)
    assert len(list((source / "dist").glob(f"medbench-{__version__}*"))) == 2


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_of_a_page_runs_or_is_parsed(page, medbench, monkeypatch, pytestconfig, tmp_path):
    """A command for which there is no rule here fails; so does a rule's `assert`."""
    followed = [b for b in blocks(text_of(page)) if page in WALKTHROUGHS and b.language == "sh"]
    done = {each for block in followed for each in commands(block.text)}
    rules = {
        r"(\.venv\S*/bin/)?medbench .+": lambda line: check_medbench(line, medbench, monkeypatch, tmp_path),
        r"python -m benchmarks\.\w+.*": lambda line: check_benchmark(line, monkeypatch),
        r"python -I|python -m (harness|medbench)": check_python,
        r"(torchrun|accelerate) .+": check_launcher,
        r"lm_eval run .+": lambda line: check_lm_eval(line, monkeypatch),
        r"(\.venv\S*/bin/)?pytest( .+)?": lambda line: check_pytest(line, pytestconfig),
        r"(\.venv\S*/bin/)?pip install (\.|-e \"\.\[\w+\]\"|\"medbench\[\w+\]\")": check_pip,
        r"benchmarks/\w+\.sh|\.ci/\w+": check_script,
        r"ruff .+|mypy|deptry \.": check_ci,
        r"hatchling build": lambda _: check_build(tmp_path),
        r"python3 -m venv \.venv[\w-]*|\. \.venv/bin/activate": lambda _: None,
        r"git (commit -am \"Version [\d.]+\"|add --force [\w/.]+|tag v[\d.]+|push origin HEAD v[\d.]+)": lambda _: None,
    }
    for shown in shown_commands(text_of(page)):
        for line in shown.split(" && ") if shown not in done else ():
            found = next((check for pattern, check in rules.items() if re.fullmatch(pattern, line)), None)
            assert found, f"{name_of(page)} shows a command that no rule here covers: {line}"
            found(line)


def test_the_page_of_commands_has_every_command():
    import typer

    from harness.__main__ import make_app

    rows = re.findall(r"^\| (`.*?`) \|", text_of(ROOT / "docs" / "commands.md"), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(vars(typer.main.get_command(make_app()))["commands"])


def test_the_analysis_page_runs_and_lists_the_columns_of_all_frames(medbench, monkeypatch):
    page = text_of(ROOT / "docs" / "analysis.md")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    medbench(shlex.split(shown_commands(page)[0])[1:])
    names: dict = {}
    for block in blocks(page):
        if block.language == "python":
            exec(block.text, names)
    run, metric = names["run"], re.compile(r"metric\.\w+")
    frames = {"scores": run.scores, "comparisons": run.comparisons, "classes": run.classes, "training": run.training}
    frames |= {"samples(model=, task=)": names["answers"], "flips(baseline, candidate, metric=)": names["flips"]}
    rows = re.findall(r"^\| `run\.([^`]+)` \|[^|]+\| (.+) \|$", page, re.MULTILINE)
    assert {name: re.findall("`([^`]+)`", columns) for name, columns in rows} == {
        name: list(dict.fromkeys(metric.sub("metric.KEY", column) for column in frame.columns))
        for name, frame in frames.items()
    }


@pytest.mark.parametrize("page", ["statistics"])
def test_python_examples_of_the_pages_run(page):
    examples = [block.text for block in blocks(text_of(ROOT / "docs" / f"{page}.md")) if block.language == "python"]
    assert examples
    for example in examples:
        exec(example, {})
