"""Judging a run over HTTP: blinded prompts, scores and differences, biases, the judge's faults, and what is kept."""

import json
import re
import signal
import subprocess
import sys

import pytest
import yaml

from reports.document.reading import read_results
from tests.harness.engines.fake_server import Raw
from tests.harness.judging.conftest import ITEMS, quality, write_answers
from tests.harness.judging.fake_judge import (
    ASPECTS,
    FakeJudge,
    answers_of,
    completion,
    honest,
    judging_of,
    prefers,
    scores,
    seen_quality,
)

RUBRIC = {
    "version": 1,
    "name": "own",
    "title": "Own rubric",
    "kind": "scores",
    "instructions": "Rate the answer.",
    "aspects": {"clarity": {"title": "Clarity", "question": "Is it clear?", "scale": [0, 10]}},
}


def fair(prompt):
    """Prefers the better answer in any order."""
    one, other = map(seen_quality, answers_of(prompt))
    return prefers("A" if one > other else "B" if other > one else "tie")


def test_scores_and_differences_are_those_of_the_replies(run, judged):
    code, printed, err, judge = judged(honest)
    assert code == 0, err
    judging = judging_of(run)
    means = {(score.model, score.metric): score.value for score in judging.scores}
    for model in ("base", "adapter"):
        wanted = sum(quality(model, number) for number in range(ITEMS)) / ITEMS
        assert means[model, "completeness"] == pytest.approx(wanted)
    pair = next(pair for pair in judging.comparisons if pair.metric == "medical_accuracy")
    assert (pair.candidate, pair.n, pair.difference) == ("adapter", ITEMS, pytest.approx(1 / 3))
    assert pair.low < 1 / 3 < pair.high
    assert [(count.model, count.rated, count.total) for count in judging.replies] == [
        ("base", ITEMS, ITEMS),
        ("adapter", ITEMS, ITEMS),
    ]
    assert judging.faults == []
    assert "Medical accuracy" in printed
    assert "Uncalibrated: no person has rated these answers" in printed
    assert set(judge.asked.values()) == {1}
    assert len(judge.asked) == 2 * ITEMS
    for name in ("report.md", "report.html"):
        report = (run / name).read_text(encoding="utf-8")
        assert "Five aspects (1 to 5), judged by served" in report
        assert "Uncalibrated" in report


def test_the_judge_never_sees_a_models_name_and_gets_a_fixed_seed(run, judged):
    *_, judge = judged(honest)
    for request in judge.requests:
        assert not re.search(r"\b(base|adapter|tuned)\b", json.dumps(request["messages"]))
        assert (request["temperature"], request["seed"]) == (0, read_results(run).seed)
    shown = {text for prompt in judge.asked for text in answers_of(prompt)}
    assert {seen_quality(text) for text in shown} == {1, 2, 3}


def test_a_preference_is_asked_in_both_orders(run, judged):
    code, printed, err, judge = judged(fair, "--rubric", "preference")
    assert code == 0, err
    judging = judging_of(run, "preference")
    pairs = [tuple(answers_of(prompt)) for prompt in judge.asked]
    assert {pair[::-1] for pair in pairs} == set(pairs)
    (pair,) = judging.comparisons
    assert pair.difference == pytest.approx(1 / 3)  # the adapter wins a third of the items, the others are ties
    assert (judging.position.changed, judging.position.pairs) == (0, ITEMS)
    assert (judging.position.first, judging.position.verdicts) == (10, 20)
    assert judging.faults == []
    assert "0.0 % [0.0, 11.4] of 30 preferences change with the order" in printed


def test_a_judge_that_always_gives_five_is_named(run, judged):
    _, printed, *_ = judged(lambda _: scores(5))
    (fault,) = judging_of(run).faults
    titles = "Medical accuracy, Completeness, Clinical relevance, Fluency and Safety and caution"
    assert fault == f"it gives 5 to 60 of 60 answers for {titles}: these ratings hardly say anything about the answers"
    assert f"Fault of the judge: {fault}." in printed
    assert judging_of(run).length.correlation is None


def test_a_judge_that_always_prefers_the_first_is_named(run, judged):
    judged(lambda _: prefers("A"), "--rubric", "preference")
    judging = judging_of(run, "preference")
    assert judging.faults == ["it prefers the answer shown first in 60 of 60 verdicts"]
    assert (judging.position.changed, judging.position.pairs) == (ITEMS, ITEMS)
    assert judging.comparisons[0].difference == 0  # both orders together take the bias out


def test_a_judge_that_always_prefers_the_longer_is_named(run, judged):
    def longer(prompt):
        one, other = map(len, answers_of(prompt))
        return prefers("A" if one > other else "B" if other > one else "tie")

    judged(longer, "--rubric", "preference")
    judging = judging_of(run, "preference")
    (fault,) = judging.faults
    assert fault.startswith("it prefers the longer answer in 60 of 60 verdicts: its preference cannot be distinguished")
    assert judging.length.correlation > 0.8
    assert judging.length.low > 0.7


def test_a_judge_whose_scores_are_the_length_is_named(run, judged):
    write_answers(run, lambda model, number: "x" * (1 + (number * 7 + (model == "adapter")) % 50))
    judged(lambda prompt: scores(1 + len(answers_of(prompt)[0]) // 13))
    (fault,) = judging_of(run).faults
    assert fault.startswith("its ratings follow the length of the answers (rank correlation 0.9")


def test_broken_json_in_a_tenth_of_the_replies_is_named_and_counted(run, judged):
    broken = iter(range(10_000))

    def breaking(prompt):
        return '{"medical_accuracy": 3, "comp' if next(broken) % 10 == 0 else honest(prompt)

    write_answers(run, lambda model, number: f"Quality {quality(model, number)}. Case {number} of {model[0]}.")
    judged(breaking)
    judging = judging_of(run)
    assert sum(count.unparsed for count in judging.replies) == 6
    assert judging.faults == [
        "6 of 60 replies (10.0 %) are not the JSON that was requested; these answers have no rating"
    ]
    assert sum(score.n for score in judging.scores if score.metric == "fluency") == 54


def test_refusals_and_prompts_that_are_not_taken_are_counted_apart(run, judged):
    def unwilling(prompt):
        number = int(re.findall(r"case (\d+)", prompt)[0])
        if number % 10 == 0:
            return "I'm sorry, but I cannot rate medical advice."
        if number % 10 == 1:
            return completion("", refusal="Not this.")
        return Raw(413, b'{"error": "too long"}') if number % 10 == 2 else honest(prompt)

    code, _, err, _ = judged(unwilling)
    assert code == 0, err
    counts = judging_of(run).replies
    assert [(count.rated, count.refused, count.failed, count.unparsed) for count in counts] == [(21, 6, 3, 0)] * 2
    assert [fault.partition(" replies")[0] for fault in judging_of(run).faults] == ["12 of 60", "6 of 60"]


@pytest.mark.parametrize(("schema", "is_sent"), [("applies", True), ("ignores", False), ("refuses", False)])
def test_replies_are_requested_by_schema_where_the_server_applies_it(run, judged, schema, is_sent):
    code, printed, err, judge = judged(honest, schema=schema)
    assert code == 0, err
    assert {"response_format" in request for request in judge.requests} == {is_sent}
    assert judging_of(run).judge.json_schema == is_sent
    assert ("requested by JSON schema" in printed) == is_sent
    if is_sent:
        sent = judge.requests[0]["response_format"]["json_schema"]["schema"]
        assert sent["properties"]["fluency"] == {"type": "integer", "enum": [1, 2, 3, 4, 5]}
        assert set(sent["required"]) == {"reason", *ASPECTS}


def test_the_cost_is_shown_before_anything_is_asked(run, judged):
    code, printed, _, judge = judged(honest, "--cost")
    assert code == 0
    assert not judge.asked
    assert re.search(r"60 judgements by served .*\n.*cost: about [\d,]+ prompt tokens, at most [\d,]+ new", printed)
    assert read_results(run).judging == []


@pytest.mark.slow
def test_a_killed_judgement_goes_on_where_it_was(run, command, without_plots, store):
    killed: list[subprocess.Popen] = []

    def verdict(prompt):
        if len(judge.asked) == 10 and killed[0].poll() is None:
            killed[0].kill()
        return honest(prompt)

    judge = FakeJudge(verdict)
    with judge.running() as address:
        words = ["judge", str(run), "--judge", address, "--set", "scoring.served.concurrency=1"]
        killed.append(subprocess.Popen([sys.executable, "-m", "medbench", *words], stdout=subprocess.DEVNULL))
        assert killed[0].wait() == -signal.SIGKILL
        assert read_results(run).judging == []
        code, printed, err = command(*words)
        assert code == 0, err
        assert "51 requests to send, 9 replies are there already" in printed
        assert judging_of(run).scores
        code, printed, err = command(*words)
        assert "0 requests to send, 60 replies are there already" in printed
        assert sorted(judge.asked.values()) == [1] * 59 + [2]  # the one that nobody was there to receive
        command(*words, "--again")
        assert sorted(judge.asked.values()) == [2] * 59 + [3]
    assert judging_of(run).judge.json_schema


def test_answers_that_changed_since_are_left_out(run, judged, command):
    judged(honest)
    write_answers(
        run, lambda model, number: "New." if number < 3 and model == "base" else f"Quality 1. {number}{model}"
    )
    judged(lambda _: prefers("tie"), "--rubric", "preference")
    judging = judging_of(run)
    assert judging.outdated == 2 * ITEMS
    assert judging.scores == []


def test_the_gate_ignores_judged_scores(run, judged, command):
    def gate():
        code, *_ = command("gate", run, "--out", run / "gate")
        report = json.loads((run / "gate" / "gate.json").read_text())
        return code, report["verdict"], [(rule["name"], rule["verdict"], rule["value"]) for rule in report["rules"]]

    without = gate()
    judged(lambda prompt: scores(1 if "adapter" in prompt else 5))
    assert judging_of(run).scores
    assert gate() == without


def test_a_model_that_judges_itself_is_disclosed(run, command, without_plots, tmp_path):
    rubric = tmp_path / "own.yaml"
    rubric.write_text(yaml.safe_dump(RUBRIC | {"max_new_tokens": 8, "reason": False}), encoding="utf-8")
    code, printed, err = command("judge", run, "--judge", "base", "--rubric", rubric)
    assert code == 0, err
    judging = judging_of(run, "own")
    assert judging.judge.same_as == ["base"]
    assert "base judges its own answers: it is the same model as base" in printed
    assert "base judges its own family: it is the base of the adapters" in printed
    assert sum(count.unparsed for count in judging.replies) == 2 * ITEMS  # random weights write no JSON
    assert "cost: about" not in printed  # its own tokenizer counts


def test_the_folder_of_a_model_is_a_judge_whose_replies_are_stored_too(
    run, command, without_plots, store, wide_model, tmp_path
):
    rubric = tmp_path / "own.yaml"
    rubric.write_text(yaml.safe_dump(RUBRIC | {"max_new_tokens": 8, "reason": False}), encoding="utf-8")
    words = ("judge", run, "--judge", f"wide={wide_model}", "--rubric", rubric)
    code, printed, err = command(*words)
    assert code == 0, err
    assert "60 requests to send, 0 replies are there already" in printed
    first = judging_of(run, "own")
    assert (first.judge.kind, first.judge.same_as, first.judge.is_base) == ("full", [], False)
    assert first.output_tokens > 0
    assert "0 requests to send, 60 replies are there already" in command(*words)[1]
    assert judging_of(run, "own") == first
    rubric.write_text(yaml.safe_dump(RUBRIC | {"instructions": "Rate it. " * 500}), encoding="utf-8")
    code, printed, err = command(*words)
    assert code == 0, err
    assert "0 requests to send" in printed  # all are longer than the model's window, and none is cut
    assert [count.failed for count in judging_of(run, "own").replies] == [ITEMS, ITEMS]
    assert "60 of 60 replies (100.0 %) are missing, since the judge did not take the prompt" in printed


def test_weighted_criteria_come_from_the_items_own_data(run, judged, tmp_path):
    lines = [
        {
            "id": f"item {number}",
            "criteria": [
                {"criterion": "names quality 2", "points": 5},
                {"criterion": "names any quality", "points": 3},
                {"criterion": "is cruel", "points": -4},
            ],
        }
        for number in range(ITEMS)
    ]
    path = tmp_path / "criteria.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    def met(prompt):
        return json.dumps(
            {"criterion_1": "Quality 2" in answers_of(prompt)[0], "criterion_2": True, "criterion_3": True}
        )

    code, _, err, _ = judged(met, "--rubric", "weighted-criteria", "--criteria", path)
    assert code == 0, err
    values = {score.model: score.value for score in judging_of(run, "weighted-criteria").scores}
    assert values["base"] == pytest.approx((10 * (5 + 3 - 4) + 20 * (3 - 4)) / 8 / ITEMS)
    assert values["adapter"] == pytest.approx((20 * (5 + 3 - 4) + 10 * (3 - 4)) / 8 / ITEMS)
    path.write_text('{"id": "item 1", "criteria": []}\n{"id": "item 2", "criteria": [{"criterion": "a"}]}\n')
    code, _, err, _ = judged(met, "--rubric", "weighted-criteria", "--criteria", path)
    assert code == 2
    assert "the criteria have 2 faults" in err
    assert "line 1: criteria" in err
    assert "line 2: criteria.0.points" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rubric", "five-aspect"], "did you mean five-aspects?"),
        (["--task", "medbench_pubmedqa"], "the answers to medbench_pubmedqa are chosen labels"),
        (["--rubric", "weighted-criteria"], "the rubric weighted-criteria needs the items' criteria"),
        (["--criteria", "x.jsonl"], "the rubric five-aspects takes no criteria"),
    ],
)
def test_what_cannot_be_judged_is_one_message(judged, words, message):
    code, _, err, judge = judged(honest, *words)
    assert code == 2
    assert message in err
    assert not judge.asked


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        ("adapter", "a judge is a whole model, not an adapter"),
        ("a=http://localhost:1/v1#m,base", "it names several models"),
        ("judge", "judge needs a source"),
    ],
)
def test_a_judge_that_is_none_is_one_message(run, command, judge, message):
    code, _, err = command("judge", run, "--judge", judge)
    assert code == 2
    assert message in err
    assert "NAME=http://HOST/v1#MODEL, NAME=FOLDER of a whole model, or base" in err


def test_a_rubric_with_faults_lists_all_of_them(run, command, tmp_path):
    wrong = RUBRIC | {"kind": "score", "colour": "red", "max_new_tokens": 1}
    wrong["aspects"] = {"clarity": {"title": "Clarity", "question": "?", "scale": [5, 1]}}
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(wrong), encoding="utf-8")
    code, _, err = command("judge", run, "--judge", "base", "--rubric", path)
    assert code == 2
    assert "the rubric has 4 faults:" in err
    for place in ("kind", "colour: unknown key", "max_new_tokens", "aspects.clarity.scale"):
        assert place in err
    assert err.count(f"{path}, line ") == 4
