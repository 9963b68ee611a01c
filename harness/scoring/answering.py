"""`medbench ask`: one question to several models, answered with the recipe's prompt and generation settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.engines.choice import Choice, start_engine
from harness.engines.interface import GenerateRequest, GenerateResponse, ModelRequest
from harness.planning.run_plan import make_plan, with_trained_adapter
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
    if plan.own_adapter is not None:
        if not (folder.adapter / WEIGHTS).is_file():
            raise UserError(
                "it holds no adapter yet", where=str(folder.path), fix="run `medbench run` first, or ask --models base"
            )
        if plan.awaits_checkpoints:
            what = "its checkpoints are not of this recipe, data and base"
            raise UserError(what, where=str(folder.path), fix="run `medbench run` first, or ask --models base,adapter")
        plan = with_trained_adapter(plan)
    requests = []
    for name, dialogue in plan.asked_dialogues.items():
        tokenizer = load_tokenizer(dialogue.tokenizer)
        prompt = render_prompt(tokenizer, get_format(recipe.format.name), question, dialogue.chat)
        request = GenerateRequest(
            tuple(encode(tokenizer, prompt)),
            max_new_tokens or recipe.scoring.max_new_tokens,
            stop=(*recipe.scoring.stop, *dialogue.stop),
            temperature=recipe.scoring.temperature,
            top_p=recipe.scoring.top_p,
            top_k=recipe.scoring.top_k,
            seed=recipe.seed,
        )
        requests.append(ModelRequest(name, request))
    engine = start_engine(plan, Choice("transformers", "one question", 0.0), requests)
    responses = dict(engine.respond(requests))
    texts = {model.name: responses[index] for index, model in enumerate(plan.models)}
    failed = [name for name, response in texts.items() if not response.is_finite]
    if failed:
        raise UserError(
            f"{', '.join(failed)} answers with NaN or infinity", where="--models", fix="leave it out, or train it again"
        )
    return {name: response.text for name, response in texts.items() if isinstance(response, GenerateResponse)}
