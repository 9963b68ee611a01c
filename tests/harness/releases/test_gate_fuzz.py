"""Malformed policies, runs and baselines, drawn over their schemas: exit code 2 and a message, never a traceback."""

import json
import shutil

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.releases.baselines import Manifest
from reports.document.checksums import write_facts
from reports.document.schema import Results, Sample
from reports.gate.policy import Policy
from tests.fuzzing.drawing import changed as changed_somewhere
from tests.fuzzing.targets import POLICY

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["", "*/*", "../..", "1e999", "yes", "no_regression", "medbench_pubmedqa/accuracy"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
LENIENT = {"rules": [{"rule": "bound", "metric": "medbench_perplexity/perplexity", "max": 1e6}]}


def fuzz(examples):
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def changed(value):
    return changed_somewhere(value, JUNK, st.text(max_size=8))


def is_malformed(model, value, *, strict=False):
    try:
        model.model_validate(value, strict=strict)
    except ValidationError:
        return True
    return False


def refused(found):
    code, _, err = found
    assert code == 2, found
    assert err.startswith("error: ")
    assert "Traceback" not in err


@pytest.fixture
def run(tiny_run, tmp_path):
    folder = shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("*.html"))
    shutil.rmtree(folder / "adapter")
    (folder / "recipe.yaml").unlink()
    return folder


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "gate.yaml"
    path.write_text(yaml.safe_dump(LENIENT))
    return path


@fuzz(200)
@given(value=JUNK | changed(POLICY))
def test_malformed_policies(value, run, tmp_path, command):
    text = yaml.safe_dump(value)
    assume(is_malformed(Policy, yaml.safe_load(text), strict=True))
    path = tmp_path / "malformed.yaml"
    path.write_text(text, encoding="utf-8")
    refused(command("gate", run, "--policy", path))


@fuzz(40)
@given(text=st.binary(max_size=60) | st.text(alphabet="rules:-{}[]\n \"'&*!|>%@`", max_size=60).map(str.encode))
def test_policies_that_are_no_yaml(text, run, tmp_path, command):
    path = tmp_path / "malformed.yaml"
    path.write_bytes(text)
    refused(command("gate", run, "--policy", path))


@fuzz(110)
@given(data=st.data())
def test_malformed_results(data, run, policy, command):
    whole = (run / "results.json").read_text()
    value = data.draw(changed(json.loads(whole)))
    (run / "results.json").write_text(json.dumps(value))
    try:
        found = command("gate", run, "--policy", policy)
        if is_malformed(Results, value):
            refused(found)
        else:  # another document of the same schema: judged, blocked or refused, but told
            assert found[0] in (0, 1, 2)
            assert "Traceback" not in found[2]
    finally:
        (run / "results.json").write_text(whole)


@fuzz(85)
@given(data=st.data())
def test_malformed_samples(data, run, policy, command):
    path = run / "samples" / "adapter" / "medbench_perplexity.jsonl"
    whole = path.read_text()
    first, _, rest = whole.partition("\n")
    value = data.draw(changed(json.loads(first)))
    path.write_text(json.dumps(value) + "\n" + rest)
    write_facts(path)
    try:
        found = command("gate", run, "--policy", policy)
        if is_malformed(Sample, value):
            refused(found)
        else:
            assert found[0] in (0, 1, 2)
            assert "Traceback" not in found[2]
    finally:
        path.write_text(whole)


@fuzz(85)
@given(data=st.data())
def test_malformed_baselines(data, tiny_run, run, policy, command, tmp_path):
    store = tmp_path / "store"
    if not store.exists():
        assert command("baseline", "set", tiny_run, "--name", "b", "--store", store)[0] == 0
    path = data.draw(
        st.sampled_from(sorted(file for file in store.rglob("*") if file.is_file() and file.name != ".lock"))
    )
    whole = path.read_bytes()
    if path.name == "baseline.json":
        value = data.draw(changed(json.loads(whole)))
        assume(is_malformed(Manifest, value) or value["sha256"] != json.loads(whole)["sha256"])
        path.write_text(json.dumps(value))
    else:
        cut = data.draw(st.integers(0, len(whole) - 1))
        path.write_bytes(whole[:cut] + data.draw(st.binary(max_size=3)) + whole[cut + 1 :])
        assume(path.read_bytes() != whole)
    try:
        refused(command("gate", run, "--policy", policy, "--baseline", "b", "--store", store))
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "", "null", "[]", '{"schema_version": 3}', "\xff"])
@pytest.mark.parametrize("name", ["results.json", "samples/adapter/medbench_perplexity.jsonl"])
def test_files_that_are_no_documents(run, policy, command, name, text):
    (run / name).write_bytes(text.encode("latin-1"))
    if name.endswith("jsonl"):
        write_facts(run / name)
    found = command("gate", run, "--policy", policy)
    if name.endswith("jsonl") and not text:  # no answer at all is an unfinished run
        assert found[0] == 1
    else:
        refused(found)
