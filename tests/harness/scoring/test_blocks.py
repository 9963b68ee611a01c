"""Scoring block by block gives what scoring all at once gives, and holds no more than one block."""

import gc
import hashlib
import json
from array import array
from types import SimpleNamespace

import pytest
import yaml

from harness.engines.interface import Cost, GenerateAnswer, GenerateRequest, ScoreAnswer, ScoreRequest
from reports.document.reading import read_results
from reports.files import read_jsonl
from tests.conftest import tiny_recipe_value

OURS = "medbench_pubmedqa,medbench_perplexity,medbench_generation"
SAMPLING = ("scoring.temperature=1.0", "scoring.repeats=3", "scoring.top_k=40")


class HashEngine:
    """Answers with what a hash of the question says, so that answers do not depend on batches."""

    name = "transformers"
    max_length = 1024

    def __init__(self, tokenizer, state):
        self.tokenizer = tokenizer
        self.setup = {"engine": self.name, "start_seconds": 0.0}
        self._state = state

    def answer(self, asked, known):
        """One answer after another."""
        self._state.asked |= {request for _, request in asked}
        for place, (model, request) in enumerate(asked):
            if place not in known:
                self._state.watch(len(asked))
                yield place, answer_to(model, request)

    def close(self):
        """Nothing to let go of."""


def answer_to(model, request):
    number = int.from_bytes(hashlib.sha256(f"{model} {request}".encode()).digest()[:4])
    cost = Cost(0.25, 0.5, 1000)
    if isinstance(request, GenerateRequest):
        text = f"Thinking: {number} is it.\n#### {number % 20}"
        return GenerateAnswer(text, (1, number % 9), "length" if number % 7 == 0 else "stop", cost)
    tokens = request.continuation if isinstance(request, ScoreRequest) else request.tokens
    return ScoreAnswer(array("f", [-(number % 4096) / 64] * len(tokens)), number % 2 == 0, cost)


@pytest.fixture
def engine(monkeypatch, tiny_model):
    """The engine replaced; `watch` is called with the number of questions of a block before each answer to it.

    `told` are the questions by which the engine could choose its size, `asked` those that it was asked.
    """
    from tasks.rendering import load_tokenizer

    state = SimpleNamespace(watch=lambda _: None, told=set(), asked=set())

    def load(plan, choice, folders, asked, keeping):
        state.told |= {request for _, request in asked}
        return keeping(HashEngine(load_tokenizer(str(tiny_model)), state))

    monkeypatch.setattr("harness.scoring.stage.load_engine", load)
    monkeypatch.setattr("harness.scoring.rescoring.load_engine", load)
    return state


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
    value["scoring"] = {"max_new_tokens": 12, "noise_items": 4}
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
    for name in ("created", "command", "environment", "stages", "costs"):  # equal questions cost in each block anew
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
    engine.watch = blocks.append
    whole = content(score(1000, *settings, tasks=tasks)[0])
    one = len(set(blocks))
    blocks.clear()
    engine.told, engine.asked = set(), set()
    results, samples = content(score(7, *settings, tasks=tasks)[0])
    assert engine.asked <= engine.told
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
    engine.watch = lambda _: held.append(sum(type(each) is Instance for each in gc.get_objects()))
    score(5, "scoring.noise_items=0")
    assert 0 < max(held) <= 3 * 5


def test_what_is_answered_before_an_interruption_is_not_asked_again(engine, score, monkeypatch, tmp_path):
    whole = content(score(7, "scoring.noise_items=0")[0])
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MEDBENCH_CACHE_GB", "1")
    given: list[int] = []

    def stop_at_90(_):
        if len(given) == 90:
            raise KeyboardInterrupt
        given.append(1)

    engine.watch = stop_at_90
    run, _ = score(7, "scoring.noise_items=0", name="stopped", code=130)
    assert not list(run.rglob("*.part"))
    given.clear()
    engine.watch = lambda _: given.append(1)
    run, said = score(7, "scoring.noise_items=0", name="stopped")
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
    score(3, "scoring.noise_items=0", tasks="gsm8k,medbench_pubmedqa")
    assert set(seen) == {8, 3 * 10}  # requests
