"""Saved samples and weights that were changed: scored again by a run, and an error in every other command."""

import json
import os
import shutil

import pytest
import yaml

from harness.loading import load
from reports.document.reading import read_results, write_results
from reports.errors import UserError
from reports.files import sha256_file, write_json

pytestmark = pytest.mark.usefixtures("without_plots")

TASK = "medbench_perplexity"
WEIGHTS = "adapter/adapter_model.safetensors"


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


def forge_samples(run, model="adapter"):
    """Better values in the samples, and the figures to go with them, at the same times of the files."""
    path = run / "samples" / model / f"{TASK}.jsonl"
    for file in (path, path.with_suffix(".json")):
        before = file.stat()
        text = file.read_text()
        if file.suffix == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines()]
            for row in rows:
                row["metrics"]["perplexity"] = [-1.0, 20.0]
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            value = json.loads(text)
            value["figures"]["perplexity"] = 1.05
            write_json(file, value)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    return path


def flip_last_bit(path):
    """Another weight, with neither size nor time of the file changed."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("forge", [forge_samples, lambda run: (run / f"samples/adapter/{TASK}.json").unlink()])
def test_a_run_scores_forged_samples_again(run, tiny_run, tiny_recipe, command, forge):
    forge(run)
    (run / "results.json").unlink()
    code, out, err = command("score", "--recipe", tiny_recipe, "--out", run)
    assert code == 0, err
    assert out.count("answered already, kept") == 5
    assert ("note: adapter, medbench_perplexity: the file was changed" in out) == (forge is forge_samples)
    assert read_results(run).scores == read_results(tiny_run).scores


def test_a_finished_run_is_not_shown_with_forged_samples_whatever_their_time(run, tiny_run, tiny_recipe, command):
    assert command("run", "--recipe", tiny_recipe, "--out", run)[0] == 0
    assert "nothing has changed since" in command("run", "--recipe", tiny_recipe, "--out", run)[1]
    forge_samples(run)
    code, out, err = command("run", "--recipe", tiny_recipe, "--out", run)
    assert code == 0, err
    assert "nothing has changed since" not in out
    assert "scored again" in out
    assert read_results(run).scores == read_results(tiny_run).scores


@pytest.mark.parametrize(
    "words",
    [
        ("gate", "{run}"),
        ("baseline", "set", "{run}", "--store", "{out}"),
        ("diff", "{tiny}", "{run}"),
        ("compare", "{tiny}", "{run}", "--out", "{out}"),
        ("convert", "{run}", "--to", "csv", "--out", "{out}"),
        ("report", "{run}"),
        ("rate", "export", "{run}", "--task", TASK),
    ],
    ids=lambda words: words[0],
)
def test_every_other_command_refuses_forged_samples(run, tiny_run, tmp_path, command, words):
    path = forge_samples(run)
    code, _, err = command(*(word.format(run=run, tiny=tiny_run, out=tmp_path / "out") for word in words))
    assert code == 2, words
    assert "was changed since it was written" in err
    assert str(path.with_suffix(".json")) in err.replace("\n", "")


def test_forged_samples_are_not_loaded(run):
    assert len(load(run).samples("adapter", TASK)) == 6
    forge_samples(run)
    with pytest.raises(UserError, match="changed since"):
        load(run).samples("adapter", TASK)


def test_the_gate_needs_a_hash_of_the_samples(run, command):
    (run / f"samples/adapter/{TASK}.json").unlink()
    code, _, err = command("gate", run)
    assert (code, "no SHA-256 of the samples is recorded" in err) == (2, True)


# Weights


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump({"rules": [{"rule": "complete"}]}))
    return path


def test_weights_that_were_replaced_after_scoring_are_noticed(run, tmp_path, policy, command):
    assert command("gate", run, "--policy", policy)[0] == 0
    judged = sha256_file(run / WEIGHTS)
    flip_last_bit(run / WEIGHTS)
    for words in (("gate", run, "--policy", policy), ("baseline", "set", run, "--store", tmp_path / "store")):
        code, _, err = command(*words)
        assert code == 2, words
        assert f"are not those that were scored ({judged[:12]}...)" in err
    for arguments in (["export", run], ["push", run, "a/b"], ["run", "--out", run], ["score", "--out", run]):
        code, _, err = command(*arguments)
        assert code == 2, arguments
        assert "are not those that its training produced" in err
    assert not (run / "merged").exists()


def test_results_of_replaced_weights_are_noticed_by_the_training_log(run, policy, command):
    """Whoever also writes the new hash into the results still has the log against him."""
    flip_last_bit(run / WEIGHTS)
    results = read_results(run)
    results.models[1].sha256 = sha256_file(run / WEIGHTS)
    write_results(run, results)
    code, _, err = command("gate", run, "--policy", policy)
    assert (code, "are not those that its training produced" in err) == (2, True)


def test_a_run_without_its_adapter_folder_is_judged(run, policy, command):
    """An artifact of CI need not hold the weights."""
    shutil.rmtree(run / "adapter")
    assert command("gate", run, "--policy", policy)[0] == 0


# Exports


@pytest.mark.slow
def test_an_adapter_that_was_merged_is_judged_by_the_rows_that_it_was_trained_on(run, tiny_recipe, tmp_path, command):
    assert command("export", run, "--out", tmp_path / "merged")[0] == 0
    rows = ("--set", "data.reasoning.source=samples:reasoning_train")
    words = ("score", "--recipe", tiny_recipe, "--models", "base", "--tasks", TASK, "--limit", 96, *rows)
    assert command(*words, "--out", tmp_path / "plain")[0] == 0
    code, _, err = command(*words, "--set", f"model.base={tmp_path / 'merged'}", "--out", tmp_path / "asked")
    assert code == 0, err
    policy = tmp_path / "policy.yaml"
    policy.write_text(yaml.safe_dump({"rules": [{"rule": "leakage"}]}))
    gate = ("gate", tmp_path / "asked", "--candidate", "base", "--baseline", f"{tmp_path / 'plain'}:base")
    code, out, err = command(*gate, "--policy", policy)
    assert code == 1, err
    assert "6 test items are (nearly) equal to rows that were trained on" in " ".join(out.split())
