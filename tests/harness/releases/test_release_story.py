"""Two releases through the action's own steps: a good one, then candidates that are worse, equal, better and collapsed.

Adapters are trained and every step is real; only the engine is a plug-in that answers correctly as often as each
candidate's script says, so that the quality of a candidate is known.
"""

import re

import pytest
import yaml

from tests.conftest import tiny_recipe_value
from tests.harness.releases.test_gate_ci import run_action, write_programs
from tests.harness.scripted_engine import SCRIPT, install_scripted_engine, labels, write_items, write_script

ITEMS = 600
POLICY = """
version: 1
rules:
- rule: complete
- {rule: leakage, max_items: 0}
- {rule: no_regression, metric: "*/*"}
"""
FIRST = POLICY + "- {rule: superiority, metric: medbench_pubmedqa/accuracy}\n"


@pytest.fixture
def project(tmp_path, tiny_model):
    """A repository on a runner: data, recipe and policies, and the programs that the action's steps call."""
    work = tmp_path / "work"
    work.mkdir()
    write_items(work / "items.json", ITEMS)
    for name, text in (("first-policy.yaml", FIRST), ("policy.yaml", POLICY)):
        (work / name).write_text(text)
    plugins = tmp_path / "plugins"
    install_scripted_engine(plugins)
    write_programs(tmp_path, f'export PYTHONPATH="$PYTHONPATH:{plugins}" {SCRIPT}="{tmp_path}/script.json"')
    recipe = tiny_recipe_value(tiny_model)
    recipe["data"]["pubmedqa"] = {"source": "items.json"}
    recipe["scoring"] = {"engine": "scripted", "tasks": ["medbench_pubmedqa"]}
    (work / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


def submit(project, name, given, policy, **inputs):
    """What the action makes of a pull request whose adapter gives these labels: exit code, outputs and log."""
    work = project / "work"
    write_script(project / "script.json", labels(ITEMS, 0.5), given)
    recipe = yaml.safe_load((work / "recipe.yaml").read_text()) | {"seed": len(name)}
    (work / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
    return run_action(project, recipe=f"{name}.yaml", run=f"runs/{name}", policy=policy, **inputs)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_releases(project, command, monkeypatch):
    monkeypatch.chdir(project / "work")
    released = {"baseline": "released", "store": "baselines"}

    code, outputs, log = submit(project, "first", labels(ITEMS, 0.7), "first-policy.yaml")
    assert (code, outputs["verdict"]) == (0, "pass"), log
    assert command("baseline", "set", "runs/first", "--name", "released")[0] == 0

    code, outputs, log = submit(project, "worse", labels(ITEMS, 0.6), "policy.yaml", **released)
    assert (code, outputs["verdict"], outputs["exit-code"]) == (1, "fail", "1"), log
    assert "its Accuracy (PubMedQA" in outputs["comment"]

    code, outputs, log = submit(project, "equal", labels(ITEMS, 0.7, shifted=6), "policy.yaml", **released)
    assert (code, outputs["verdict"]) == (0, "pass"), log

    code, outputs, log = submit(project, "collapsed", ["yes"] * ITEMS, "policy.yaml", **released)
    assert (code, outputs["verdict"]) == (1, "fail"), log

    code, outputs, log = submit(project, "better", labels(ITEMS, 0.8), "policy.yaml", **released)
    assert (code, outputs["verdict"]) == (0, "pass"), log
    assert command("baseline", "set", "runs/better", "--name", "released")[0] == 0

    code, outputs, log = submit(project, "second", labels(ITEMS, 0.7, shifted=6), "policy.yaml", **released)
    assert (code, outputs["verdict"]) == (1, "fail"), log
    summary = (project / "GITHUB_STEP_SUMMARY").read_text()
    verdicts = re.findall(r"## \S+ medbench: the model (may|should not) be released", summary)
    assert verdicts == ["may", "should not"] * 3
