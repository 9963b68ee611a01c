"""The comment on a pull request: a sentence, what was judged, requirements, reasons, advice, changed questions."""

import re

import pytest
from markdown_it import MarkdownIt

from reports.gate.comment import comment
from reports.gate.outcome import ChangedItem, GateInputInfo, MovedSample, SliceChange, TaskChanges
from tests.reports.gate.test_render import ACCURACY, ADVISORY, FAILED, PASSED, PERPLEXITY, UNDECIDED, report

CANDIDATE = GateInputInfo(
    run="new",
    model="adapter",
    source="trained by this recipe",
    base="smollm2-135m-instruct",
    trained_on="450 rows of train.jsonl",
    sha256="fedcba9876543210",
    has_weights=True,
)
CHANGES = TaskChanges(
    task="t",
    title="PubMedQA",
    metric=ACCURACY,
    items=400,
    gained=1,
    lost=2,
    changed=[
        ChangedItem(id="17", question="Is A safe?", gold="yes", baseline=1.0, candidate=0.0, baseline_answer="yes",
                    candidate_answer="no"),
        ChangedItem(id="18", question="Is B safe?", gold="no", baseline=0.0, candidate=1.0, baseline_answer="",
                    candidate_answer=""),
    ],
    slices=[
        SliceChange(column="speciality", value="surgery", items=30, gained=0, lost=2),
        SliceChange(column="speciality", value="oncology", items=70, gained=1, lost=0),
        SliceChange(column="speciality", value="urology", items=90, gained=0, lost=0),
    ],
)  # fmt: skip
BETTER = FAILED.model_copy(
    update={"verdict": "pass", "outcome": "better", "subject": "Perplexity", "info": PERPLEXITY, "value": 5.0,
            "baseline": 9.0, "difference": -4.0, "low": -5.0, "high": -3.0, "limit": "is better", "moved": []}
)  # fmt: skip


def paragraphs(text):
    return text.removesuffix("\n").split("\n\n")


def test_a_blocked_model():
    link = "https://github.com/OWNER/repo/actions/runs/1#artifacts"
    shown, folded = comment(
        report(PASSED, BETTER, FAILED, candidate=CANDIDATE, data=["PubMedQA: 400 of 1000 items"], changes=[CHANGES]),
        link,
    ).split("<details>", 1)
    shown = shown.replace("\N{NO-BREAK SPACE}", "~")  # no number wraps
    assert paragraphs(shown.rstrip()) == [
        "## ❌ medbench: the model should not be released",
        (
            "The model adapter should not be released: its Accuracy (PubMedQA) is worse than that of base, 61.2 %"
            f" instead of 70.0 %. 1 of 3 requirements is not met. [Report with all questions and answers]({link})."
        ),
        (
            "| Model | adapter, trained by this recipe |\n| --- | --- |\n| Base | smollm2-135m-instruct |\n"
            "| Trained on | 450 rows of train.jsonl |\n| Compared with | base of old |\n"
            "| Scored on | PubMedQA: 400 of 1000 items |"
        ),
        (
            "| Requirement | Result | Baseline | Candidate | Change |\n| --- | --- | --- | --- | --- |\n"
            "| Accuracy (PubMedQA): no loss shown | ❌ not met, worse | 70.0~% | 61.2~% | -8.8~pp~[-15.0,~-2.0] |\n"
            "| Perplexity: is better | ✅ met, better | 9.00 | 5.00 | -4.00~[-5.00,~-3.00] |"
        ),
        "**What is not met or not decided, and why**",
        "- Accuracy (PubMedQA): no loss shown: shown to be worse.",
    ]
    assert "<summary>Questions that changed in PubMedQA: 2 now wrong, 1 now right, of 400</summary>" in folded
    assert "<summary>1 more requirement</summary>\n\n| Requirement |" in folded
    assert "| All tasks are scored completely | ✅ met |  |  |  |" in folded
    assert "Questions behind" not in folded  # the questions that changed explain the rule


def test_questions_that_changed_have_both_answers_and_counts_by_slice():
    text = comment(report(FAILED, changes=[CHANGES]))
    fold = text.split("<summary>Questions that changed")[1].split("</details>")[0]
    assert paragraphs(fold.strip())[1:] == [
        "> Research output of a language model. Not medical advice.",
        (
            "| speciality | Questions | Now wrong | Now right | Net |\n| --- | ---: | ---: | ---: | ---: |\n"
            "| surgery | 30 | 2 | 0 | -2 |\n| oncology | 70 | 0 | 1 | +1 |"
        ),
        "**Now wrong**",
        (
            "| Question | Expected | Baseline's answer | Candidate's answer |\n| --- | --- | --- | --- |\n"
            "| Is A safe? | yes | yes (right) | no (wrong) |"
        ),
        "**Now right**",
        (
            "| Question | Expected | Baseline's answer | Candidate's answer |\n| --- | --- | --- | --- |\n"
            "| Is B safe? | no | (not stored) (wrong) | (empty) (right) |"
        ),
    ]


def test_an_undecided_model_and_what_to_change():
    text = comment(report(UNDECIDED, BETTER, verdict="inconclusive", exit_code=3, advice=["set scoring.limit: 711"]))
    assert text.startswith(
        "## ⚠️ medbench: not decided yet\n\nWhether the model adapter may be released is not decided yet: the questions"
        " scored so far are too few. 1 of 2 requirements is not decided, and none is shown to be missed.\n"
    )
    assert "| few | ⚠️ inconclusive |" in text
    assert "\n**What to change for a decision**\n\n- set scoring.limit: 711\n" in text


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ([PASSED], "The model adapter may be released: it meets the only requirement."),
        (
            [BETTER, PASSED, ADVISORY],
            (
                "The model adapter may be released: it meets all 2 requirements. Compared with base, it is better in"
                " Perplexity."
            ),
        ),
        (
            [BETTER, UNDECIDED],
            (
                "The model adapter may be released: it meets 1 of 2 requirements. 1 of 2 requirements is not decided,"
                " which the policy accepts. Compared with base, it is better in Perplexity."
            ),
        ),
    ],
)
def test_a_model_that_may_be_released(rules, sentence):
    text = comment(report(*rules, verdict="pass", exit_code=0))
    assert paragraphs(text)[:2] == ["## ✅ medbench: the model may be released", sentence]


def test_of_several_baselines_the_one_is_named_that_a_model_is_better_or_worse_than():
    two = [GateInputInfo(run=run, model="base") for run in ("old", "older")]
    worse, better = (rule.model_copy(update={"against": "base of older"}) for rule in (FAILED, BETTER))
    assert "its Accuracy (PubMedQA) is worse than that of base of older, 61.2 % instead" in paragraphs(
        comment(report(worse, baselines=two))
    )[1].replace("\\", "")
    passed = comment(report(better, baselines=two, verdict="pass", exit_code=0))
    assert "it is better in Perplexity (against base of older)." in paragraphs(passed)[1]


def test_a_rule_that_fails_for_another_reason_is_named_with_it():
    leak = PASSED.model_copy(update={"rule": "leakage", "verdict": "fail", "reason": "3 test items are equal to rows"})
    assert paragraphs(comment(report(leak)))[1] == (
        "The model adapter should not be released: Test items that equal training rows: 3 test items are equal to rows."
        " 1 of 1 requirements is not met."
    )


def test_items_of_rules_that_no_task_explains_are_folded_without_their_ids():
    moved = MovedSample(id="case-7", task="t", baseline_score=3.0, candidate_score=4.5, question="A man with pain")
    worse = FAILED.model_copy(update={"info": PERPLEXITY, "metric": "p", "subject": "Perplexity", "moved": [moved]})
    text = comment(report(worse, changes=[CHANGES]))
    fold = text.split("<summary>Questions behind: Perplexity: no loss shown</summary>")[1].split("</details>")[0]
    assert fold.strip().endswith("- 4.50 instead of 3.00; question 'A man with pain'")
    assert "case-7" not in text


def test_no_id_or_raw_number_is_shown_before_the_last_fold():
    text = comment(report(FAILED, UNDECIDED, candidate=CANDIDATE, changes=[CHANGES]))
    before, last = text.split("<summary>How to read this</summary>")
    assert not re.search(r"0123456789ab|fedcba|item 7|\b17\b|0\.61", before)
    assert "policy 0123456789ab, weights fedcba987654.\n" in last
    unsaved = comment(report(FAILED, candidate=CANDIDATE.model_copy(update={"has_weights": False})))
    assert "weights fedcba987654 (they are not in the run folder, so they were not compared with" in unsaved


@pytest.mark.parametrize(
    "link", ["", "javascript:alert(1)", "https://x/a) [b](http://evil", "https://x/<b>", "ftp://x/y"]
)
def test_a_link_that_is_no_plain_url_is_left_out(link):
    assert "Report with all" not in comment(report(FAILED), link)


def test_text_of_models_and_data_is_escaped():
    text = "<b>&\n*x* @you | `c` [l](http://e)"
    item = CHANGES.changed[0].model_copy(update={"question": text, "candidate_answer": text})
    hostile = comment(
        report(
            FAILED.model_copy(update={"subject": "<i>", "reason": text}),
            candidate=CANDIDATE.model_copy(update={"model": text, "source": text}),
            changes=[CHANGES.model_copy(update={"changed": [item], "title": "</summary><script>"})],
            advice=[text],
            data=[text],
        )
    )
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(hostile)
    tags = set(re.findall(r"<(/?\w+)", page))
    tables = {"table", "thead", "tbody", "tr", "th", "td"}
    ours = {"h2", "p", "strong", "ul", "li", "details", "summary", "blockquote", *tables}
    assert {tag.removeprefix("/") for tag in tags} <= ours
    assert "@you" not in hostile
    assert "(Question" not in hostile


def test_a_comment_fits_github_and_drops_folds_from_the_end():
    long = CHANGES.changed[0].model_copy(update={"question": "q" * 999, "candidate_answer": "a" * 999})
    many = [CHANGES.model_copy(update={"title": f"Task {n}", "changed": [long] * 10}) for n in range(20)]
    text = comment(report(FAILED, changes=many))
    assert 50_000 < len(text) <= 60_100
    assert "in Task 0: " in text
    assert "in Task 19: " not in text
    assert text.endswith("</details>\n\nThe rest is in the report.\n")


def test_a_comment_fits_github_also_if_what_is_not_folded_is_long():
    hostile = "<b" * 400
    rule = FAILED.model_copy(update={"subject": hostile, "reason": hostile, "moved": []})
    text = comment(report(*[rule] * 20, data=[hostile] * 20, advice=[hostile] * 20))
    assert len(text) <= 60_100
    assert text.startswith("## ❌ medbench: the model should not be released\n\nThe model")
    assert text.endswith("\n\nThe rest is in the report.\n")


def test_a_table_shows_twenty_requirements_and_the_rest_is_folded():
    rules = [FAILED.model_copy(update={"name": str(n), "moved": []}) for n in range(30)]
    shown, folded = comment(report(*rules)).split("<details>", 1)
    assert shown.count("❌ not met") == 20
    assert "<summary>10 more requirements</summary>" in folded


def test_prompts_that_differ_are_a_row():
    text = comment(report(PASSED, prompts="The chat template differs.", verdict="pass", exit_code=0))
    assert "| Note | The chat template differs. |" in text


def test_a_baseline_of_the_same_run_is_named_without_the_run():
    same = GateInputInfo(run="new", model="base", source="SmolLM2")
    other = GateInputInfo(run="released", model="adapter")
    text = comment(report(PASSED, baselines=[same, other], candidate=CANDIDATE))
    assert "| Compared with | base, SmolLM2; adapter of released |" in text
