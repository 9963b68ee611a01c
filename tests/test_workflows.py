"""GitHub's workflows: valid, with no more rights than they need, and calling what .ci/run calls."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from benchmarks.newest import lifted
from tests.pages import ROOT, text_of

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
JOBS = [
    pytest.param(name, job, id=f"{path.stem}: {name}")
    for path in WORKFLOWS
    for name, job in yaml.safe_load(text_of(path))["jobs"].items()
]
SCRIPTS = sorted((ROOT / ".ci").iterdir())


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", [*WORKFLOWS, ROOT / "examples" / "ci" / "github.yml"]),
        ("github-actions", [ROOT / "action.yml"]),
        ("gitlab-ci", [ROOT / "examples" / "ci" / "gitlab-ci.yml"]),
    ],
)
def test_files_for_ci_keep_their_schema(schema, files):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_only_read_unless_a_job_needs_more(path):
    workflow = yaml.safe_load(text_of(path))
    assert workflow["permissions"] == {"contents": "read"}
    more = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    expected = {
        "docs": {"publish": {"pages": "write", "id-token": "write"}},
        "release": {"publish": {"id-token": "write"}},
    }
    assert more == expected.get(path.stem, {})


@pytest.mark.parametrize(("name", "job"), JOBS)
def test_a_job_ends_in_time_and_leaves_no_token_in_the_checkout(name, job):
    assert job["timeout-minutes"] <= 120
    for step in job["steps"]:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize(("name", "job"), JOBS)
def test_actions_are_pinned_by_major_version(name, job):
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+|pypa/gh-action-pypi-publish@release/v1", one) for one in used)


def test_each_workflow_calls_a_script_that_is_there():
    called = {path.stem: re.findall(r"run: bash (\.ci/\w+)", text_of(path)) for path in WORKFLOWS}
    assert called == {"docs": [".ci/docs"], "newest": [".ci/newest"], "release": [".ci/run"], "tests": [".ci/run"]}
    assert ".ci/docs\n" in text_of(ROOT / ".ci" / "run")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_of_ci_can_be_run(path):
    assert os.access(path, os.X_OK)
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0


@pytest.mark.parametrize(
    ("requirement", "without_upper_bound"),
    [
        ("torch>=2.9,<2.14", "torch>=2.9"),
        ("peft==0.21.*", "peft>=0.21"),
        ("lm-eval==0.4.13", "lm-eval>=0.4.13"),
        ("transformers>=5.13,<=5.17.0", "transformers>=5.13"),
        ("medbench[test]~=1.2", "medbench[test]>=1.2"),
        ("pandas-stubs", "pandas-stubs"),
        ("a>=1,!=1.5", "a>=1,!=1.5"),
    ],
)
def test_upper_bounds_are_lifted(requirement, without_upper_bound):
    assert lifted(requirement) == without_upper_bound
