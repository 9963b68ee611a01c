"""Suites offline, from folders in the schemas of the public data sets; all their rows are synthetic."""

import copy
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import harness
from harness.planning.lm_tasks import load_tasks
from harness.planning.local_data import local_spec
from harness.runs.reasoning_effects import same_items
from reports.comparison.proportions import score_interval
from reports.document.reading import read_results
from reports.errors import UserError
from reports.files import read_jsonl
from tasks.benchmarks import BENCHMARKS
from tasks.catalog import CONFIG_FOLDER
from tasks.suites import SUITES
from tests.benchmark_data import ITEMS, write_all, write_pubmedqa
from tests.conftest import first_layers, tiny_recipe_value
from training.models.base_model import find_base
from training.recipes.recipe_file import load_recipe

pytestmark = pytest.mark.usefixtures("without_plots")
OURS = ["medical-trust", "retention", "medical-hard", "medbench_glianorex_shuffled", "medbench_glianorex_no_question"]
STOCK_FOLDERS = ("medqa", "medmcqa", "mmlu/default", "glianorex", "careqa", "headqa")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def recipe(tiny_model, folders, tmp_path_factory):
    value = copy.deepcopy(tiny_recipe_value(tiny_model))
    folder = tmp_path_factory.mktemp("recipe")
    value["data"]["folders"] = folders
    value["data"]["pubmedqa"] = {"source": str(write_pubmedqa(folder)), "config": "pqa_labeled", "ids": "all"}
    value["quantization"] = {"method": "none"}
    value["scoring"] = {"max_new_tokens": 4, "noise_items": 0}
    path = folder / "suites.yaml"
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "ours"
    harness.score(recipe, models="base", tasks=OURS, out=out, quiet=True)
    return out


def stock_tasks(names, folders, index=()):
    """The tasks as stock lm-eval loads them, from the same folders by its own overrides."""
    from lm_eval.tasks import TaskManager

    paths = [str(CONFIG_FOLDER), *map(str, index)]
    manager = TaskManager(include_path=paths, include_defaults=False, metadata={"folders": folders})
    return manager.load([local_spec(name, manager.task_index, folders).spec for name in names])


def stock_results(names, folders, model, index=()):
    from lm_eval import evaluate
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=str(model), dtype="float32", softmax_dtype="float32", device="cpu", batch_size=8)
    return evaluate(model, stock_tasks(names, folders, index), bootstrap_iters=0, log_samples=True)


def likelihood_tasks(suites):
    return [member.task for name in suites for member in SUITES[name].members if member.kind == "log-likelihood"]


def check_scores_and_prompts(names, run, stock):
    scores = {(score.task, score.metric): score.value for score in read_results(run).scores}
    for name in names:
        figures = {key.removesuffix(",none"): value for key, value in stock["results"][name].items() if "," in key}
        figures = {key: value for key, value in figures.items() if not key.endswith("_stderr")}
        assert {key: scores[name, key] for key in figures} == pytest.approx(figures, rel=1e-4), name
        prompts = [row["prompt"] for _, row in read_jsonl(run / "samples" / "base" / f"{name}.jsonl")]
        theirs = [sample["arguments"][0][0] for sample in stock["samples"][name]]
        assert prompts == theirs, name


def test_suites_are_scored_offline_and_the_results_remember_them(run):
    results = read_results(run)
    assert [(suite.name, suite.tasks) for suite in results.suites] == [
        (name, SUITES[name].tasks) for name in ("medical-trust", "retention", "medical-hard")
    ]
    sizes = {score.task: score.n for score in results.scores}
    assert sizes == {
        "medbench_medhallu": 2 * ITEMS,
        "medbench_medhalt_fct": ITEMS,
        "medbench_medhalt_nota": ITEMS,
        "medbench_metamedqa": ITEMS,
        "medbench_retention_hellaswag": ITEMS,
        "medbench_retention_arc_easy": ITEMS,
        "medbench_retention_mmlu": 6 * ITEMS,
        "medbench_medxpertqa": ITEMS,
        "medbench_medcalc": ITEMS,
        "medbench_supergpqa_clinical": ITEMS,
        "medbench_glianorex_shuffled": ITEMS,
        "medbench_glianorex_no_question": ITEMS,
    }
    assert {task.name for task in results.tasks if task.purpose == "retention"} == set(SUITES["retention"].tasks)
    (mean,) = next(suite for suite in results.suites if suite.name == "retention").scores
    parts = [
        score.value for score in results.scores if score.task in SUITES["retention"].tasks and score.metric == "acc"
    ]
    assert (mean.value, mean.n) == (pytest.approx(sum(parts) / 3), 8 * ITEMS)
    titles = {metric.title for task in results.tasks for metric in task.metrics if metric.key == "acc"}
    assert titles == {"Accuracy"}


def test_answers_about_one_question_are_one_group(run):
    clusters = [row["cluster"] for _, row in read_jsonl(run / "samples" / "base" / "medbench_medhallu.jsonl")]
    assert len(set(clusters)) == ITEMS
    assert len(clusters) == 2 * ITEMS


def test_stock_lm_eval_gives_the_scores_and_prompts_of_our_task_files(run, folders, tiny_model):
    names = [*likelihood_tasks(["medical-trust", "retention", "medical-hard"]), "medbench_glianorex_shuffled"]
    check_scores_and_prompts(names, run, stock_results(names, folders, tiny_model))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.real_model
def test_smollm2_gets_the_scores_and_prompts_of_stock_lm_eval_by_log_likelihood(recipe, folders, tmp_path):
    """A third of its layers, for time."""
    import lm_eval.tasks

    base = first_layers(tmp_path / "base", 10)
    suites = ["medical", "control", "languages", "medical-trust", "retention", "medical-hard"]
    out, settings = tmp_path / "run", [f"model.base={base}", "scoring.limit=null"]
    harness.score(recipe, models="base", tasks=suites, out=out, settings=settings, quiet=True)
    names = likelihood_tasks(suites)
    root = CONFIG_FOLDER.__class__(lm_eval.tasks.__file__).parent
    index = [root / name for name in STOCK_FOLDERS]
    names.remove("medbench_pubmedqa")  # stock lm-eval is compared on it in test_parity
    check_scores_and_prompts(names, out, stock_results(names, folders, base, index))


@pytest.mark.slow  # lm-eval reads 14,000 files for tasks that are not ours
def test_the_medical_suite_has_the_scores_and_prompts_of_stock_lm_eval(recipe, folders, tiny_model, tmp_path):
    import lm_eval.tasks

    suites = ["medical", "control", "languages"]
    harness.score(recipe, models="base", tasks=suites, out=tmp_path, quiet=True)
    names = [name for name in likelihood_tasks(suites) if not name.startswith("medbench_")]
    root = CONFIG_FOLDER.__class__(lm_eval.tasks.__file__).parent
    stock = stock_results(names, folders, tiny_model, [root / name for name in STOCK_FOLDERS])
    check_scores_and_prompts(names, tmp_path, stock)


def stock_index():
    """The tasks of lm-eval with reasoned counterparts, without reading all of its files."""
    import lm_eval.tasks

    root = CONFIG_FOLDER.__class__(lm_eval.tasks.__file__).parent
    paths = [str(root / name) for name in STOCK_FOLDERS]
    return lm_eval.tasks.TaskManager(include_path=paths, include_defaults=False).task_index


@pytest.fixture(scope="module")
def pairs(recipe):
    """Both ways of answering each reasoned benchmark, by the name of the task that reasons."""
    names = {name: benchmark.by_likelihood for name, benchmark in BENCHMARKS.items() if benchmark.by_likelihood}
    names["medbench_pubmedqa_cot"] = "medbench_pubmedqa"
    loaded = load_recipe(recipe)
    tasks = load_tasks([*names, *names.values()], loaded, find_base(loaded.model), stock_index)
    by_name = {task.name: task for task in tasks}
    return {reasoned: (by_name[by_likelihood], by_name[reasoned]) for reasoned, by_likelihood in names.items()}


def test_all_items_of_a_reasoned_task_are_those_of_its_counterpart(pairs):
    assert len(pairs) == 12
    for by_likelihood, reasoned in pairs.values():
        items = same_items(by_likelihood, reasoned)
        names = [str(100 + n) if reasoned.name == "medbench_pubmedqa_cot" else str(n) for n in range(ITEMS)]
        assert items == {name: name for name in names}, reasoned.name


def test_items_that_differ_are_not_the_same(pairs):
    by_likelihood, reasoned = pairs["medbench_medqa_reasoned"]
    another = pairs["medbench_medmcqa_reasoned"][1]
    assert same_items(by_likelihood, another) == {}
    assert same_items(by_likelihood, reasoned.at([1, 4])) == {"1": "1", "4": "4"}
    documents = list(reasoned.task.eval_docs)
    documents[0]["label"], documents[1]["stem"] = "B", "Another question?"
    documents[2]["options"] = documents[2]["options"][::-1]
    changed = replace(reasoned, task=SimpleNamespace(eval_docs=documents))
    assert list(same_items(by_likelihood, changed)) == ["3", "4", "5", "6", "7"]


def test_reasoned_tasks_say_so(pairs):
    infos = [task.info for both in pairs.values() for task in both]
    assert [info.reasoned for info in infos] == [False, True] * 12
    for by_likelihood, reasoned in pairs.values():
        assert reasoned.info.by_likelihood == by_likelihood.name
    assert pairs["medbench_medqa_reasoned"][1].info.short_title == "MedQA (USMLE, 4 options), reasoned"


def test_examples_are_not_claimed_by_tasks_that_take_none(recipe):
    loaded = load_recipe(recipe, ["scoring.num_fewshot=2"])
    names = ["medbench_medcalc", "medbench_mmlu_anatomy_reasoned", "medbench_pubmedqa"]
    settings = [task.info.setting for task in load_tasks(names, loaded, find_base(loaded.model), dict)]
    assert [setting.rpartition(", ")[2] for setting in settings] == [
        "which the task does not take",
        "which the task does not take",
        "2 examples before each",
    ]


def test_both_ways_of_answering_are_compared_on_the_same_items(recipe, tmp_path):
    tasks = ["medbench_metamedqa", "medbench_metamedqa_reasoned"]
    results = harness.score(recipe, models="base", tasks=tasks, out=tmp_path, quiet=True)
    (effect,) = results.reasoning
    first, second = (next(score.value for score in results.scores if score.task == task) for task in tasks)
    assert (effect.items, effect.unpaired) == (ITEMS, 0)
    assert (effect.likelihood_accuracy, effect.reasoned_accuracy) == (first, second)
    assert effect.difference == second - first
    assert (effect.low, effect.high) == pytest.approx(score_interval(0, 8 * first, 8, 0.05))
    assert results.verdict[0].startswith(
        "Truncated reasoning: the limit of 4 new tokens cut 100.0 % of the answers of base"
    )
    harness.report(tmp_path, quiet=True)
    assert "| base, MetaMedQA | " in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_stock_lm_eval_gives_the_prompts_and_scores_of_reasoned_tasks(recipe, folders, tiny_model, tmp_path):
    from lm_eval import evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    names = ["medbench_medqa_reasoned", "medbench_mmlu_college_medicine_reasoned"]
    harness.score(recipe, models="base", tasks=names, out=tmp_path, quiet=True)
    metadata = {"folders": folders, "pretrained": str(tiny_model)}
    manager = TaskManager(include_path=str(CONFIG_FOLDER), include_defaults=False, metadata=metadata)
    tasks = manager.load(names)
    for task in tasks["tasks"].values():
        task.config.generation_kwargs["max_gen_toks"] = 4
    model = HFLM(pretrained=str(tiny_model), dtype="float32", device="cpu", batch_size=8)
    check_scores_and_prompts(names, tmp_path, evaluate(model, tasks, bootstrap_iters=0, log_samples=True))


def test_a_mistyped_name_is_compared_with_suites_too(recipe):
    loaded = load_recipe(recipe)
    with pytest.raises(UserError, match="lm-eval knows no task 'medicl'") as caught:
        load_tasks(["medicl"], loaded, find_base(loaded.model), dict)
    assert "did you mean medical" in str(caught.value.fix)


def test_changed_rows_and_other_folders_of_the_same_name_are_read(recipe, folders, tmp_path):
    """`datasets` itself would give the rows that it saw first."""

    def questions(folder):
        settings = [f"data.folders={{allenai/ai2_arc: {folder}}}"]
        loaded = load_recipe(recipe, settings)
        (task,) = load_tasks(["medbench_retention_arc_easy"], loaded, find_base(loaded.model), dict)
        return [document["question"] for document in task.task.eval_docs]

    first, other = Path(folders["allenai/ai2_arc"]), tmp_path / "allenai--ai2_arc"
    assert questions(first)[0] == "Synthetic school question 0: which sign follows sign 0?"
    shutil.copytree(first, other)
    path = other / "ARC-Easy" / "test.jsonl"
    for word in ("evening", "night"):
        path.write_text((first / "ARC-Easy" / "test.jsonl").read_text().replace("school", word))
        assert questions(other)[0] == f"Synthetic {word} question 0: which sign follows sign 0?"


def test_folders_that_are_not_there_are_named_together(recipe):
    loaded = load_recipe(recipe, ["data.folders={cais/mmlu: nowhere, maximegmd/glianorex: gone}"])
    with pytest.raises(UserError, match=r"data\.folders: there is no such folder: cais/mmlu: nowhere; maximegmd/gl"):
        load_tasks(["medbench_medhallu"], loaded, find_base(loaded.model), dict)


def test_without_its_folder_a_data_set_of_the_hub_is_one_clear_error(recipe):
    loaded = load_recipe(recipe, ["data.folders={}"])
    with pytest.raises(UserError, match="task medbench_medhallu: offline: HF_HUB_OFFLINE is set"):
        load_tasks(["medbench_medhallu"], loaded, find_base(loaded.model), dict)


@pytest.mark.slow
def test_the_medical_row_is_the_mean_of_its_nine_accuracies(recipe, tiny_run, tmp_path):
    models = f"base,mine={tiny_run / 'adapter'}"
    results = harness.score(recipe, models=models, tasks=["medical"], out=tmp_path, quiet=True)
    (suite,) = results.suites
    accuracies = {
        model: [score.value for score in results.scores if score.model == model and score.metric in ("acc", "accuracy")]
        for model in ("base", "mine")
    }
    assert [len(values) for values in accuracies.values()] == [9, 9]
    assert [score.value for score in suite.scores] == pytest.approx([sum(one) / 9 for one in accuracies.values()])
    (pair,) = suite.comparisons
    assert pair.difference == pytest.approx(suite.scores[1].value - suite.scores[0].value)
    assert (pair.n, pair.candidate, pair.baseline) == (9 * ITEMS, "mine", "base")
    harness.report(tmp_path, quiet=True)
    assert "Mean of the nine accuracies (Open Medical-LLM Leaderboard)" in (tmp_path / "report.md").read_text()


@pytest.mark.slow
def test_without_real_pubmedqa_there_is_no_medical_row_and_the_report_says_why(recipe, tmp_path):
    settings = ["data.pubmedqa={source: samples:pubmedqa}", "scoring.limit=2"]
    results = harness.score(recipe, models="base", tasks=["medical"], out=tmp_path, settings=settings, quiet=True)
    assert results.suites[0].scores == []
    assert list(results.suites[0].missing) == ["medbench_pubmedqa"]
    harness.report(tmp_path, quiet=True)
    assert "medbench_pubmedqa (scored on synthetic items" in (tmp_path / "report.md").read_text()
