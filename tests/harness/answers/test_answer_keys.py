"""What decides an answer is in the key that it is kept under."""

import ast
from dataclasses import replace
from pathlib import Path

from harness.answers.answer_keys import ENGINE_CODE, answer_key, model_key, store_key
from harness.engines.choice import Choice
from harness.engines.interface import GenerateRequest, PerplexityRequest, ScoreRequest
from harness.folder import RunFolder
from harness.planning.run_plan import make_plan
from tasks.rendering import load_tokenizer
from tests.harness.engines.fake_server import FakeServer
from training.models.device import Cuda
from training.recipes.recipe_file import load_recipe


def test_keys_differ_by_everything_that_decides_an_answer(tiny_recipe, tmp_path):
    plan = make_plan(load_recipe(str(tiny_recipe)), RunFolder(tmp_path), "base", ["medbench_perplexity"])

    def key(name="transformers", **changes):
        scoring = plan.recipe.scoring.model_copy(update=changes.pop("scoring", {}))
        recipe = plan.recipe.model_copy(update={"scoring": scoring})
        return model_key(replace(plan, recipe=recipe, **changes), Choice(name, "", 0.0), plan.base)

    base = key()
    assert base == key()
    others = [
        key(scoring={"batch_tokens": 200}),
        key(scoring={"batch_rows": 2}),
        key(base=replace(plan.base, quantization=None)),
        key(score_dtype="bfloat16"),
        key(train_dtype="bfloat16"),
        key(device=Cuda()),
        key(is_noise_check=True),
        key(base=replace(plan.base, sha256="another")),
    ]
    (plan.base.folder / "special_tokens_map.json").write_text("{}")
    others.append(key())
    (plan.base.folder / "special_tokens_map.json").unlink()
    others.append(model_key(plan, Choice("transformers", "", 0.0), plan.base, version="9.9"))
    assert len({base, *others}) == 1 + len(others)
    store = store_key(base, plan.device)
    request = GenerateRequest((1, 2, 3), 5, seed=1)
    asked = [
        request,
        replace(request, prompt=(1, 2, 4)),
        replace(request, seed=2),
        replace(request, stop=("a",)),
        replace(request, temperature=0.5),
        ScoreRequest((1, 2), (3,)),
        ScoreRequest((1,), (2, 3)),
        PerplexityRequest((1, 2, 3), 0),
    ]
    assert len({answer_key(store, each) for each in asked}) == len(asked)
    assert answer_key(store, request) != answer_key(store_key(others[0], plan.device), request)


def test_answers_of_a_server_hold_for_its_replies_and_for_one_folder(tiny_recipe, tiny_model, tmp_path, monkeypatch):
    """A server that loads other weights under the same name reports the same facts."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    recipe, choice = load_recipe(str(tiny_recipe)), Choice("transformers", "", 0.0)
    with FakeServer(load_tokenizer(str(tiny_model))).running() as server:

        def key(folder):
            plan = make_plan(recipe, RunFolder(folder), f"base,one={server.url}#tuned", ["medbench_perplexity"])
            return model_key(plan, choice, plan.model("one"))

        first = key(tmp_path)
        assert key(tmp_path) == first
        assert key(tmp_path / "another") != first
        server.change = lambda _, reply: {**reply, "choices": [{**reply["choices"][0], "text": "other weights"}]}
        assert key(tmp_path) != first
        server.change = lambda _, reply: reply
        assert key(tmp_path) == first
        RunFolder(tmp_path).served.unlink()
        assert key(tmp_path) != first


def test_all_that_decides_an_answer_is_in_the_code_that_keys_hash():
    """What computes answers takes nothing of the harness from elsewhere but the plan, whose settings are in the key."""
    root = Path(__file__).resolve().parents[3]
    hashed = {path for pattern in ENGINE_CODE for path in root.glob(pattern)}
    assert {"transformers_engine", "vllm_engine", "loading"} <= {path.stem for path in hashed}
    for file in hashed:
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("harness.")):
                continue
            if not node.module.startswith("harness.planning."):
                module = root / node.module.replace(".", "/")
                assert {module.with_suffix(".py"), *(module / f"{each.name}.py" for each in node.names)} & hashed, file
