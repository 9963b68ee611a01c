"""What CI takes: the action's own shell steps, the YAML that ships, the pre-commit hook, and `medbench init`."""

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


def run_action(workplace, **inputs):
    """Run the action's shell steps in order as a runner does; (last exit code, outputs, all that was said)."""
    values = {name: str(each.get("default", "")) for name, each in ACTION["inputs"].items()} | inputs
    outputs: dict = {}
    said, code = "", 0
    for step in ACTION["runs"]["steps"]:
        if "run" not in step or (code and "always()" not in step.get("if", "")):
            continue
        told = {**values, **outputs}

        def fill(text, told=told):
            return re.sub(r"\$\{\{ (?:inputs|steps\.gate\.outputs)\.([\w-]+) \}\}", lambda found: told[found[1]], text)

        files = {name: workplace / name for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STEP_SUMMARY")}
        environment = os.environ | {name: str(path) for name, path in files.items()}
        environment |= {"GITHUB_ACTIONS": "true", "GITHUB_ACTION_PATH": str(ROOT), "PYTHONPATH": str(ROOT)}
        environment |= {"PATH": f"{workplace / 'bin'}:{os.environ['PATH']}"}
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
    assert outputs["comment"].startswith("## medbench gate: Passed")
    assert "Passed" in (workplace / "GITHUB_STEP_SUMMARY").read_text()
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
    assert "adapter of gate against base of released, base of reference." in outputs["comment"]


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


def test_init_asks_on_a_terminal_for_what_no_flag_says(tmp_path, command, monkeypatch):
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
