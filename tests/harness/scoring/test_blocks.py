"""Scoring block by block gives what scoring all at once gives, and holds no more than one block."""

import gc
import json
from typing import ClassVar

import pytest
import yaml

from reports.document.reading import read_results
from reports.files import read_jsonl
from tests.conftest import tiny_recipe_value
from tests.harness.plugins import HashEngine, use_engine

OURS = "medbench_pubmedqa,medbench_perplexity,medbench_generation"
SAMPLING = ("scoring.temperature=1.0", "scoring.repeats=3", "scoring.top_k=40")


@pytest.fixture
def engine(monkeypatch, tmp_path):
    """The hash engine, installed as a plug-in."""

    class Engine(HashEngine):
        """With attributes of this test's own."""

        announced: ClassVar[set] = set()
        received: ClassVar[set] = set()

    use_engine(monkeypatch, tmp_path / "site", Engine, "hash")
    return Engine


@pytest.fixture
def recipe(tiny_model, tmp_path, write_rows):
    """Items of which some share their abstract or their question with one far away."""
    value = tiny_recipe_value(tiny_model)
    items = {
        str(n): {
            "QUESTION": f"Is {n} true?",
            "CONTEXTS": [f"A trial of {n % 9}."],
            "final_decision": ("yes", "no", "maybe")[n % 3],
        }
        for n in range(10)
    }
    (tmp_path / "items.json").write_text(json.dumps(items))
    rows = write_rows(
        *({"question": f"Why {n % 9}?", "complex_cot": f"Since {n}.", "response": f"So {n}."} for n in range(10))
    )
    value["data"] |= {"pubmedqa": {"source": str(tmp_path / "items.json")}, "reasoning": {"source": str(rows)}}
    value["scoring"] = {"max_new_tokens": 12, "noise_items": 0, "engine": "hash"}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    return path


@pytest.fixture
def score(command, recipe, tiny_run, tmp_path, monkeypatch):
    """Score in blocks of so many samples: all that is in the run's folder but the report."""

    def run(size, *settings, tasks=OURS, name=None, code=0):
        monkeypatch.setattr("harness.scoring.questions.BLOCK_SAMPLES", size)
        out = tmp_path / (name or f"run-{size}")
        words = [word for setting in settings for word in ("--set", setting)]
        models = f"base,mine={tiny_run / 'adapter'}"
        found = command("score", "--recipe", recipe, "--models", models, "--tasks", tasks, "--out", out, *words)
        assert found[0] == code, found[2]
        return out, found[1]

    return run


def content(run):
    """Results without times, and samples as they lie there."""
    results = json.loads((run / "results.json").read_text())
    # the costs of equal questions differ between blocks
    for name in ("created", "command", "environment", "stages", "costs", "checksum"):
        del results[name]
    del results["noise"]["seconds"]
    return results, {str(path.relative_to(run)): path.read_text() for path in run.rglob("*.jsonl")}


@pytest.mark.parametrize(
    ("tasks", "settings"),
    [(OURS, ()), ("medbench_generation,medbench_pubmedqa_cot", SAMPLING), ("gsm8k,medbench_pubmedqa,arc_easy", ())],
    ids=["all kinds", "repeats", "few-shot and filters"],
)
def test_samples_and_figures_are_those_of_one_block(hub, engine, score, tasks, settings):
    blocks: list[int] = []
    engine.before_each = staticmethod(blocks.append)
    whole = content(score(1000, *settings, tasks=tasks)[0])
    one = len(set(blocks))
    blocks.clear()
    engine.announced.clear()
    engine.received.clear()
    results, samples = content(score(7, *settings, tasks=tasks)[0])
    assert set() < engine.received <= engine.announced
    assert samples == whole[1]
    for key in results:
        assert results[key] == whole[0][key], key
    assert len(blocks) > one
    assert max(blocks) <= 4 * 2 * (7 + 2)  # of two models; at most four choices, a block ends with an item


def test_items_of_one_source_are_told_across_blocks(engine, score):
    run, _ = score(3)
    samples = [row for _, row in read_jsonl(run / "samples" / "base" / "medbench_pubmedqa.jsonl")]
    shared = [row["id"] for row in samples if row["cluster"]]
    assert shared == ["0", "9"]
    assert samples[0]["cluster"] == samples[9]["cluster"]


def test_no_more_than_a_block_is_held(engine, score):
    from lm_eval.api.instance import Instance

    held = []
    engine.before_each = lambda *_: held.append(sum(type(item) is Instance for item in gc.get_objects()))
    score(5)
    assert 0 < max(held) <= 3 * 5


def test_what_is_answered_before_an_interruption_is_not_asked_again(engine, score, monkeypatch, tmp_path):
    whole = content(score(7)[0])
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MEDBENCH_CACHE_GB", "1")
    given: list[int] = []

    def stop_at_90(*_):
        if len(given) == 90:
            raise KeyboardInterrupt
        given.append(1)

    engine.before_each = stop_at_90
    run, _ = score(7, name="stopped", code=130)
    assert not list(run.rglob("*.part"))
    given.clear()
    engine.before_each = lambda *_: given.append(1)
    run, said = score(7, name="stopped")
    assert "of part 1 of 5 are in the store, 0 are asked" in said
    results, samples = content(run)
    assert samples == whole[1]
    assert results["scores"] == whole[0]["scores"]
    costs = read_results(run).costs
    assert all(each.reused for each in costs if each.task == "medbench_pubmedqa")
    assert 90 + len(given) == 2 * (30 + 10 + 9)  # of two models; two prompts are the same


def test_a_task_with_a_filter_of_its_own_gets_all_answers_at_once(hub, engine, score, monkeypatch):
    """Such a filter may compare the answers to all items."""
    import lm_eval.filters

    seen: list[int] = []

    class Comparing:
        def apply(self, resps, docs):
            seen.append(len(docs))
            return resps

    build = lm_eval.filters.build_filter_ensemble

    def with_comparing(name, components):
        made = build(name, components)
        made.filters.append(Comparing)
        return made

    monkeypatch.setattr("lm_eval.api.task.build_filter_ensemble", with_comparing)
    score(3, tasks="gsm8k,medbench_pubmedqa")
    assert set(seen) == {8, 3 * 10}  # requests
