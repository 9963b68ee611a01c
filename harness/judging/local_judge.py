"""A judge on this machine: the run's base or another whole model, with the engine that scores models."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.answers.answer_keys import model_key, store_key
from harness.answers.cached_engine import load_engine
from harness.answers.stored_answers import ResponseCache
from harness.engines.choice import Choice
from harness.engines.interface import Engine, GenerateRequest, GenerateResponse, ModelRequest, Response
from harness.engines.windows import model_window
from harness.judging.judges import JudgeReply
from harness.planning.dialogues import read_dialogues
from harness.planning.run_plan import Plan
from reports.errors import UserError
from tasks.chat import render_messages
from tasks.rendering import encode, load_tokenizer
from training.models.device import pick_device
from training.models.loading import fits_dense
from training.recipes.recipe import FormatSection

if TYPE_CHECKING:
    from harness.answers.answer_store import AnswerStore
    from harness.folder import RunFolder
    from tasks.judging.prompts import JudgePrompt
    from training.models.model import Model
    from training.recipes.recipe import Recipe


class LocalJudge:
    """A judge loaded on this machine; see `harness.judging.judges.Judge`.

    Args:
        model: The model, with all its weights.
        recipe: The run's recipe, for device and engine; its format is not the judge's.
        folder: The run folder.
        store: The answer store; None keeps nothing.
        reads: Whether replies of earlier runs are used.
    """

    def __init__(
        self, model: Model, recipe: Recipe, folder: RunFolder, store: AnswerStore | None, *, reads: bool = True
    ) -> None:
        from transformers import AutoConfig

        self.model = model
        self.facts: dict[str, str] = {}
        own = recipe.model_copy(update={"format": FormatSection()})
        device = pick_device()
        dtype = device.default_dtype(recipe.model.dtype if recipe.scoring.dtype == "auto" else recipe.scoring.dtype)
        dialogues, _ = read_dialogues([model], model, own)
        self._plan = Plan(
            recipe=own,
            folder=folder,
            base=model,
            models=(model,),
            tasks=[],
            device=device,
            train_dtype=device.default_dtype(recipe.model.dtype),
            score_dtype=dtype,
            dense=fits_dense(model, dtype, device),
            dialogues=dialogues,
        )
        engine = recipe.scoring.engine
        self._choice = Choice("transformers" if engine == "auto" else engine, "one judge", 0.0)
        key = store_key(model_key(self._plan, self._choice, model), device)
        self._cache = ResponseCache(store, {model.name: key}, reads=reads)
        self._dialogue = dialogues[model.name]
        self._tokenizer = load_tokenizer(self._dialogue.tokenizer)
        self._window = model_window(AutoConfig.from_pretrained(model.folder, trust_remote_code=False), self._tokenizer)
        self._seed = recipe.seed
        self._engine: Engine | None = None
        self._tokens = functools.cache(self._encode)

    def stored(self, prompts: Sequence[JudgePrompt]) -> dict[JudgePrompt, JudgeReply]:
        """Replies of earlier runs, and that prompts beyond the model's window fail."""
        long = {prompt for prompt in prompts if self.count_tokens(prompt) + 1 >= self._window}
        rest = [prompt for prompt in prompts if prompt not in long]
        cached = self._cache.load([self._request(prompt) for prompt in rest])
        replies = {rest[index]: _reply(one, self.count_tokens(rest[index])) for index, one in cached.items()}
        return replies | dict.fromkeys(long, JudgeReply(f"longer than the window of {self._window} tokens", "failed"))

    def count_tokens(self, prompt: JudgePrompt) -> int:
        """Tokens of a prompt."""
        return len(self._tokens(prompt))

    def ask(self, prompts: Sequence[JudgePrompt]) -> Iterator[tuple[JudgePrompt, JudgeReply]]:
        """The replies in the order in which they are complete."""
        requests = [self._request(prompt) for prompt in prompts]
        self._engine = load_engine(self._plan, self._choice, requests, self._cache)
        for index, response in self._engine.respond(requests):
            if not response.is_finite:
                fix = "judge in another dtype (--set scoring.dtype=float32), or with another model"
                raise UserError("the judge answers with NaN or infinity", where=self.model.source, fix=fix)
            yield prompts[index], _reply(response, self.count_tokens(prompts[index]))

    def close(self) -> None:
        """Release the memory."""
        if self._engine is not None:
            self._engine.close()

    def _encode(self, prompt: JudgePrompt) -> tuple[int, ...]:
        chat = replace(self._dialogue.chat, system=prompt.system)
        if chat.uses_template(self._tokenizer):
            text = render_messages(self._tokenizer, prompt.messages[1:], chat)
        else:
            text = f"{prompt.system}\n\n{prompt.user}\n\nJSON:\n"
        return tuple(encode(self._tokenizer, text))

    def _request(self, prompt: JudgePrompt) -> ModelRequest:
        tokens = self._tokens(prompt)
        limit = max(1, min(prompt.max_new_tokens, self._window - len(tokens)))
        request = GenerateRequest(tokens, limit, stop=self._dialogue.stop, seed=self._seed)
        return ModelRequest(self.model.name, request)


def _reply(response: Response, prompt_tokens: int) -> JudgeReply:
    assert isinstance(response, GenerateResponse)
    return JudgeReply(response.text, response.finish_reason, prompt_tokens, len(response.tokens))
