"""`medbench ask`: one question to several models, answered with the recipe's prompt and generation settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.engines.choice import Choice, start_engine
from harness.engines.interface import GenerateRequest, GenerateResponse, ModelRequest
from harness.planning.model_names import BASE, OWN_ADAPTER
from harness.planning.run_plan import make_plan, own_adapter
from reports.errors import UserError
from tasks.formats import get_format
from tasks.rendering import encode, load_tokenizer, render_prompt
from training.models.adapters import WEIGHTS

if TYPE_CHECKING:
    from harness.folder import RunFolder
    from training.recipes.recipe import Recipe


def answers(
    question: str, recipe: Recipe, folder: RunFolder, models: str, max_new_tokens: int | None
) -> dict[str, str]:
    """The answers by model.

    Raises:
        UserError: A model is not available; the recipe's own adapter is never trained here.
    """
    plan = make_plan(recipe, folder, models, [])
    adapters = {name: adapter.folder for name, adapter in plan.adapters.items()}
    if OWN_ADAPTER in plan.models:
        if not (folder.adapter / WEIGHTS).is_file():
            raise UserError(
                "it holds no adapter yet", where=str(folder.path), fix="run `medbench run` first, or ask --models base"
            )
        adapters[OWN_ADAPTER] = own_adapter(plan).folder
    tokenizer = load_tokenizer(str(plan.base.folder))
    prompt = render_prompt(tokenizer, get_format(recipe.format.name), question, recipe.format.chat_template)
    request = GenerateRequest(
        tuple(encode(tokenizer, prompt)),
        max_new_tokens or recipe.scoring.max_new_tokens,
        stop=tuple(recipe.scoring.stop),
        temperature=recipe.scoring.temperature,
        top_p=recipe.scoring.top_p,
        top_k=recipe.scoring.top_k,
        seed=recipe.seed,
    )
    requests = [ModelRequest(name, request) for name in plan.models]
    choice = Choice("transformers", "one question", 0.0)
    engine = start_engine(plan, choice, {name: adapters[name] for name in plan.models if name != BASE}, requests)
    responses = dict(engine.respond(requests))
    texts = {name: responses[index] for index, name in enumerate(plan.models)}
    return {name: response.text for name, response in texts.items() if isinstance(response, GenerateResponse)}
