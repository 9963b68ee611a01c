"""`medbench gate` and the baseline store on runs of a tiny model: exit codes, files, messages, GitHub."""

import csv
import json
import os
import re
import shutil
import time

import junitparser
import pytest
import yaml
from lxml import etree

from reports.document.checksums import write_facts
from reports.document.reading import write_results
from reports.document.schema import Results
from reports.files import sha256_value
from reports.gate.outcome import GateReport
from tests.conftest import make_model

LENIENT = {
    "rules": [
        {"rule": "complete"},
        {"rule": "leakage"},
        {"rule": "bound", "metric": "medbench_perplexity/perplexity", "max": 1e6},
    ]
}


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


@pytest.fixture
def policy(tmp_path):
    def write(value):
        path = tmp_path / "gate.yaml"
        path.write_text(value if isinstance(value, str) else yaml.safe_dump(value), encoding="utf-8")
        return path

    return write


def bound(**limits):
    return {"rules": [{"rule": "bound", "metric": "medbench_perplexity/perplexity", **limits}]}


def test_exit_codes_tell_passed_blocked_and_inconclusive(run, policy, command):
    code, out, err = command("gate", run, "--policy", policy(LENIENT))
    assert (code, err) == (0, "")
    assert "Passed. Of 3 rules 3 passed." in out
    assert "\n  Perplexity: at most 1e+06: Perplexity is " in out
    code, out, _ = command("gate", run, "--policy", policy(bound(max=0.5)))
    assert code == 1
    assert "FAIL" in out
    code, out, _ = command("gate", run)
    assert code == 3
    assert "it takes about" in " ".join(out.split())
    assert "to decide: PubMedQA, synthetic items has 66 questions, and about" in out
    assert (
        "add questions to data.pubmedqa (samples:pubmedqa), or loosen margin of these rules in the policy; until" in out
    )
    assert "until then set scoring.limit: 66 (6 now) in the recipe." in out
    assert command("gate", run, "--candidate", "nobody")[0] == 2


def test_what_was_found_is_written_for_machines_and_people(run, policy, command, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    _, out, _ = command("gate", run, "--policy", policy(bound(max=0.5)))
    report = GateReport.model_validate_json((run / "gate.json").read_text())
    assert (report.schema_version, report.verdict, report.exit_code) == ("1.6", "fail", 1)
    assert report.candidate.sha256
    assert report.rules[0].moved
    assert (tmp_path / "summary.md").read_text() == (run / "gate.md").read_text()
    text = (run / "gate.md").read_text()
    assert "## ❌ medbench: the model should not be released" in text
    assert "Report with all" not in text  # no URL of this run is known
    changes = {change.task: change for change in report.changes}
    assert changes["medbench_pubmedqa"].items == 6
    assert report.candidate.trained_on == "6 rows of samples:reasoning_train"
    (line,) = [line for line in out.splitlines() if line.startswith("::")]
    assert line.startswith("::error title=medbench gate%3A Perplexity%3A at most 0.5::Perplexity is")


@pytest.mark.parametrize(
    ("environment", "link"),
    [
        (
            {"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "o/r",
             "GITHUB_RUN_ID": "17"},
            "https://github.com/o/r/actions/runs/17#artifacts",
        ),
        ({"CI_JOB_URL": "https://gitlab.com/o/r/-/jobs/17", "CI_PROJECT_DIR": "PROJECT"},
         "https://gitlab.com/o/r/-/jobs/17/artifacts/file/run/report.html"),
        ({"CI_JOB_URL": "https://gitlab.com/o/r/-/jobs/17", "CI_PROJECT_DIR": "/elsewhere"}, ""),
        ({"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com"}, ""),
        ({"CI_JOB_URL": "javascript:alert(1)", "CI_PROJECT_DIR": "PROJECT"}, ""),
        ({}, ""),
    ],
)  # fmt: skip
def test_the_comment_links_to_the_report_where_its_address_is_known(
    run, policy, command, monkeypatch, environment, link
):
    for name in ("GITHUB_ACTIONS", "GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID", "CI_JOB_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value.replace("PROJECT", str(run.parent)))
    command("gate", run, "--policy", policy(LENIENT))
    text = (run / "gate.md").read_text()
    assert (f"[Report with all questions and answers]({link})" in text) == bool(link)
    assert ("Report with all" in text) == bool(link)


def test_a_run_that_asked_its_questions_several_times_is_judged(run, policy, command):
    for path in (run / "samples").glob("*/medbench_generation.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row | {"repeat": time}) + "\n" for row in rows for time in (0, 1)))
        write_facts(path)
    code, out, err = command("gate", run, "--policy", policy(LENIENT))
    assert (code, err) == (0, ""), out
    path = run / "samples" / "adapter" / "medbench_generation.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    write_facts(path)
    code, out, _ = command("gate", run, "--policy", policy(LENIENT))
    assert code == 1
    assert "answered less often than others" in " ".join(out.split())


def test_marks_of_people_do_not_keep_the_rest_from_being_judged(run, policy, command, tmp_path):
    """They are no answers to anything that could have been trained on, and raters leave some out."""
    assert command("rate", "export", run, "--items", 3)[0] == 0
    rows = list(csv.DictReader((run / "ratings" / "sheet.csv").open(encoding="utf-8", newline="")))
    with (tmp_path / "ann.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"fluency": "4"} for row in rows[1:])
    assert command("rate", "import", run, tmp_path / "ann.csv")[0] == 0
    marks = {"rule": "no_regression", "metric": "*/fluency"}
    rules = [*LENIENT["rules"], {"rule": "contamination"}]
    assert command("gate", run, "--policy", policy({"rules": rules}))[0] == 0
    code, out, _ = command("gate", run, "--policy", policy({"rules": [marks]}))
    assert code == 1
    assert "has no metric */fluency" in " ".join(out.split())
    code, out, _ = command("gate", run, "--policy", policy({"rules": [marks | {"metric": "human_rating/*"}]}))
    assert code == 1
    assert "human_rating" in out


def test_leakage_is_that_of_the_candidate(run, policy, command):
    results = json.loads((run / "results.json").read_text())
    names = {"task": "medbench_pubmedqa", "item": "1", "row": "r", "role": "train", "kind": "exact", "part": "question"}
    check = results["overlap"] | {"models": ["adapter", "other"]}
    leakage = policy({"rules": [{"rule": "leakage"}]})
    for models, code in ((["other"], 0), (["adapter"], 1), ([], 1)):
        check["matches"] = [{**names, "share": 1.0, "rows": 1, "models": models}]
        write_results(run, Results.model_validate(results | {"overlap": check}))
        assert command("gate", run, "--policy", leakage)[0] == code, models


def test_junit_is_valid_and_read_by_a_reader(run, command):
    from pathlib import Path

    command("gate", run)
    schema = etree.XMLSchema(etree.parse(Path(__file__).parents[2] / "reports" / "gate" / "junit.xsd"))
    schema.assertValid(etree.parse(run / "gate.xml"))
    (suite,) = junitparser.JUnitXml.fromfile(str(run / "gate.xml"))
    report = GateReport.model_validate_json((run / "gate.json").read_text())
    assert {case.name for case in suite} == {rule.name for rule in report.rules}
    assert suite.errors == sum(rule.verdict == "inconclusive" for rule in report.rules) > 0
    assert not suite.failures


def test_hostile_ids_and_answers_show_as_text(run, policy, command):
    path = run / "samples" / "adapter" / "medbench_perplexity.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row |= {"id": row["id"] + "\x00\x1b[31m<script>|\n::error::x]]>", "gold": "**b** @x <img src=x>"}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_facts(path)
    code, out, _ = command("gate", run, "--policy", policy(bound(max=0.5)))
    assert code == 1
    assert "\x1b" not in out
    assert not any(line.startswith("::error::x") for line in out.splitlines())
    assert "<script>" not in (run / "gate.md").read_text()
    assert "<img" not in (run / "gate.md").read_text()
    etree.parse(run / "gate.xml")


def test_a_run_that_is_not_finished_is_blocked(run, command):
    (run / "samples" / "adapter" / "medbench_pubmedqa.jsonl").unlink()
    code, out, _ = command("gate", run)
    assert code == 1
    assert "the samples of medbench_pubmedqa are missing" in " ".join(out.split())
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("seed: 7", "seed: 8"))
    assert "recipe.yaml is not the one" in " ".join(command("gate", run)[1].split())
    (run / "results.json").unlink()
    code, out, _ = command("gate", run)
    assert code == 1
    assert "it has no results.json yet" in " ".join(out.split())


def test_a_run_that_somebody_works_in_is_blocked(run, command):
    from harness.folder import RunFolder

    with RunFolder(run).lock():
        code, out, _ = command("gate", run)
    assert code == 1
    assert "another medbench is working" in " ".join(out.split())


def test_the_folder_in_which_one_is_may_be_the_baseline(run, command, monkeypatch, policy):
    monkeypatch.chdir(run)
    code, _, err = command("gate", run, "--policy", policy(LENIENT), "--baseline", ".:base")
    assert (code, err) == (0, "")
    code, _, err = command("gate", run, "--policy", policy(LENIENT), "--candidate", "adapter", "--baseline", ".")
    assert (code, "candidate and baseline are both adapter" in err) == (2, True)


def test_a_baseline_is_kept_without_texts_listed_and_gated_against(run, command, tmp_path):
    store = tmp_path / "store"
    code, out, err = command("baseline", "set", run, "--name", "released", "--store", store)
    assert code == 0, err
    kept = "".join(path.read_text() for path in store.rglob("*") if path.is_file())
    for line in (run / "samples" / "adapter" / "medbench_generation.jsonl").read_text().splitlines():
        assert json.loads(line)["prompt"] not in kept
        assert json.loads(line)["gold"] not in kept
    code, out, _ = command("baseline", "list", "--store", store)
    assert (code, "released" in out, "whole, 18 items" in out) == (0, True, True)
    code, out, err = command("gate", run, "--baseline", "released", "--store", store)
    assert code == 0, err
    assert "baseline: adapter of released" in out
    assert verdicts(run)["no regression: medbench_pubmedqa/accuracy"] == (
        "pass",
        "the same weights and settings as the baseline, identical on all 6 items",
    )
    assert command("gate", run, "--baseline", f"{run}:base")[0] == 3
    assert command("gate", run, "--baseline", "released:adapter", "--store", store)[0] == 0
    assert command("baseline", "set", run, "--name", "released", "--store", store)[0] == 0


def test_a_changed_baseline_is_noticed(run, command, tmp_path):
    store = tmp_path / "store"
    command("baseline", "set", run, "--store", store)
    path = store / "tiny" / "scores" / "medbench_pubmedqa.jsonl"
    path.write_text(path.read_text().replace("1.0", "0.0"))
    code, _, err = command("gate", run, "--baseline", "tiny", "--store", store)
    assert code == 2
    assert "was changed since the baseline was set" in err
    assert "broken: the file was changed" in " ".join(command("baseline", "list", "--store", store)[1].split())
    path.unlink()
    assert "the file is missing" in command("gate", run, "--baseline", "tiny", "--store", store)[2]


def test_a_step_summary_that_would_wait_for_a_reader_is_not_written(run, policy, command, tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "pipe"))
    code, out, _ = command("gate", run, "--policy", policy(LENIENT))
    assert code == 0
    assert "note: the step summary could not be written (it is not a regular file)" in " ".join(out.split())


@pytest.mark.parametrize("version", ["true", "1.0", "2", "'1'"])
def test_a_policy_of_another_version_is_refused(run, policy, command, version):
    path = policy(f"version: {version}\nrules:\n- rule: complete\n")
    code, _, err = command("gate", run, "--policy", path)
    assert (code, f"{path}, line 1: version: input should be" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--baseline", "nowhere"), "there is no such run, nor a stored baseline of that name"),
        (("--baseline", "RUN:nobody"), "it has no model nobody"),
        (("--candidate", "nobody"), "it has no model nobody"),
        (("--candidate", "base"), "candidate and baseline are both base"),
        (("--baseline", "RUN:adapter"), "candidate and baseline are both adapter"),
        (("--policy", "missing.yaml"), "cannot read the policy"),
    ],
)
def test_what_is_named_wrong_is_one_message(run, command, words, message):
    code, _, err = command("gate", run, *(word.replace("RUN", str(run)) for word in words))
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_all_faults_of_a_policy_are_reported_together_with_their_lines(run, policy, command):
    text = (
        "rules:\n"
        "- rule: bound\n  metric: medbench_pubmedqa/accuracy\n"
        "- rule: superority\n  metric: a/b\n"
        "- rule: bound\n  metric: a\n  min: low\n"
        "- rule: no_regression\n  metric: a/b\n  marign: 0.1\n"
        "- rule: bound\n  metric: a/b\n  min: 0\n  where: {class: yes}\n"
        "- metric: a/b\n"
    )
    path = policy(text)
    code, _, err = command("gate", run, "--policy", path)
    assert code == 2
    for fault in (
        "has 7 faults",
        f"{path}, line 2: rules.0: give min, max or both",
        f"{path}, line 4: rules.1.rule: there is no rule 'superority'; did you mean superiority?",
        f"{path}, line 7: rules.2.metric: string should match pattern",
        f"{path}, line 8: rules.2.min: input should be a valid number (found 'low')",
        f"{path}, line 11: rules.3.marign: unknown key; did you mean margin?",
        f'{path}, line 15: rules.4.where: write the value of class in quotes, such as "yes"',
        f"{path}, line 16: rules.5: expected a mapping with the key rule",
    ):
        assert fault in err


def test_two_finished_runs_are_gated_in_three_seconds(run, tiny_run, command):
    started = time.perf_counter()
    command("gate", run, "--baseline", tiny_run)
    assert time.perf_counter() - started < 3


def rewrite(run, change):
    """Change the results document of a run, and its checksum too; the samples stay as they are."""
    results = json.loads((run / "results.json").read_text())
    change(results)
    del results["checksum"]
    (run / "results.json").write_text(json.dumps(results | {"checksum": sha256_value(results)}))


def without(results, task, metric=None):
    """Leave a task out of a results document, or one of its metrics."""
    for name in ("scores", "comparisons"):
        results[name] = [
            entry for entry in results[name] if entry["task"] != task or (metric and entry["metric"] != metric)
        ]
    if metric is None:
        results["tasks"] = [info for info in results["tasks"] if info["name"] != task]
        for name in ("costs", "classes", "confusion", "label_use", "positions", "answer_confidence", "problems"):
            results[name] = [entry for entry in results[name] if entry["task"] != task]
    for info in results["tasks"]:
        info["metrics"] = [entry for entry in info["metrics"] if (info["name"], entry["key"]) != (task, metric)]


@pytest.mark.parametrize("key", ["seed", "verdict", "overlap", "costs", "checksum"])
def test_results_that_were_changed_since_they_were_written_are_blocked(run, command, key):
    results = json.loads((run / "results.json").read_text())
    results[key] = {"seed": 8, "verdict": [], "overlap": None, "costs": [], "checksum": ""}[key]
    (run / "results.json").write_text(json.dumps(results))
    assert command("gate", run)[0] == 1
    reason = "the results.json of run was changed after medbench wrote it; run it again"
    assert {reason} == {reason for _, reason in verdicts(run).values()}
    code, _, err = command("baseline", "set", run, "--name", "x", "--store", run / "store")
    assert (code, "was changed after medbench wrote it" in " ".join(err.split())) == (2, True)


def of_accuracy(**changes):
    def change(results):
        for task in results["tasks"]:
            for metric in task["metrics"]:
                if (task["name"], metric["key"]) == ("medbench_pubmedqa", "accuracy"):
                    metric.update(changes)

    return change


def verdicts(run):
    report = GateReport.model_validate_json((run / "gate.json").read_text())
    return {rule.name: (rule.verdict, rule.reason) for rule in report.rules}


@pytest.mark.parametrize(
    "changes",
    [{"secondary": True}, {"higher_is_better": None}, {"higher_is_better": False}, {"relevant": 1e9}, {"kind": "mean"}],
)
def test_the_catalogue_describes_the_metrics_of_our_tasks(run, command, changes):
    code = command("gate", run)[0]
    honest = verdicts(run)
    rewrite(run, of_accuracy(**changes))
    assert command("gate", run)[0] == code
    assert verdicts(run) == honest


def test_a_metric_that_is_left_out_of_the_results_fails(run, command):
    rewrite(run, lambda results: without(results, "medbench_pubmedqa", "accuracy"))
    assert command("gate", run)[0] == 1
    reason = "adapter of run has no value of medbench_pubmedqa/accuracy"
    assert verdicts(run)["complete"] == ("fail", reason)
    assert verdicts(run)["no regression: medbench_pubmedqa/accuracy"] == ("fail", reason)


def test_a_run_that_omits_a_task_of_the_baseline_is_blocked(run, tiny_run, command):
    rewrite(run, lambda results: without(results, "medbench_pubmedqa"))
    assert command("gate", run, "--baseline", f"{tiny_run}:base")[0] == 1
    reason = "adapter of run was not scored on medbench_pubmedqa"
    assert verdicts(run)["complete"] == ("fail", reason)
    assert verdicts(run)["no regression: medbench_pubmedqa/accuracy"] == ("fail", reason)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(run, command, number):
    rewrite(run, of_accuracy(relevant="@@"))
    path = run / "results.json"
    path.write_text(path.read_text().replace('"@@"', number))
    code, _, err = command("gate", run)
    assert (code, "tasks.0.metrics.0.relevant: the number is not finite" in err) == (2, True), err


def test_impossible_limits_name_the_policy(run, policy, command):
    path = policy({"rules": [{"rule": "non_inferiority", "metric": "medbench_pubmedqa/accuracy", "margin": 5}]})
    code, _, err = command("gate", run, "--policy", path)
    assert code == 2
    words = " ".join(err.split())
    assert "margin is 5, but the loss of medbench_pubmedqa/accuracy is less than 1" in words
    assert "5 % is written 0.05" in words
    assert "gate.yaml" in words


def test_several_baselines_are_each_compared_with(run, tiny_run, command, tmp_path):
    store = tmp_path / "store"
    command("baseline", "set", run, "--name", "released", "--store", store)
    both = ("--baseline", "released", "--baseline", f"{tiny_run}:base", "--store", store)
    assert command("gate", run, *both)[0] == 3
    names = [name for name in verdicts(run) if "pubmedqa/accuracy" in name]
    assert names == [
        "no regression: medbench_pubmedqa/accuracy against adapter of released",
        f"no regression: medbench_pubmedqa/accuracy against base of {tiny_run.name}",
    ]
    text = (run / "gate.md").read_text().replace("\\", "")
    assert re.search(rf"\| Compared with \| adapter of released, .+; base of {tiny_run.name}, .+ \|", text)
    assert "ruled out (against adapter of released) |" in text
    code, _, err = command("gate", run, "--baseline", "released", "--baseline", "released", "--store", store)
    assert (code, "--baseline" in err) == (2, True)


def test_a_base_that_lost_its_record_is_one_with_unknown_training_data(run, tiny_recipe, policy, command, tmp_path):
    """Such as one that was trained on the items, under an adapter that was not."""
    store = tmp_path / "store"
    assert command("baseline", "set", run, "--name", "released", "--store", store)[0] == 0
    other = make_model(tmp_path / "other", seed=5)
    words = ("score", "--recipe", tiny_recipe, "--models", f"base,mine={run / 'adapter'}", "--out", tmp_path / "new")

    def judge(rules, *settings):
        given = [word for setting in (f"model.base={other}", *settings) for word in ("--set", setting)]
        assert command(*words, *given)[0] == 0
        names = ("--candidate", "mine", "--baseline", "released", "--store", store)
        code = command("gate", tmp_path / "new", "--policy", policy({"rules": rules}), *names)[0]
        return code, {reason for _, reason in verdicts(tmp_path / "new").values()}

    code, (reason,) = judge([{"rule": "leakage"}])
    assert code == 1
    assert "its base other (SHA-256 " in reason
    assert "the policy line `unknown: pass` under `rule: leakage`" in reason
    code, (reason,) = judge([{"rule": "leakage", "unknown": "pass"}])
    assert (code, "is not that of the baseline, nor recorded, which the policy accepts" in reason) == (0, True)
    (tmp_path / "clean.jsonl").write_text('{"text": "An unrelated remark about the weather in May."}\n')
    code, (reason,) = judge([{"rule": "leakage"}], f"trained_on.base={tmp_path / 'clean.jsonl'}")
    assert (code, "as the recipe declares them" in reason) == (0, True)


def test_the_class_of_an_item_is_that_of_the_baseline(run, policy, command, tmp_path):
    store = tmp_path / "store"
    command("baseline", "set", run, "--name", "released", "--store", store)
    rule = {"rule": "bound", "metric": "medbench_pubmedqa/accuracy", "min": 0, "where": {"class": ["yes", "no"]}}
    words = ("gate", run, "--policy", policy({"rules": [rule]}), "--baseline", "released", "--store", store)
    assert command(*words)[0] == 0
    path = run / "samples" / "adapter" / "medbench_pubmedqa.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["gold"] = "maybe" if rows[0]["gold"] != "maybe" else "no"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_facts(path)
    assert command(*words)[0] == 1
    ((_, reason),) = verdicts(run).values()
    assert reason == f"1 items have another class than in the baseline ({rows[0]['id']})"


def test_a_rule_about_the_mean_of_retention_needs_its_tasks(run, policy, command):
    rule = {"rule": "non_inferiority", "metric": "retention/mean_accuracy", "margin": 0.05}
    file = policy({"rules": [{"rule": "complete"}, rule]})
    assert command("gate", run, "--policy", file)[0] == 1
    rules = {rule["name"]: rule["reason"] for rule in json.loads((run / "gate.json").read_text())["rules"]}
    missing = "adapter of run was not scored on medbench_retention_hellaswag"
    assert rules["non inferiority: retention/mean_accuracy (margin 0.05)"] == missing
    assert rules["complete"].startswith(missing)
