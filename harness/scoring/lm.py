"""lm-eval's view of the engine: its requests in tokens for the engine, and the engine's answers in its own form."""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lm_eval.api.model import LM, TemplateLM

from harness.engines.interface import (
    GenerateRequest,
    GenerateResponse,
    PerplexityRequest,
    Request,
    Response,
    ScoreRequest,
)
from reports.errors import UserError
from tasks.answers import GeneratedText, ScoredText
from tasks.rendering import encode, encode_all
from tasks.task_settings import new_token_limit

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from transformers import PreTrainedTokenizerBase

_NOT_DONE = {"num_beams": 1, "num_return_sequences": 1, "repetition_penalty": 1.0, "min_p": 0.0, "typical_p": 1.0}


class RequestMaker(TemplateLM):  # type: ignore[misc]
    """Turns lm-eval's requests into the engine's, divided into tokens as lm-eval does it.

    lm-eval calls the methods of a model for answers; here they return requests. Many of them are held at once, so equal
    numbers and equal contexts are held once.

    Args:
        tokenizer: The model's.
        seed: Of sampled answers; equal prompts differ by how often this maker has met them.
        stop: Strings that end a generated answer beside those of the task.
        check: Called with every text, to raise if the tokenizer reads something else; None trusts it.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        seed: int,
        stop: tuple[str, ...] = (),
        check: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self._seed = seed
        self._stop = stop
        self._check = check
        self._numbers: dict[int, int] = {}
        self._encoded: dict[str, list[int]] = {}  # tokens of the texts at hand
        self._met: Counter[bytes] = Counter()  # sampled prompts by their hash

    @property
    def eot_token_id(self) -> int:
        """The end token, which stands for an empty context."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """The start token where the model has one."""
        start = self.tokenizer.bos_token_id
        return self.eot_token_id if start is None else int(start)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:  # noqa: FBT001
        """Token ids, with the start token exactly once by default.

        Raises:
            UserError: The tokenizer reads something else than the text.
        """
        if self._check is not None:
            self._check(string)
        if add_special_tokens is None:
            ids = self._encoded.get(string) or encode(self.tokenizer, string)
        else:
            ids = self.tokenizer(string, add_special_tokens=add_special_tokens).input_ids
        return [self._numbers.setdefault(number, number) for number in ids]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[Request]:  # noqa: FBT001, FBT002
        """Contexts and their continuations."""
        pairs = [request.args for request in requests]
        with self._encoding(text for context, end in pairs for text in (context.rstrip(), context + end)):
            made: list[Request] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
            return made

    @contextlib.contextmanager
    def _encoding(self, texts: Iterable[str]) -> Iterator[None]:
        """Have the tokens of these texts at hand, encoded together."""
        self._encoded = encode_all(self.tokenizer, texts)
        try:
            yield
        finally:
            self._encoded = {}

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **_: Any
    ) -> list[Request]:
        made: list[Request] = []
        contexts: dict[tuple[int, ...], tuple[int, ...]] = {}  # the choices of an item have their context in common
        for _texts, tokens, wanted in requests:
            context = tuple(tokens)
            made.append(ScoreRequest(contexts.setdefault(context, context), tuple(wanted)))
        return made

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[Request]:  # noqa: ARG002, FBT001, FBT002
        """Whole texts."""
        return [
            PerplexityRequest(tuple(self.tok_encode(text, add_special_tokens=False)), self.prefix_token_id)
            for (text,) in (request.args for request in requests)
        ]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[Request]:  # noqa: ARG002, FBT001, FBT002
        """Prompts to continue; each question and repeat has a seed of its own, the same for all models."""
        made: list[Request] = []
        with self._encoding(request.args[0] for request in requests):
            for context, settings in (request.args for request in requests):
                single = _generate_request(self.tok_encode(context), settings)
                single = replace(single, stop=(*single.stop, *self._stop))
                made.append(single if single.temperature == 0 else replace(single, seed=self._seed_of(context)))
        return made

    def _seed_of(self, context: str) -> int:
        name = hashlib.sha256(context.encode()).digest()
        mark = f"{self._seed} {self._met[name]} {context}"
        self._met[name] += 1
        return int.from_bytes(hashlib.sha256(mark.encode()).digest()[:4])


class AnsweredLM(LM):  # type: ignore[misc]
    """A model whose answers are all there: gives each request of lm-eval the one that belongs to it.

    Args:
        requests: What was asked, by lm-eval's type of request, in lm-eval's order.
        answer_to: The answer to a request.
    """

    def __init__(self, requests: dict[str, list[Request]], answer_to: Callable[[Request], Response]) -> None:
        super().__init__()
        self._requests = requests
        self._answer_to = answer_to

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Log-likelihoods that carry their cost."""
        return [_scored(request, self._answer_to(request)) for request in self._made("loglikelihood", requests)]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Log-likelihoods of whole texts."""
        return [
            _scored(request, self._answer_to(request))[0] for request in self._made("loglikelihood_rolling", requests)
        ]

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Generated answers that carry their cost."""
        return [_generated(request, self._answer_to(request)) for request in self._made("generate_until", requests)]

    def _made(self, kind: str, requests: Sequence[Instance]) -> list[Request]:
        made = self._requests[kind]
        assert len(made) == len(requests)
        return made


def _scored(request: Request, answer: Response) -> ScoredText:
    assert not isinstance(request, GenerateRequest)
    assert not isinstance(answer, GenerateResponse)
    prompt_tokens = 1 if isinstance(request, PerplexityRequest) else len(request.context)
    return ScoredText(answer.logprobs, greedy=answer.greedy, prompt_tokens=prompt_tokens, seconds=answer.cost.seconds)


def _generated(request: Request, answer: Response) -> GeneratedText:
    assert isinstance(request, GenerateRequest)
    assert isinstance(answer, GenerateResponse)
    return GeneratedText(
        answer.text,
        prompt_tokens=len(request.prompt),
        output_tokens=len(answer.tokens),
        finish_reason=answer.finish_reason,
        seconds=answer.cost.latency,
    )


def _generate_request(prompt: list[int], settings: dict[str, Any]) -> GenerateRequest:
    """lm-eval's generation settings as the engine's; sampling only where they ask for it.

    What greedy decoding does not look at is left out, so that equal questions are answered once.

    Raises:
        UserError: They ask for a way of decoding that the engine does not have.
    """
    for name, plain in _NOT_DONE.items():
        if settings.get(name, plain) != plain:
            raise UserError(
                f"a task asks for {name}={settings[name]}, which medbench does not do",
                where="the task's generation_kwargs",
                fix=f"leave {name} out of them",
            )
    until = settings.get("until") or ()
    stop = (until,) if isinstance(until, str) else tuple(text for text in until if text)
    greedy = GenerateRequest(tuple(prompt), new_token_limit(settings), stop=stop)
    temperature = float(settings.get("temperature", 0.0) or 0.0)
    if not settings.get("do_sample", temperature > 0):
        return greedy
    return replace(
        greedy,
        temperature=temperature or 1.0,
        top_p=float(settings.get("top_p", 1.0) or 1.0),
        top_k=int(settings.get("top_k", 0) or 0),
    )
