"""The main job from end to end on a tiny model, and its stages singly."""

import json
import shutil

import pytest

from reports.document.reading import read_results
from reports.document.schema import Sample
from reports.files import read_json, read_jsonl
from tasks.data.source import SAMPLES

pytestmark = pytest.mark.usefixtures("without_plots")

TASKS = ("medbench_pubmedqa", "medbench_perplexity", "medbench_generation")


def test_a_run_folder_explains_itself(tiny_run):
    names = {path.relative_to(tiny_run).as_posix() for path in tiny_run.rglob("*") if path.is_file()}
    assert {"recipe.yaml", "results.json", "report.md", "report.html", "run.log", "adapter/training_log.json"} <= names
    assert {f"samples/{model}/{task}.jsonl" for model in ("base", "adapter") for task in TASKS} <= names


def test_every_sample_has_what_it_takes_to_check_it(tiny_run):
    for task in TASKS:
        samples = [Sample.model_validate(row) for _, row in read_jsonl(tiny_run / "samples" / "base" / f"{task}.jsonl")]
        assert len(samples) == 6
        for sample in samples:
            assert sample.prompt
            assert sample.gold
            assert sample.metrics
            assert sample.seconds is not None
            assert sample.prompt_tokens
        if task == "medbench_generation":
            assert all(sample.finish_reason and sample.output_tokens for sample in samples)
            assert all(sample.problems for sample in samples)
        if task == "medbench_pubmedqa":
            assert all(set(sample.choices) == {"yes", "no", "maybe"} for sample in samples)


def test_results_hold_scores_comparisons_hashes_and_versions(tiny_run):
    results = read_results(tiny_run)
    assert {model.name for model in results.models} == {"base", "adapter"}
    assert all(len(model.sha256) == 64 for model in results.models)
    assert {data.role for data in results.data} == {"train", "validation", *TASKS}
    assert results.environment["packages"]["torch"]
    assert results.training.steps == 3
    assert len(results.scores) == 2 * len(results.comparisons) == 2 * 19
    assert sum(count.gold for count in results.classes if count.model == "base") == 6
    assert results.verdict
    assert all(task.synthetic for task in results.tasks)


def test_log_results_and_report_say_what_became_of_every_row(tiny_run):
    accounts = {data.role: data.account for data in read_results(tiny_run).data}
    logged = read_json(tiny_run / "adapter" / "training_log.json")["sources"]["train"]
    train = accounts["train"]
    assert train.model_dump() == logged
    assert (train.kind, train.read, train.used, train.duplicates, train.violating) == ("reasoning", 96, 6, 0, 0)
    assert accounts["medbench_perplexity"].read == 36
    assert "96 rows read as reasoning (question: question" in (tiny_run / "report.md").read_text(encoding="utf-8")


def test_figures_are_those_of_the_samples(tiny_run):
    results = read_results(tiny_run)
    rows = [row for _, row in read_jsonl(tiny_run / "samples" / "adapter" / "medbench_pubmedqa.jsonl")]
    (score,) = [s for s in results.scores if (s.model, s.metric) == ("adapter", "accuracy")]
    assert score.value == pytest.approx(sum(row["output"] == row["gold"] for row in rows) / len(rows))


def test_predictions_are_written_in_the_official_submission_format(tiny_run):
    path = tiny_run / "predictions" / "adapter" / "medbench_pubmedqa.json"
    rows = [row for _, row in read_jsonl(tiny_run / "samples" / "adapter" / "medbench_pubmedqa.jsonl")]
    assert json.loads(path.read_text()) == {row["id"]: row["output"] for row in rows}


def test_generated_pubmedqa_answers_are_scored_counted_and_compared(tiny_recipe, tiny_run, tmp_path, command):
    out = tmp_path / "run"
    tasks = "medbench_pubmedqa_cot,medbench_pubmedqa_question,medbench_pubmedqa_question_cot"
    words = ("--recipe", tiny_recipe, "--models", f"base,mine={tiny_run / 'adapter'}", "--tasks", tasks, "--out", out)
    code, _, err = command("run", *words)
    assert code == 0, err
    results = read_results(out)
    assert results.tasks[0].label == "PubMedQA, generated, synthetic items"
    counts = {(each.gold, each.predicted): each.count for each in results.confusion if each.model == "mine"}
    assert sum(each.count for each in results.confusion) == 2 * 3 * 6
    assert {"yes", "no", "maybe"} <= {gold for gold, _ in counts}
    given = json.loads((out / "predictions" / "mine" / "medbench_pubmedqa_cot.json").read_text())
    assert set(given.values()) <= {"yes", "no", "maybe", "none"}
    (answered,) = [
        s
        for s in results.scores
        if (s.model, s.metric, s.task) == ("mine", "answered", tasks.split(",", maxsplit=1)[0])
    ]
    assert answered.value == pytest.approx(sum(each != "none" for each in given.values()) / 6)


def test_items_that_share_an_abstract_are_known_as_such(tiny_recipe, tmp_path):
    import harness

    items = json.loads(SAMPLES["samples:pubmedqa"].read_text(encoding="utf-8"))
    twice, other = list(items)[:2]
    (tmp_path / "items.json").write_text(json.dumps({"a": items[twice], "b": items[twice], "c": items[other]}))
    settings = [f"data.pubmedqa.source={tmp_path / 'items.json'}"]
    task = "medbench_pubmedqa"
    harness.run(str(tiny_recipe), models="base", tasks=[task], out=tmp_path / "run", settings=settings, quiet=True)
    rows = [row for _, row in read_jsonl(tmp_path / "run" / "samples" / "base" / f"{task}.jsonl")]
    first, second, third = (row["cluster"] for row in rows)
    assert first == second
    assert first
    assert third is None


def test_other_batches_move_no_figure_in_float32(tiny_recipe, tiny_run, tmp_path, command):
    out = tmp_path / "run"
    words = ["score", "--recipe", tiny_recipe, "--models", f"base,mine={tiny_run / 'adapter'}", "--out", out]
    assert command(*words, "--set", "scoring.noise_items=6")[0] == 0
    results = read_results(out)
    assert results.noise.method == "in batches of 512 tokens and 3 generated rows"
    assert {each.metric for each in results.noise.scores} > {"accuracy", "perplexity", "rouge_l"}
    assert all(each.flips.items == 6 for each in results.noise.scores)
    assert all(abs(each.shift.value) < 1e-4 for each in results.noise.scores if each.metric != "perplexity")
    assert not any(each.is_within_noise for each in results.comparisons)


def test_numerical_noise_of_16_bits_is_measured_and_shown(tiny_recipe, tiny_run, tmp_path, command):
    out = tmp_path / "run"
    models = f"base,mine={tiny_run / 'adapter'}"
    words = ["run", "--recipe", tiny_recipe, "--models", models, "--tasks", "medbench_perplexity,medbench_generation"]
    words += ["--set", "scoring.dtype=bfloat16", "--out", out]
    code, printed, err = command(*words, "--set", "scoring.noise_items=6")
    assert code == 0, err
    assert "12 items again, in float32 instead of bfloat16" in printed
    results = read_results(out)
    noises = {(each.model, each.metric): each for each in results.noise.scores}
    perplexity = noises["base", "perplexity"]
    assert (perplexity.flips.changed, perplexity.flips.items) == (6, 6)
    assert perplexity.shift.low < perplexity.shift.value < perplexity.shift.high
    assert all(each.noise is not None for each in results.comparisons)
    assert "### Numerical noise" in (out / "report.md").read_text()
    assert command(*words, "--set", "scoring.noise_items=0")[0] == 0
    noise = read_results(out).noise
    assert (noise.method, noise.scores) == ("", [])
    assert set(noise.unmeasured.values()) == {"not measured, since scoring.noise_items is 0"}
    assert all(each.noise is None for each in read_results(out).comparisons)


def test_nothing_names_a_folder_of_this_machine(tiny_run, tiny_model):
    for name in ("results.json", "report.md", "report.html", "adapter/adapter_config.json", "adapter/README.md"):
        text = (tiny_run / name).read_text(encoding="utf-8")
        if name == "results.json":
            value = json.loads(text)
            value["recipe"]["model"].pop("base")  # the recipe is kept as the user wrote it
            value.pop("command")
            text = json.dumps(value)
        assert str(tiny_model.parent) not in text, name


@pytest.fixture
def copied_run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


def test_a_second_run_trains_and_asks_nothing_anew(copied_run, command):
    before = json.loads((copied_run / "results.json").read_text())
    code, out, err = command("run", "--out", copied_run)
    assert code == 0, err
    assert out.count("answered already, kept") == 6
    assert "Train" not in out
    after = json.loads((copied_run / "results.json").read_text())
    assert after["scores"] == before["scores"]
    assert after["comparisons"] == before["comparisons"]
    assert all(cost["reused"] for cost in after["costs"])


def test_broken_answers_from_earlier_are_asked_anew(copied_run, command):
    path = copied_run / "samples" / "base" / "medbench_perplexity.jsonl"
    path.write_text(path.read_text()[:-40])
    code, out, err = command("score", "--out", copied_run)
    assert code == 0, err
    assert out.count("answered already, kept") == 5
    assert len(path.read_text().splitlines()) == 6


def test_stages_run_singly_on_the_same_folder(tiny_recipe, tmp_path, command):
    out = tmp_path / "run"
    code, _, err = command("score", "--recipe", tiny_recipe, "--out", out)
    assert code == 2
    assert "medbench train" in err
    assert command("train", "--recipe", tiny_recipe, "--out", out)[0] == 0
    code, printed, _ = command("train", "--out", out)
    assert code == 0
    assert "nothing to train" in printed
    code, _, err = command("report", out)
    assert code == 2
    assert "the folder has no results.json" in err
    assert command("score", "--out", out, "--limit", 5, "--tasks", "medbench_pubmedqa")[0] == 0
    assert command("report", out)[0] == 0
    assert (out / "report.html").stat().st_size > 1000


def test_further_adapters_in_any_order_and_a_base_alone(tiny_run, tiny_recipe, tmp_path, command):
    out = tmp_path / "run"
    models = f"mine={tiny_run / 'adapter'},base"
    words = ("--recipe", tiny_recipe, "--tasks", "medbench_pubmedqa,medbench_perplexity", "--out", out)
    code, _, err = command("run", "--models", models, *words)
    assert code == 0, err
    results = read_results(out)
    assert [model.name for model in results.models] == ["mine", "base"]
    assert results.baseline == "base"
    assert {each.candidate for each in results.comparisons} == {"mine"}
    code, printed, _ = command("run", "--models", "base", *words)
    assert code == 0
    assert "nothing to compare it with" in printed


def test_ask_shows_all_answers_and_the_note(copied_run, command):
    code, out, err = command("ask", "What is a fever?", "--out", copied_run, "--max-new-tokens", 5)
    assert code == 0, err
    assert "base" in out
    assert "adapter" in out
    assert "Not medical advice" in out


def test_a_second_process_is_kept_out_of_the_folder(copied_run, command):
    from harness.folder import RunFolder

    with RunFolder(copied_run).lock():
        code, _, err = command("run", "--out", copied_run)
    assert code == 2
    assert "another medbench is working" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--models", "base,nothing"), "nothing needs a source"),
        (("--models", "base=x"), "base takes no source"),
        (("--models", "base,base"), "given twice"),
        (("--models", "a/b=x"), "is no name for a model"),
        (("--models", " , "), "no model is named"),
        (("--tasks", "medbench_pubmedq"), "did you mean medbench_pubmedqa"),
        (("--set", "data.reasoning.source=none.jsonl"), "none.jsonl: there is no such data file"),
        (("--set", "model.base=no/such/folder"), "there is no such model folder"),
        (("--set", "lora.target_modules=[no_proj]", "--models", "base,adapter"), "no_proj"),
        (("--recipe", "none"), "there is no recipe of that name"),
    ],
)
def test_what_a_user_gets_wrong_is_one_message_and_exit_code_2(tiny_recipe, tmp_path, command, words, message):
    given = words if "--recipe" in words else ("--recipe", tiny_recipe, *words)
    code, _, err = command("run", *given, "--out", tmp_path / "run")
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_a_run_folder_that_cannot_be_written_is_told(tiny_recipe, tmp_path, command):
    (tmp_path / "file").write_text("")
    code, _, err = command("run", "--recipe", tiny_recipe, "--out", tmp_path / "file" / "run")
    assert code == 2
    assert "cannot write to the run folder" in err
