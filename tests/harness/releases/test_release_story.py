"""Two releases through the action's own steps: a good one, then candidates that are worse, equal, better and collapsed.

Adapters are trained and every step is real; only the engine is a plug-in that answers correctly as often as each
candidate's script says, so that the quality of a candidate is known.
"""

import json
import re
import sys

import pytest
import yaml

from tests.conftest import tiny_recipe_value
from tests.harness.plugins import install_engine
from tests.harness.releases.test_gate_ci import run_action

ITEMS = 600
LABELS = ("yes", "no", "maybe")
POLICY = """
version: 1
rules:
- rule: complete
- {rule: leakage, max_items: 0}
- {rule: no_regression, metric: "*/*"}
"""
FIRST = POLICY + "- {rule: superiority, metric: medbench_pubmedqa/accuracy}\n"
ENGINE = '''
"""An engine whose base knows half of the answers, and whose adapter knows those that a file says."""

import json
import os
import re
from array import array
from pathlib import Path

from harness.engines.interface import Cost, ScoreResponse


class Engine:
    capabilities = frozenset({"log_likelihoods", "adapters"})

    def __init__(self, config):
        self.setup = {}
        self.decode = config.tokenizer.decode
        self.answers = json.loads(Path(os.environ["SCRIPT"]).read_text())

    def respond(self, requests):
        for index, (model, request) in enumerate(requests):
            question = int(re.search(r"treatment (\\d+)", self.decode(request.context))[1])
            label = self.answers["base" if model == "base" else "adapter"][question]
            chosen = self.decode(request.continuation).strip() == label
            logprobs = [-0.1 if chosen else -3.0, *[0.0] * (len(request.continuation) - 1)]
            yield index, ScoreResponse(array("f", logprobs), chosen, Cost(0.001, 0.001, 0))

    def close(self):
        pass
'''


def gold(number):
    return LABELS[(0, 1, 0, 1, 2)[number % 5]]


def answers(correct, *, shifted=0):
    """Labels of all items, of which this share is right; `shifted` moves which ones those are."""
    wrong = {"yes": "no", "no": "maybe", "maybe": "yes"}
    return [
        gold(number) if (number * 37 + shifted) % ITEMS < correct * ITEMS else wrong[gold(number)]
        for number in range(ITEMS)
    ]


@pytest.fixture
def project(tmp_path, tiny_model):
    """A repository on a runner: data, recipe and policies, and the programs that the action's steps call."""
    items = {
        str(number): {
            "QUESTION": f"Does treatment {number} help?",
            "CONTEXTS": [f"Treatment {number} was tried."],
            "LABELS": ["TRIED"],
            "final_decision": gold(number),
            "LONG_ANSWER": "It was tried.",
        }
        for number in range(ITEMS)
    }
    work = tmp_path / "work"
    work.mkdir()
    (work / "items.json").write_text(json.dumps(items))
    for name, text in (("first-policy.yaml", FIRST), ("policy.yaml", POLICY)):
        (work / name).write_text(text)
    plugins = tmp_path / "plugins"
    install_engine(plugins, "scripted", "medbench_scripted:Engine")
    (plugins / "medbench_scripted.py").write_text(ENGINE)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "medbench").write_text(
        f'#!/bin/sh\nexport PYTHONPATH="$PYTHONPATH:{plugins}" SCRIPT="{tmp_path}/script.json"\n'
        f'exec "{sys.executable}" -P -m harness "$@"\n'
    )
    (programs / "python").write_text(f'#!/bin/sh\n[ "$3" = pip ] && exit 0\nexec "{sys.executable}" "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    recipe = tiny_recipe_value(tiny_model)
    recipe["data"]["pubmedqa"] = {"source": "items.json"}
    recipe["scoring"] = {"engine": "scripted", "tasks": ["medbench_pubmedqa"]}
    (work / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


def submit(project, name, labels, policy, **inputs):
    """What the action makes of a pull request whose adapter gives these labels: exit code, outputs and log."""
    work = project / "work"
    (project / "script.json").write_text(json.dumps({"base": answers(0.5), "adapter": labels}))
    recipe = yaml.safe_load((work / "recipe.yaml").read_text()) | {"seed": len(name)}
    (work / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
    return run_action(project, recipe=f"{name}.yaml", run=f"runs/{name}", policy=policy, **inputs)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_releases(project, command, monkeypatch):
    monkeypatch.chdir(project / "work")
    released = {"baseline": "released", "store": "baselines"}

    code, outputs, log = submit(project, "first", answers(0.7), "first-policy.yaml")
    assert (code, outputs["verdict"]) == (0, "pass"), log
    assert command("baseline", "set", "runs/first", "--name", "released")[0] == 0

    code, outputs, log = submit(project, "worse", answers(0.6), "policy.yaml", **released)
    assert (code, outputs["verdict"], outputs["exit-code"]) == (1, "fail", "1"), log
    assert "medbench_pubmedqa" in outputs["comment"]

    code, outputs, log = submit(project, "equal", answers(0.7, shifted=6), "policy.yaml", **released)
    assert (code, outputs["verdict"]) == (0, "pass"), log

    code, outputs, log = submit(project, "collapsed", ["yes"] * ITEMS, "policy.yaml", **released)
    assert (code, outputs["verdict"]) == (1, "fail"), log

    code, outputs, log = submit(project, "better", answers(0.8), "policy.yaml", **released)
    assert (code, outputs["verdict"]) == (0, "pass"), log
    assert command("baseline", "set", "runs/better", "--name", "released")[0] == 0

    code, outputs, log = submit(project, "second-equal-to-first", answers(0.7, shifted=6), "policy.yaml", **released)
    assert (code, outputs["verdict"]) == (1, "fail"), log
    summary = (project / "GITHUB_STEP_SUMMARY").read_text()
    verdicts = re.findall(r"## medbench gate: (\w+)", summary)
    assert verdicts == ["Passed", "Blocked", "Passed", "Blocked", "Passed", "Blocked"]
