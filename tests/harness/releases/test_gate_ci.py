"""What CI takes: the action's own shell steps, the YAML that ships, the pre-commit hook, and `medbench init`."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.releases.gating import load_policy
from training.recipes.recipe_file import load_recipe

ROOT = Path(__file__).resolve().parents[3]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
WORKFLOWS = [ROOT / "examples/ci/github.yml", ROOT / "harness/starter/workflow.yml"]
INPUT = re.compile(r"\$\{\{ (?:inputs|steps\.gate\.outputs|github\.event|github)\.([\w.-]+) \}\}")
LENIENT = "rules:\n- {rule: complete}\n- {rule: bound, metric: medbench_perplexity/perplexity, max: 1.0e+6}\n"


def write_programs(workplace, setup=""):
    """Write the programs that the action's steps call; `setup` is a line of shell before medbench."""
    programs = workplace / "bin"
    programs.mkdir()
    (programs / "medbench").write_text(f'#!/bin/sh\n{setup}\nexec "{sys.executable}" -P -m harness "$@"\n')
    (programs / "python").write_text(
        "#!/bin/sh\n"
        f'[ "$1 $2 $3" = "-I -m pip" ] && {{ echo "$@" >> "{workplace}/pip.log"; exit 0; }}\n'  # installs nothing
        f'exec "{sys.executable}" "$@"\n'
    )
    for program in programs.iterdir():
        program.chmod(0o755)


@pytest.fixture
def workplace(tiny_run, tmp_path):
    """A checkout on a runner: a run, a policy, GitHub's files, and the programs that the steps call."""
    shutil.copytree(tiny_run, tmp_path / "work" / "runs" / "gate")
    (tmp_path / "work" / "gate.yaml").write_text(LENIENT)
    write_programs(tmp_path)
    return tmp_path


def run_action(workplace, pull_request="", **inputs):
    """Run the action's shell steps in order as a runner does; (last exit code, outputs, all that was said)."""
    values = {name: str(each.get("default", "")) for name, each in ACTION["inputs"].items()} | inputs
    outputs: dict = {}
    said, code = "", 0
    for step in ACTION["runs"]["steps"]:
        if "run" not in step or (code and "always()" not in step.get("if", "")):
            continue
        inputs = {**values, **outputs, "token": "TOKEN", "pull_request.number": pull_request}
        if step.get("name") == "Comment" and not (values["comment"] == "true" and outputs and pull_request):
            continue

        def fill(text, inputs=inputs):
            return INPUT.sub(lambda match: inputs[match[1]], text)

        files = {name: workplace / name for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STEP_SUMMARY")}
        environment = os.environ | {name: str(path) for name, path in files.items()}
        environment |= {"GITHUB_ACTIONS": "true", "GITHUB_ACTION_PATH": str(ROOT), "PYTHONPATH": str(ROOT)}
        environment |= {"PATH": f"{workplace / 'bin'}:{os.environ['PATH']}", "GITHUB_REPOSITORY": "o/r"}
        environment |= {name: fill(str(text)) for name, text in step.get("env", {}).items()}
        files["GITHUB_OUTPUT"].write_text("")
        script = ["bash", "-euo", "pipefail", "-c", fill(step["run"])]
        done = subprocess.run(
            script, cwd=workplace / "work", env=environment, capture_output=True, text=True, check=False
        )
        said, code = said + done.stdout + done.stderr, done.returncode
        if step.get("id") == "gate":
            outputs = parse_outputs(files["GITHUB_OUTPUT"].read_text())
    return code, outputs, said


def parse_outputs(text):
    """Outputs as GitHub reads them: NAME=VALUE, or NAME<<END, lines, END."""
    found, lines = {}, iter(text.splitlines())
    for line in lines:
        name, several, end = line.partition("<<")
        if several and "=" not in name:
            found[name] = "\n".join(iter(lambda: next(lines), end))
        else:
            name, _, found[name] = line.partition("=")
    return found


def test_the_action_gates_a_run_that_is_there(workplace):
    code, outputs, said = run_action(workplace, policy="gate.yaml")
    assert code == 0, said
    assert (outputs["verdict"], outputs["exit-code"]) == ("pass", "0")
    assert outputs["comment"].startswith("## ✅ medbench: the model may be released")
    assert "may be released" in (workplace / "GITHUB_STEP_SUMMARY").read_text()
    assert "MEDBENCH_HOME=" in (workplace / "GITHUB_ENV").read_text()
    assert str(ROOT) in (workplace / "pip.log").read_text()


def test_the_action_ends_with_the_gates_exit_code_after_all_is_told(workplace):
    code, outputs, said = run_action(workplace)
    assert (code, outputs["verdict"], outputs["exit-code"]) == (3, "inconclusive", "3")
    assert "::error title=" in said
    (workplace / "work" / "gate.yaml").write_text("rules: []\n")
    code, outputs, _ = run_action(workplace, policy="gate.yaml")
    assert (code, outputs["verdict"], outputs["exit-code"]) == (2, "", "2")
    assert "could not judge" in outputs["comment"]


def test_the_action_takes_several_baselines_one_per_line(workplace):
    store = workplace / "work" / "baselines"
    for name in ("released", "reference"):
        shutil.copytree(workplace / "work" / "runs" / "gate", store / name)
    _, outputs, said = run_action(workplace, policy="gate.yaml", baseline="released:base\nreference:base\n")
    assert outputs["verdict"] == "pass", said
    assert re.search(r"\| Compared with \| base of released, \S+; base of reference, \S+ \|", outputs["comment"])


COMMENTS = (
    '[{"id": 5, "user": {"type": "User"}, "body": "<!-- medbench gate: medbench-gate -->\\nby somebody else"},'
    ' {"id": 6, "user": {"type": "Bot"}, "body": "of another tool\\n<!-- medbench gate: medbench-gate -->"},'
    ' {"id": 7, "user": {"type": "Bot"}, "body": "<!-- medbench gate: other -->\\r\\nof another job"}]'
)
OURS = COMMENTS.replace('"of another tool', '"<!-- medbench gate: medbench-gate -->\\r\\n')


@pytest.fixture
def github(workplace):
    """A `gh` that lists comments and notes what is written: the calls, after (comments, exit code)."""

    def write(comments, fails=""):
        (workplace / "comments.json").write_text(comments)
        (workplace / "bin" / "gh").write_text(
            f"#!{sys.executable}\n"
            "import json, sys\n"
            f"place = {str(workplace)!r}\n"
            "words = sys.argv[1:]\n"
            "if '--jq' in words:\n"
            "    for comment in json.load(open(place + '/comments.json')):\n"
            "        if comment['user']['type'] == 'Bot':\n"
            "            print(comment['id'], comment['body'].split('\\n')[0])\n"
            "    sys.exit()\n"
            "body = open(words[-1].removeprefix('body=@')).read()\n"
            "open(place + '/calls.jsonl', 'a').write(json.dumps([words[:-1], body]) + '\\n')\n"
            f"{fails}\n"
        )
        (workplace / "bin" / "gh").chmod(0o755)

    def calls():
        path = workplace / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    return write, calls


@pytest.mark.parametrize(
    ("comments", "target"),
    [
        ("[]", ["--method", "POST", "repos/o/r/issues/12/comments"]),
        (COMMENTS, ["--method", "POST", "repos/o/r/issues/12/comments"]),
        (OURS, ["--method", "PATCH", "repos/o/r/issues/comments/6"]),
    ],
)
def test_the_action_writes_one_comment_and_replaces_its_own(workplace, github, comments, target):
    write, calls = github
    write(comments)
    code, outputs, _ = run_action(workplace, "12", comment="true")
    assert (code, outputs["verdict"]) == (3, "inconclusive")
    ((words, body),) = calls()
    assert words == ["api", "--silent", *target, "-F"]
    marker, _, text = body.partition("\n")
    assert marker == "<!-- medbench gate: medbench-gate -->"
    assert text == (workplace / "work" / "runs" / "gate" / "gate.md").read_text()


def test_a_comment_that_cannot_be_written_changes_no_verdict(workplace, github):
    write, calls = github
    write("[]", "sys.exit(1)")
    code, _, log = run_action(workplace, "12", policy="gate.yaml", comment="true")
    assert code == 0
    assert len(calls()) == 1
    assert "::warning title=medbench gate::the comment was not written" in log
    assert "pull-requests: write" in log


def test_a_gate_that_cannot_judge_comments_that(workplace, github):
    write, calls = github
    write(OURS)
    (workplace / "work" / "gate.yaml").write_text("rules: []\n")
    assert run_action(workplace, "12", policy="gate.yaml", comment="true", artifact="a b/$(id)")[0] == 2
    assert calls()[0][1] == (
        "<!-- medbench gate: a-b---id- -->\nmedbench gate could not judge; see the log of the run.\n"
    )


@pytest.mark.parametrize(("number", "comment"), [("", "true"), ("12", "false")])
def test_there_is_no_comment_without_a_pull_request_or_where_none_is_wanted(workplace, github, number, comment):
    write, calls = github
    write("[]")
    run_action(workplace, number, policy="gate.yaml", comment=comment)
    assert calls() == []


def test_both_workflows_comment_and_may_do_so():
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {"contents": "read", "pull-requests": "write"}
        (step,) = [step for step in workflow["jobs"]["gate"]["steps"] if step.get("id") == "gate"]
        assert step["with"]["comment"] is True
    (step,) = [step for step in ACTION["runs"]["steps"] if step.get("name") == "Comment"]
    assert "always()" in step["if"]
    assert "inputs.comment == 'true'" in step["if"]
    assert "github.event.pull_request.number" in step["if"]


def test_modules_of_the_workspace_cannot_change_what_the_action_reports(workplace):
    forged = 'print("exit-code=0\\nverdict=pass")\ndef token_hex(n):\n    return "x\\nexit-code=0"\n'
    for name in ("json", "secrets", "sys", "pip"):
        (workplace / "work" / f"{name}.py").write_text(forged)
    code, outputs, _ = run_action(workplace)
    assert (code, outputs["verdict"], outputs["exit-code"]) == (3, "inconclusive", "3")
    script = next(step["run"] for step in ACTION["runs"]["steps"] if step.get("id") == "gate")
    assert script.rindex("exit-code=") > script.rindex('echo "$end"')


def test_a_recipe_is_not_run_into_a_folder_that_holds_answers(workplace):
    code, outputs, said = run_action(workplace, recipe="quickstart")
    assert (code, outputs) == (2, {})
    assert "is not empty" in said
    assert not (workplace / "work" / "runs" / "gate" / "gate.json").exists()


def test_the_action_takes_no_folder_of_the_workspace_for_a_stored_baseline(workplace):
    shutil.copytree(workplace / "work" / "runs" / "gate", workplace / "work" / "released")
    code, outputs, log = run_action(workplace, baseline="released", store="baselines")
    assert (code, outputs) == (2, {})
    assert "there is no baseline released in baselines" in log


def test_actions_of_others_are_pinned_by_commit_and_what_judges_comes_from_the_base_branch():
    steps = [step for path in WORKFLOWS for step in yaml.safe_load(path.read_text())["jobs"]["gate"]["steps"]]
    others = [step["uses"] for step in steps + ACTION["runs"]["steps"] if step.get("uses", "").startswith("actions/")]
    assert len(others) == 7
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", uses) for uses in others)
    for step in steps:
        if step.get("id") == "gate":
            assert step["with"]["policy"].startswith(".base/")
            assert "baseline" not in step["with"] or step["with"]["store"].startswith(".base/")


def test_inputs_reach_the_shell_as_data_only():
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_pass_actionlint(path, tmp_path):
    program = shutil.which("actionlint")
    if program is None:
        pytest.skip("there is no actionlint here")
    text = path.read_text().replace("<action>", "OWNER/medbench@v0.1.0")
    (tmp_path / path.name).write_text(text)
    done = subprocess.run([program, tmp_path / path.name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_examples_give_the_action_inputs_that_it_has():
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text())
        (step,) = [step for step in workflow["jobs"]["gate"]["steps"] if step.get("id") == "gate"]
        assert set(step["with"]) <= set(ACTION["inputs"])
    job = yaml.safe_load((ROOT / "examples/ci/gitlab-ci.yml").read_text())["medbench gate"]
    assert job["artifacts"]["reports"]["junit"] == "runs/gate/gate.xml"
    starter = yaml.safe_load((ROOT / "harness/starter/gitlab-ci.yml").read_text())["medbench gate"]
    command = job["script"].pop()
    assert starter["script"].pop() + " --store ../base/baselines --baseline released" == command
    assert starter == job


def test_the_pre_commit_hook_checks_a_readme(tiny_run, tmp_path, command):
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    file = tmp_path / "README.md"
    shutil.copytree(tiny_run, tmp_path / "run")
    file.write_text("<!-- medbench:results run -->\nTBD\n<!-- medbench:end -->\n")
    words = hook["entry"].split()[1:]
    assert hook["args"] == ["README.md"]
    assert command(*words, file)[0] == 1
    command("readme", file)
    assert command(*words, file)[0] == 0


def test_init_writes_files_that_work_and_overwrites_none(tmp_path, command):
    words = ("init", tmp_path, "--action", "OWNER/medbench@v0.1.0", "--train", "train rows: #1.jsonl")
    code, _, err = command(*words)
    assert code == 0, err
    assert load_recipe(str(tmp_path / "recipe.yaml")).data.train.source == "train rows: #1.jsonl"
    assert load_policy(tmp_path / "gate.yaml").rules
    workflow = yaml.safe_load((tmp_path / ".github/workflows/medbench.yml").read_text())
    assert workflow["jobs"]["gate"]["steps"][2]["uses"] == "OWNER/medbench@v0.1.0"
    (tmp_path / "gate.yaml").write_text("mine")
    code, _, err = command(*words)
    assert code == 2
    assert "there already" in err
    assert (tmp_path / "gate.yaml").read_text() == "mine"
    assert command(*words, "--force")[0] == 0
    assert (tmp_path / "gate.yaml").read_text() != "mine"


def test_init_does_not_guess_where_the_action_is(tmp_path, command):
    code, _, err = command("init", tmp_path, "--action", "medbench")
    assert code == 2
    assert "write --action OWNER/REPO@REF" in err
    assert not list(tmp_path.iterdir())


def test_without_github_init_writes_the_gitlab_file_and_asks_nothing(tmp_path, command, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: pytest.fail("it asks"))
    code, out, err = command("init", tmp_path, "--base", "b")
    assert (code, err) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".gitlab-ci.yml", "gate.yaml", "recipe.yaml"]
    assert load_recipe(str(tmp_path / "recipe.yaml")).model.base == "b"
    job = yaml.safe_load((tmp_path / ".gitlab-ci.yml").read_text())["medbench gate"]
    assert "medbench gate runs/gate --policy ../base/gate.yaml" in job["script"]
    assert "set the CI variable MEDBENCH to what pip installs" in out
    assert "there already" in command("init", tmp_path)[2]


@pytest.mark.parametrize(
    ("prepare", "words", "file"),
    [
        ({".git/config": '[remote "origin"]\n\turl = git@github.com:o/r.git\n'}, (), ".github/workflows/medbench.yml"),
        ({".git/config": '[remote "origin"]\n\turl = https://github.com/o/r\n'}, (), ".github/workflows/medbench.yml"),
        ({".github/CODEOWNERS": ""}, (), ".github/workflows/medbench.yml"),
        ({}, ("--ci", "github"), ".github/workflows/medbench.yml"),
        ({".git/config": '[remote "origin"]\n\turl = https://gitlab.com/github.com/r\n'}, (), ".gitlab-ci.yml"),
        ({".git/config": '[remote "origin"]\n\turl = https://mygithub.com/o/r\n'}, (), ".gitlab-ci.yml"),
        ({".github/CODEOWNERS": ""}, ("--ci", "gitlab"), ".gitlab-ci.yml"),
    ],
)
def test_init_writes_the_file_of_the_system_that_the_repository_is_on(tmp_path, command, prepare, words, file):
    for name, text in prepare.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    code, out, err = command("init", tmp_path, *words)
    if "github" in file:  # where nothing says where medbench's action is
        assert code == 2
        assert "write --action OWNER/REPO@REF" in err
        code, out, err = command("init", tmp_path, *words, "--action", "O/m@v1")
    assert (code, err) == (0, "")
    assert out.splitlines()[2] == str(tmp_path / file)
    assert (tmp_path / file).is_file()


def test_init_asks_on_a_terminal_for_what_no_flag_says(tmp_path, command, monkeypatch):
    (tmp_path / ".github").mkdir()
    asked = []

    def answer(question, default):
        asked.append(question)
        return default or "O/m@v1"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.prompt", answer)
    assert command("init", tmp_path, "--base", "b")[0] == 0
    assert len(asked) == 3
    assert (
        command("init", tmp_path, "--base", "b", "--train", "t", "--test", "s", "--action", "O/m@v1", "--force")[0] == 0
    )
    assert len(asked) == 3
