"""lm-eval's view of the engine: one model name of it as an lm-eval model class."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lm_eval.api.model import TemplateLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from harness.engine import Engine, GenerateRequest, ScoreRequest
from tasks.answers import GeneratedText, ScoredText
from tasks.rendering import encode

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

_DEFAULT_NEW_TOKENS = 256


class EngineLM(TemplateLM):  # type: ignore[misc]
    """Answers lm-eval's requests as one of the engine's models.

    Args:
        engine: Holds the base and its adapters.
        model: The name to answer as.
        seed: Of sampled answers.
        progress: Called with the number of requests done since the last call.
    """

    def __init__(self, engine: Engine, model: str, *, seed: int, progress: Callable[[int], None]) -> None:
        super().__init__()
        self._engine = engine
        self._model = model
        self._seed = seed
        self._progress = progress
        self.tokenizer = engine.tokenizer

    @property
    def eot_token_id(self) -> int:
        """The end token, which stands for an empty context."""
        return int(self._engine.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """The start token where the model has one."""
        start = self._engine.tokenizer.bos_token_id
        return self.eot_token_id if start is None else int(start)

    @property
    def tokenizer_name(self) -> str:
        """Name that lm-eval puts into its cache keys."""
        return str(self._engine.tokenizer.name_or_path).replace("/", "__")

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:  # noqa: FBT001, FBT002
        """The chat as the model's own template renders it."""
        text: str = self._engine.tokenizer.apply_chat_template(
            chat_history, tokenize=False, add_generation_prompt=add_generation_prompt
        )
        return text

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:  # noqa: FBT001
        """Token ids, with the start token exactly once unless told otherwise."""
        if add_special_tokens is None:
            return encode(self._engine.tokenizer, string)
        ids: list[int] = self._engine.tokenizer(string, add_special_tokens=add_special_tokens).input_ids
        return ids

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:  # noqa: ARG002, FBT001, FBT002
        """Log-likelihood of each continuation after its context, with lm-eval's own division into tokens."""
        answers: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
        return answers

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **_: Any
    ) -> list[tuple[float, bool]]:
        asked = [ScoreRequest(self._model, tuple(context), tuple(wanted)) for _, context, wanted in requests]
        answers = self._engine.score(asked, self._progress)
        return [
            ScoredText(
                answer.logprob,
                greedy=answer.greedy,
                tokens=len(request.continuation),
                prompt_tokens=len(request.context),
                seconds=answer.seconds,
            )
            for request, answer in zip(asked, answers, strict=True)
        ]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:  # noqa: ARG002, FBT001, FBT002
        """Log-likelihood of whole texts, in windows of the model's length whose scored parts do not overlap."""
        asked: list[ScoreRequest] = []
        owner: list[int] = []
        for number, request in enumerate(requests):
            tokens = self.tok_encode(request.args[0], add_special_tokens=False)
            windows = get_rolling_token_windows(
                token_list=tokens, prefix_token=self.prefix_token_id, max_seq_len=self._engine.max_length, context_len=1
            )
            for window in windows:
                context, wanted = make_disjoint_window(window)
                asked.append(ScoreRequest(self._model, tuple(context), tuple(wanted)))
                owner.append(number)
        sums = [0.0] * len(requests)
        for number, answer in zip(owner, self._engine.score(asked, self._progress), strict=True):
            sums[number] += answer.logprob
        return sums

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:  # noqa: ARG002, FBT001, FBT002
        """Generated answers that carry their cost; repeats of a question are sampled with different seeds."""
        asked: list[GenerateRequest] = []
        seen: dict[str, int] = {}
        for request in requests:
            context, settings = request.args
            repeat = seen[context] = seen.get(context, -1) + 1
            asked.append(
                _generate_request(self._model, encode(self._engine.tokenizer, context), settings, self._seed + repeat)
            )
        answers = self._engine.generate(asked, self._progress)
        return [
            GeneratedText(
                answer.text,
                prompt_tokens=len(request.prompt),
                output_tokens=len(answer.tokens),
                finish_reason=answer.finish_reason,
                seconds=answer.seconds,
            )
            for request, answer in zip(asked, answers, strict=True)
        ]


def _generate_request(model: str, prompt: list[int], settings: dict[str, Any], seed: int) -> GenerateRequest:
    """lm-eval's generation settings as the engine's; sampling only where they ask for it."""
    until = settings.get("until") or ()
    limit = next((settings[key] for key in ("max_gen_toks", "max_new_tokens", "max_tokens") if key in settings), None)
    temperature = float(settings.get("temperature", 0.0) or 0.0)
    if not settings.get("do_sample", temperature > 0):
        temperature = 0.0
    elif temperature == 0:
        temperature = 1.0
    return GenerateRequest(
        model,
        tuple(prompt),
        int(limit or _DEFAULT_NEW_TOKENS),
        stop=(until,) if isinstance(until, str) else tuple(each for each in until if each),
        temperature=temperature,
        top_p=float(settings.get("top_p", 1.0) or 1.0),
        seed=seed,
    )
