"""Reports and README blocks: hostile text shows as text, markers are respected, errors name their line."""

import base64
import hashlib
import html
import json
import re
import shutil
import time
import tracemalloc

import pytest

from reports.document.checksums import write_facts
from reports.document.reading import read_results
from reports.errors import UserError
from reports.files import write_json
from reports.page.digest import digest
from reports.page.render import render

HOSTILE = "<script>alert(1)</script> **bold** | ``` \x1b[31m \u202egnol\u202c \U0001f600 " + "x" * 100_000


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


def change_sample(run, model, task, **change):
    """Change the first sample of one model on one task."""
    path = run / "samples" / model / f"{task}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0] |= change
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_facts(path)


def test_hostile_answers_show_as_text(run):
    for model in ("base", "adapter"):
        change_sample(run, model, "medbench_generation", output=HOSTILE, gold=HOSTILE, id='"><img src=x>')
    markdown, html = (path.read_text(encoding="utf-8") for path in render(run))
    assert html.count("<script") == 1
    assert "<img" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; **bold**" in html
    assert "\x1b" not in html + markdown
    assert "\u241b[31m" in html
    assert "\u241b[31m" in markdown
    assert len(html) < 400_000
    assert "````text\n<script>" in markdown
    assert '#### ">&lt;img src=x>' in markdown


def test_the_report_says_what_it_must(run):
    for path in render(run):
        text = path.read_text(encoding="utf-8")
        assert "Not medical advice" in text
        assert "synthetic" in text
        assert read_results(run).verdict[0].split(" (")[0] in html.unescape(text)
        assert read_results(run).models[0].sha256[:16] in text
        assert "replaces review by a clinician" in text


def test_the_page_loads_nothing_from_anywhere_and_runs_nothing_but_its_own_script(run):
    html = render(run)[1].read_text(encoding="utf-8")
    assert "http://" not in html
    assert "https://" not in html
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)[0].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert not re.search(r'\s(style|on\w+)="', html)
    for tag in ("style", "script"):
        content = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)[0]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_sections_come_in_the_order_of_a_reader(run):
    html = render(run)[1].read_text(encoding="utf-8")
    places = [html.index(f'id="{anchor}"') for anchor in ("results", "pictures", "training", "answers", "basis")]
    assert places == sorted(places)


def test_pictures_of_all_samples_are_drawn_with_words(run):
    html = render(run)[1].read_text(encoding="utf-8")
    for words in (
        "Confusion of base",
        "Calibration on",
        "Lengths of the reasoning",
        "Throughput",
        "share of the gold label",
    ):
        assert words in html
    assert html.count("<desc") == html.count('role="img" fill') >= 7


def test_a_run_says_what_is_missing(run):
    results = read_results(run)
    task = results.tasks[0]
    partial = results.model_copy(
        update={
            "training": None,
            "scores": [each for each in results.scores if (each.model, each.task) != ("adapter", task.name)],
            "comparisons": [each for each in results.comparisons if each.task != task.name],
        }
    )
    (run / "samples" / "base" / f"{task.name}.jsonl").unlink()
    write_json(run / "results.json", partial.model_dump(mode="json"))
    for path in render(run):
        text = path.read_text(encoding="utf-8")
        assert "there are no scores of adapter; the task failed or was not run" in text
        assert "the samples of base are not in the run folder" in text
        assert "Nothing was trained in this run" in text


def test_one_model_alone_makes_a_report(run):
    results = read_results(run)
    alone = results.model_copy(
        update={
            "models": results.models[:1],
            "scores": [each for each in results.scores if each.model == "base"],
            "comparisons": [],
            "costs": [],
            "training": None,
        }
    )
    write_json(run / "results.json", alone.model_dump(mode="json"))
    assert all("Only base was scored" in path.read_text(encoding="utf-8") for path in render(run))


def many(run, models, items, output):
    """Make a run of many samples of the given models out of a small one."""
    results = read_results(run)
    shown = results.recipe | {"report": {"title": "many", "samples": 1000}}
    base = results.models[0]
    more = [base.model_copy(update={"name": name}) for name in models]
    write_json(
        run / "results.json", results.model_copy(update={"models": more, "recipe": shown}).model_dump(mode="json")
    )
    path = run / "samples" / "base" / "medbench_generation.jsonl"
    sample = json.loads(path.read_text().splitlines()[0]) | {"output": output}
    shutil.rmtree(run / "samples")
    for name in models:
        (run / "samples" / name).mkdir(parents=True)
        with (run / "samples" / name / path.name).open("w") as stream:
            for number in range(items):
                sample["metrics"]["rouge_l"] = hash((name, number)) % 100 / 100
                stream.write(json.dumps(sample | {"id": f"item-{number}", "model": name}) + "\n")


def test_a_thousand_samples_stay_below_two_megabytes_and_the_page_says_what_it_leaves_out(run):
    many(run, ("base", "adapter"), 1000, "words of an answer " * 300)
    html = render(run)[1]
    assert html.stat().st_size < 2_000_000
    assert re.search(r"\d+ of 1000 questions are shown, some for each filter first", html.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_ten_thousand_samples_of_four_models_render_in_seconds_with_bounded_memory(run):
    many(run, ("base", "a", "b", "c"), 10_000, "words of an answer " * 50)
    tracemalloc.start()
    digests = digest(run, read_results(run))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [len(digest.answers) for digest in digests] == [10_000] * 4
    assert peak < 60_000_000
    started = time.process_time()
    render(run)
    assert time.process_time() - started < 10


def test_each_answer_says_what_every_metric_said_and_why(run):
    metrics = {"rouge_l": 0.5, "format_compliance": 0.0, "ended": 0.0}
    problem, cost = {"problems": ["missing: ## Thinking"]}, {"finish_reason": "length", "output_tokens": 12}
    texts = {"output": "Tense swelling", "gold": "A swelling"}
    change_sample(run, "adapter", "medbench_generation", **texts, **problem, **cost, metrics=metrics)
    for path in render(run):
        text = path.read_text(encoding="utf-8").replace("&#39;", "'")
        assert "Format compliance: no (missing: ## Thinking)" in text
        assert "Ended by itself: no (cut off at 12 tokens)" in text
        assert "ROUGE-L: 50.0 % (1 of the longer words of gold: swelling)" in text


def test_labels_of_other_people_s_tasks_may_be_anything(run):
    path = run / "samples" / "base" / "medbench_pubmedqa.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    hostile = {"yes\x1b[31m<b>$x$": -1.0, "no " * 500: -2.0}
    path.write_text("".join(json.dumps(row | {"choices": hostile}) + "\n" for row in rows))
    write_facts(path)
    html = render(run)[1].read_text(encoding="utf-8")
    assert "yes\u241b[31m&lt;b&gt;$x$" in html
    many = [row | {"choices": {f"{number}-{label}": -1.0 for label in "abcd"}} for number, row in enumerate(rows)]
    path.write_text("".join(json.dumps(row) + "\n" for row in many))
    write_facts(path)
    html = render(run)[1].read_text(encoding="utf-8")
    assert "Confusion of base" not in html
    assert "Confusion of adapter" in html


def test_a_folder_of_the_user_s_replaces_templates(run, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "report.md.j2").write_text("{{ title }}: {{ results.models | length }} models")
    markdown, html = render(run, folder)
    assert markdown.read_text(encoding="utf-8") == "medbench report: 2 models"
    assert "<h2" in html.read_text(encoding="utf-8")
    (folder / "report.md.j2").write_text("{{ nothing.here }}")
    with pytest.raises(UserError, match="'nothing' is undefined"):
        render(run, folder)


def test_results_of_another_schema_or_broken_ones_are_refused(run):
    value = json.loads((run / "results.json").read_text())
    for change, message in (
        ({"schema_version": "3.0"}, "schema version is 3.0"),
        ({"schema_version": "1.1"}, "schema version is 1.1"),
        ({"scores": 3}, "not a results document: scores"),
        ({"surprise": 1}, "not a results document: surprise"),
    ):
        (run / "results.json").write_text(json.dumps(value | change))
        with pytest.raises(UserError, match=message):
            read_results(run)


@pytest.mark.parametrize("template", [b"\xff", b"{{ 1 / 0 }}", b"{{ title + 1 }}", b"{{ results.models[9].name.x }}"])
def test_a_template_of_the_user_s_that_fails_in_any_way_is_told(run, tmp_path, template):
    (tmp_path / "report.md.j2").write_bytes(template)
    with pytest.raises(UserError, match=r"the template report\.md\.j2 fails"):
        render(run, tmp_path)


def test_the_markdown_report_shows_the_question_then_the_gold_answer_then_the_models(run):
    for model in ("base", "adapter"):
        change_sample(run, model, "medbench_generation", id="item 7", gold="Rest.", output=f"{model} says rest.")
    markdown = render(run)[0].read_text(encoding="utf-8")
    (block,) = (part for part in markdown.split("\n#### ") if part.startswith("item 7"))
    parts = [part.strip() for part in re.findall(r"```text\n(.*?)```", block, re.DOTALL)]
    first = json.loads((run / "samples/base/medbench_generation.jsonl").read_text().splitlines()[0])
    assert parts[0]
    assert parts[0] in first["prompt"]
    assert parts[1:4] == ["Rest.", "base says rest.", "adapter says rest."]
