"""The engine on vLLM: base and all adapters, scored and generated, in one continuous batch.

Log-likelihoods are as exact as the transformers engine's: vLLM too computes a float32 softmax of logits in the model's
dtype, for the scored tokens only (`logprob_token_ids` for the last, `prompt_logprobs` for those before). Adapters are
LoRA requests beside the base's weights, their factors rounded to the model's dtype.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.engines.answer_text import AnswerEnd
from harness.engines.interface import (
    CAPABILITIES,
    Capability,
    Cost,
    GenerateRequest,
    GenerateResponse,
    ModelRequest,
    PerplexityRequest,
    Response,
)
from harness.engines.rows import PartScore, ScoringBatch, ScoringRow, Tokens
from harness.engines.windows import fit_to_context, model_window
from reports.errors import UserError, first_line
from reports.home import medbench_home
from training.models.adapters import CONFIG, is_plain_lora, read_settings
from training.models.architecture import transformers_config
from training.stopping import stop_if_asked

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tasks.answers import FinishReason

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # for which vLLM has kernels
_MOST_TOKEN_IDS = 128  # vLLM's limit of `logprob_token_ids`
_SHORTEST_WINDOW = 4096  # tokens; vLLM compiles for every length, so few are used
_MEMORY_SHARE = 0.85  # of the GPU; the rest is for the logits of long prompts


class VllmEngine:
    """Responds with vLLM; see `harness.engines.interface.Engine`.

    Args:
        model: Folder of a checkpoint with dense weights.
        tokenizer: The base's tokenizer.
        adapters: Adapter folders by name.
        requests: Requests that will follow, by whose length it chooses its window.
        ends: Recognises the end of an answer, by model.
        dtype: Dtype of weights and activations.
        settings: Further arguments of `vllm.LLM`, which override those chosen here.

    Attributes:
        max_length: Longest row in tokens.
        most_at_once: Largest number of prompts handed to vLLM at once.

    Raises:
        UserError: vLLM refuses the settings, or cannot take an adapter.
    """

    capabilities: frozenset[Capability] = CAPABILITIES

    def __init__(
        self,
        model: Path,
        tokenizer: PreTrainedTokenizerBase,
        adapters: Mapping[str, Path],
        requests: Iterable[ModelRequest],
        *,
        ends: Mapping[str, AnswerEnd],
        dtype: str,
        settings: Mapping[str, Any],
    ) -> None:
        started = time.perf_counter()
        os.environ.setdefault("VLLM_CACHE_ROOT", str(medbench_home() / "vllm"))  # runs share what it compiles
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        from vllm import LLM
        from vllm.lora.request import LoRARequest

        config = transformers_config(model)
        chosen = {
            "model": str(model),
            "tokenizer": str(tokenizer.name_or_path),
            "dtype": dtype,
            "max_model_len": _window(requests, model_window(config, tokenizer)),
            "gpu_memory_utilization": _MEMORY_SHARE,
            "generation_config": "vllm",  # the model's own would set a temperature
            "disable_log_stats": False,  # they hold the times of each request
            **_lora_settings(adapters),
            **settings,
        }
        try:
            self._llm: Any = LLM(**chosen)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"vLLM does not start: {first_line(error)}",
                where="scoring.vllm",
                fix="check the settings there, or set scoring.engine=transformers",
            ) from error
        self.max_length = int(chosen["max_model_len"]) - 1  # it needs room for a token even if none is generated
        self._ends = ends
        self._adapters = {
            name: LoRARequest(name, number, str(folder)) for number, (name, folder) in enumerate(adapters.items(), 1)
        }
        self._memory = _used_memory()
        self.most_at_once = 0
        self.setup: dict[str, str | float] = {
            "engine": "vllm",
            "adapters": "LoRA requests beside the base's weights" if adapters else "none",
            "max_model_len": chosen["max_model_len"],
            "start_seconds": round(time.perf_counter() - started, 3),
        }

    def respond(self, requests: Sequence[ModelRequest]) -> Iterator[tuple[int, Response]]:
        """Responses of all models as they leave one continuous batch."""
        from vllm import SamplingParams

        jobs: list[_Job] = []
        for name in dict.fromkeys(request.model for request in requests):
            own = [(index, request) for index, (model, request) in enumerate(requests) if model == name]
            scored = [(index, request) for index, request in own if not isinstance(request, GenerateRequest)]
            batch = ScoringBatch([request for _, request in scored], self.max_length)
            indices = [index for index, _ in scored]
            jobs += [_ScoreJob(name, part, batch, indices) for row in batch.rows for part in _parts(row)]
            jobs += [
                _GenerateJob(name, index, request, self._ends[name], *fit_to_context(request, self.max_length + 1))
                for index, request in own
                if isinstance(request, GenerateRequest)
            ]
        names = self._llm.enqueue(
            [{"prompt_token_ids": list(job.prompt)} for job in jobs],
            [SamplingParams(**job.settings()) for job in jobs],
            lora_request=[self._adapters.get(job.model) for job in jobs],
            use_tqdm=False,
        )
        # vLLM appends a random part to the names that it returns, and omits it in its outputs.
        waiting = {name.partition("-")[0]: job for name, job in zip(names, jobs, strict=True)}
        self.most_at_once = max(self.most_at_once, len(waiting))
        last = time.perf_counter()
        while self._llm.llm_engine.has_unfinished_requests():
            stop_if_asked()
            done = [output for output in self._llm.llm_engine.step() if output.finished]
            now = time.perf_counter()
            for output in done:
                share, times = (now - last) / len(done), output.metrics
                cost = Cost(share, times.last_token_ts - times.scheduled_ts, self._memory)
                yield from waiting.pop(output.request_id).responses(output, cost)
            if done:
                last = time.perf_counter()

    def close(self) -> None:
        """End vLLM's own process, which holds the GPU's memory."""
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm


@dataclass(frozen=True)
class _ScoreJob:
    """A row whose last tokens are scored."""

    model: str
    row: ScoringRow
    batch: ScoringBatch
    indices: Sequence[int]

    @property
    def prompt(self) -> Tokens:
        return self.row.tokens

    def settings(self) -> dict[str, Any]:
        tokens = sorted({continuation[-1] for _, continuation in self.row.targets})
        settings = {"max_tokens": 1, "temperature": 0.0, "ignore_eos": True, "detokenize": False}
        earlier = {} if self.row.scored == 1 else {"prompt_logprobs": 0}
        return {**settings, **earlier, "logprob_token_ids": tokens}

    def responses(self, output: Any, cost: Cost) -> Iterator[tuple[int, Response]]:
        row, (completion,) = self.row, output.outputs
        first = len(row.tokens) - row.scored + 1
        earlier = [output.prompt_logprobs[place][row.tokens[place]] for place in range(first, len(row.tokens))]
        shared, is_argmax = [entry.logprob for entry in earlier], all(entry.rank == 1 for entry in earlier)
        part_cost = Cost(cost.seconds / len(row.targets), cost.latency, cost.peak_memory)
        for part, continuation in row.targets:
            token = continuation[-1]
            logprobs = array("f", [*shared, completion.logprobs[0][token].logprob])
            score = PartScore(part, logprobs, is_argmax and completion.token_ids[0] == token, part_cost)
            if (completed := self.batch.complete(score)) is not None:
                yield self.indices[completed[0]], completed[1]


@dataclass(frozen=True)
class _GenerateJob:
    """A prompt to continue by at most `limit` tokens."""

    model: str
    index: int
    request: GenerateRequest
    end: AnswerEnd
    prompt: Tokens
    limit: int

    def settings(self) -> dict[str, Any]:
        return {
            "max_tokens": self.limit,
            "temperature": self.request.temperature,
            "top_p": self.request.top_p,
            "top_k": self.request.top_k,
            "seed": self.request.seed,
            "stop": list(self.request.stop),
            "ignore_eos": True,  # the end token of the base's tokenizer, which need not be this model's
            "stop_token_ids": sorted(self.end.ends),
            "skip_special_tokens": False,  # so that a stop string may contain one
        }

    def responses(self, output: Any, cost: Cost) -> Iterator[tuple[int, Response]]:
        (completion,) = output.outputs
        tokens = tuple(completion.token_ids)
        reason: FinishReason = "stop" if completion.finish_reason == "stop" else "length"
        yield self.index, GenerateResponse(self.end.text(tokens, self.request.stop), tokens, reason, cost)


_Job = _ScoreJob | _GenerateJob


def _parts(row: ScoringRow) -> Iterator[ScoringRow]:
    """A row, divided if it has more targets than vLLM scores at once."""
    for start in range(0, len(row.targets), _MOST_TOKEN_IDS):
        yield ScoringRow(row.tokens, row.targets[start : start + _MOST_TOKEN_IDS])


def _window(requests: Iterable[ModelRequest], most: int) -> int:
    """Tokens that the longest request needs, rounded up to a power of two."""
    needed = _SHORTEST_WINDOW
    for _, request in requests:
        if isinstance(request, GenerateRequest):
            needed = max(needed, len(request.prompt) + request.max_new_tokens)
        elif isinstance(request, PerplexityRequest):
            needed = max(needed, len(request.tokens) + 1)
        else:
            needed = max(needed, len(request.context) + len(request.continuation))
    return min(most, 1 << (needed - 1).bit_length())


def _lora_settings(adapters: Mapping[str, Path]) -> dict[str, Any]:
    """Number and rank of adapters, rounded up since vLLM compiles for every number.

    Raises:
        UserError: vLLM would read an adapter wrongly, or not at all.
    """
    if not adapters:
        return {}
    ranks = []
    for name, folder in adapters.items():
        rank = read_settings(folder).r
        if rank > _RANKS[-1] or not is_plain_lora(folder):
            raise UserError(
                f"vLLM cannot take the adapter {name}: it is no plain LoRA of one rank up to {_RANKS[-1]}",
                where=str(folder / CONFIG),
                fix="set scoring.engine=transformers",
            )
        ranks.append(rank)
    count = 1 << (len(adapters) - 1).bit_length()
    rank = next(rank for rank in _RANKS if rank >= max(ranks))
    return {"enable_lora": True, "max_loras": count, "max_lora_rank": rank}


def _used_memory() -> int:
    """Bytes in use on the GPU; vLLM allocates its share at the start and keeps it."""
    import torch

    if not torch.cuda.is_available():
        return 0
    free, total = torch.cuda.mem_get_info()
    return total - free
