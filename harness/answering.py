"""`medbench ask`: one question to several models, answered with the recipe's prompt and generation settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.engine import BASE, OWN_ADAPTER, GenerateRequest
from harness.run_plan import make_plan, own_adapter
from harness.scoring import load_engine
from reports.errors import UserError
from tasks.formats import get_format
from tasks.rendering import encode, render_prompt
from training.adapters import WEIGHTS

if TYPE_CHECKING:
    from harness.folder import RunFolder
    from training.recipe import Recipe


def answers(
    question: str, recipe: Recipe, folder: RunFolder, models: str, max_new_tokens: int | None
) -> dict[str, str]:
    """The answers by model.

    Raises:
        UserError: A model cannot be had; the recipe's own adapter is never trained here.
    """
    plan = make_plan(recipe, folder, models, [])
    adapters = {name: adapter.folder for name, adapter in plan.adapters.items()}
    if OWN_ADAPTER in plan.models:
        if not (folder.adapter / WEIGHTS).is_file():
            raise UserError(
                "it holds no adapter yet", where=str(folder.path), fix="run `medbench run` first, or ask --models base"
            )
        adapters[OWN_ADAPTER] = own_adapter(plan).folder
    engine = load_engine(plan, {name: adapters[name] for name in plan.models if name != BASE})
    prompt = render_prompt(engine.tokenizer, get_format(recipe.format.name), question, recipe.format.chat_template)
    tokens = tuple(encode(engine.tokenizer, prompt))
    limit = max_new_tokens or recipe.scoring.max_new_tokens
    requests = [GenerateRequest(name, tokens, limit) for name in plan.models]
    found = engine.generate(requests, lambda _: None)
    return {request.model: answer.text for request, answer in zip(requests, found, strict=True)}
