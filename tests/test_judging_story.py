"""The story in docs/judging.md: its commands are those that ran, and its synthetic raters follow their rule."""

from statistics import fmean

import httpx
import pytest

from benchmarks.judging_picture import judging_svg, story_rows
from benchmarks.judging_story import ITEMS
from benchmarks.speed_picture import THEMES
from benchmarks.synthetic_raters import ASPECTS, RATERS, mark, synthetic_judge
from reports.rating_sheet import ASPECTS as SHEET_ASPECTS
from reports.rating_sheet import MARKS
from tasks.judging.prompts import judge_prompt
from tasks.judging.replies import read_reply
from tests.evidence_values import load
from tests.pages import ROOT, shown_commands, text_of

MODELS = ("base", "adapter")


def mean_mark(model, aspect):
    marks = [mark(who, model, f"answer {n}", aspect, noise) for n in range(2000) for who, noise in RATERS.items()]
    assert set(marks) <= set(MARKS)
    return fmean(marks)


@pytest.mark.parametrize("aspect", ASPECTS)
def test_raters_show_the_true_difference_on_average(aspect):
    base, adapter = (mean_mark(model, aspect) for model in MODELS)
    assert base == pytest.approx(ASPECTS[aspect].expected_mark(is_adapter=False), abs=0.06)
    assert adapter - base == pytest.approx(ASPECTS[aspect].truth, abs=0.08)


def test_marks_follow_from_rater_model_and_answer():
    arguments = ("base", "answer", "completeness", 0.5)
    assert mark("ada", *arguments) == mark("ada", *arguments)
    assert len({mark("ada", "base", f"answer {number}", "completeness", 0.5) for number in range(20)}) > 1
    assert {aspect: SHEET_ASPECTS[aspect][0] for aspect in ASPECTS}.keys() == SHEET_ASPECTS.keys()


def test_the_synthetic_judge_favours_the_adapter(five_aspects):
    def rate(text):
        prompt = judge_prompt(five_aspects, "What?", [text])
        body = {"model": "judge", "messages": prompt.messages}
        reply = httpx.post(f"{url}/chat/completions", json=body).json()["choices"][0]["message"]["content"]
        status, ratings = read_reply(reply, five_aspects, ())
        assert status == "rated"
        return sum(ratings.values())

    texts = {f"Text {number} of {model}.": (model, f"hash {number}") for number in range(10) for model in MODELS}
    with synthetic_judge(texts) as address:
        url = address.partition("#")[0]
        base, adapter = (fmean(rate(text) for text, (of, _) in texts.items() if of == model) for model in MODELS)
    assert adapter - base > sum(aspect.truth for aspect in ASPECTS.values()) + 1


@pytest.fixture
def five_aspects():
    from harness.judging.rubric_files import load_rubric

    return load_rubric("five-aspects")


def test_the_page_shows_the_commands_that_ran():
    page, measured = text_of(ROOT / "docs" / "judging.md"), load("judging_story.json")
    section = page.partition("## The whole story")[2].partition("\n## ")[0]
    shown = [line.split("  #")[0].rstrip() for line in shown_commands(section) if line.startswith("medbench")]
    assert shown == list(dict.fromkeys(one["command"] for one in measured["commands"]))


def test_the_picture_has_every_interval_of_the_story():
    measured = load("judging_story.json")
    assert set(measured["truth"]) == set(ASPECTS)
    light, dark = map(judging_svg, THEMES)
    for aspect in ASPECTS:
        rows = story_rows(measured, aspect)
        assert [rows[index][0] for index in (0, 2)] == ["judge alone", f"calibrated, {ITEMS} items"]
        assert all(low <= value <= high for _, value, low, high in rows if value is not None)
    assert "synthetic raters" in light
    assert light != dark
    assert light.count("<circle") == dark.count("<circle") == 3 * len(ASPECTS)
