"""The engine on vLLM: base and all adapters, scored and generated, in one continuous batch.

Log-likelihoods are as exact as the transformers engine's: vLLM too takes a float32 softmax of logits in the model's
dtype, of the tokens that are asked for (`logprob_token_ids` for the last, `prompt_logprobs` for those before). Adapters
are LoRA requests beside the base's weights, their factors rounded to the model's dtype.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.engines.answer_text import AnswerEnd, end_tokens
from harness.engines.interface import (
    NONE_KNOWN,
    Answer,
    Asked,
    Cost,
    GenerateAnswer,
    GenerateRequest,
    PerplexityRequest,
)
from harness.engines.rows import Found, Gathered, Row
from harness.engines.windows import fitted, model_window
from reports.errors import UserError, first_line
from reports.files import read_json
from training.home import medbench_home
from training.models.adapters import CONFIG
from training.models.architecture import transformers_config
from training.stopping import stop_if_asked

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from tasks.answers import FinishReason

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM has kernels for
_MOST_TOKEN_IDS = 128  # vLLM's limit of `logprob_token_ids`
_SHORTEST_WINDOW = 4096  # tokens; vLLM compiles anew for each length, so few are used
_MEMORY_SHARE = 0.85  # of the GPU; some is left for logits over the words of long prompts


class VllmEngine:
    """Answers with vLLM; see `harness.engines.interface.Engine`.

    Args:
        model: Folder of a checkpoint with dense weights.
        tokenizer: The base's tokenizer.
        folders: Adapter folders by name.
        asked: What it will be asked, by which it chooses its window.
        dtype: Of weights and activations.
        settings: Further arguments of `vllm.LLM`, which go before what is chosen here.

    Raises:
        UserError: vLLM refuses the settings, or cannot take an adapter.
    """

    name = "vllm"

    def __init__(
        self,
        model: Path,
        tokenizer: PreTrainedTokenizerBase,
        folders: Mapping[str, Path],
        asked: Iterable[Asked],
        *,
        dtype: str,
        settings: Mapping[str, Any],
    ) -> None:
        started = time.perf_counter()
        _set_environment()
        from vllm import LLM
        from vllm.lora.request import LoRARequest

        config = transformers_config(model)
        chosen = {
            "model": str(model),
            "tokenizer": str(tokenizer.name_or_path),
            "dtype": dtype,
            "max_model_len": _window(asked, model_window(config, tokenizer)),
            "gpu_memory_utilization": _MEMORY_SHARE,
            "generation_config": "vllm",  # the model's own would set a temperature
            "disable_log_stats": False,  # they hold the times of each request
            **_lora_settings(folders),
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
        self.tokenizer = tokenizer
        self.max_length = int(chosen["max_model_len"]) - 1  # it wants room for a token even where none is kept
        self._end = AnswerEnd(tokenizer, end_tokens(_generation_settings(config, model), tokenizer))
        self._adapters = {
            name: LoRARequest(name, number, str(folder)) for number, (name, folder) in enumerate(folders.items(), 1)
        }
        self._memory = _used_memory()
        self.setup: dict[str, str | float] = {
            "engine": self.name,
            "adapters": "LoRA requests beside the base's weights" if folders else "none",
            "max_model_len": chosen["max_model_len"],
            "start_seconds": round(time.perf_counter() - started, 3),
        }

    def answer(self, asked: Sequence[Asked], known: Mapping[int, Answer] = NONE_KNOWN) -> Iterator[tuple[int, Answer]]:
        """Answers of all models, as they come out of one batch; what is known is not asked."""
        from vllm import SamplingParams

        jobs: list[_Job] = []
        for name in dict.fromkeys(model for model, _ in asked):
            mine = [(place, each[1]) for place, each in enumerate(asked) if each[0] == name and place not in known]
            scored = [(place, request) for place, request in mine if not isinstance(request, GenerateRequest)]
            gathered = Gathered([request for _, request in scored], self.max_length)
            places = [place for place, _ in scored]
            jobs += [_ScoreJob(name, part, gathered, places) for row in gathered.rows for part in _parts(row)]
            jobs += [
                _GenerateJob(name, place, request, self._end, self.max_length + 1)
                for place, request in mine
                if isinstance(request, GenerateRequest)
            ]
        numbers = self._llm.enqueue(
            [{"prompt_token_ids": list(job.prompt)} for job in jobs],
            [SamplingParams(**job.settings()) for job in jobs],
            lora_request=[self._adapters.get(job.model) for job in jobs],
            use_tqdm=False,
        )
        # vLLM adds a random part to the numbers that it gives, and leaves it out where it answers.
        waiting = {number.partition("-")[0]: job for number, job in zip(numbers, jobs, strict=True)}
        last = time.perf_counter()
        while self._llm.llm_engine.has_unfinished_requests():
            stop_if_asked()
            done = [output for output in self._llm.llm_engine.step() if output.finished]
            now = time.perf_counter()
            for output in done:
                share, times = (now - last) / len(done), output.metrics
                cost = Cost(share, times.last_token_ts - times.scheduled_ts, self._memory)
                yield from waiting.pop(output.request_id).answers(output, cost)
            if done:
                last = time.perf_counter()

    def close(self) -> None:
        """End vLLM's own process, which holds the GPU's memory."""
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm


class _ScoreJob:
    """A row whose end is looked at."""

    def __init__(self, model: str, row: Row, gathered: Gathered, places: Sequence[int]) -> None:
        self.model = model
        self.prompt = row.tokens
        self._row = row
        self._gathered = gathered
        self._places = places

    def settings(self) -> dict[str, Any]:
        words = sorted({continuation[-1] for _, continuation in self._row.wanted})
        settings = {"max_tokens": 1, "temperature": 0.0, "ignore_eos": True, "detokenize": False}
        earlier = {} if self._row.scored == 1 else {"prompt_logprobs": 0}
        return {**settings, **earlier, "logprob_token_ids": words}

    def answers(self, output: Any, cost: Cost) -> Iterator[tuple[int, Answer]]:
        row, (completion,) = self._row, output.outputs
        first = len(row.tokens) - row.scored + 1
        earlier = [output.prompt_logprobs[place][row.tokens[place]] for place in range(first, len(row.tokens))]
        shared, likeliest = [each.logprob for each in earlier], all(each.rank == 1 for each in earlier)
        part = Cost(cost.seconds / len(row.wanted), cost.latency, cost.peak_memory)
        for owner, continuation in row.wanted:
            word = continuation[-1]
            logprobs = array("f", [*shared, completion.logprobs[0][word].logprob])
            found = Found(owner, logprobs, likeliest and completion.token_ids[0] == word, part)
            if (whole := self._gathered.take(found)) is not None:
                yield self._places[whole[0]], whole[1]


class _GenerateJob:
    """A prompt to continue."""

    def __init__(self, model: str, place: int, request: GenerateRequest, end: AnswerEnd, window: int) -> None:
        self.model = model
        self.prompt, self._limit = fitted(request, window)
        self._place = place
        self._request = request
        self._end = end

    def settings(self) -> dict[str, Any]:
        request = self._request
        return {
            "max_tokens": self._limit,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": request.top_k,
            "seed": request.seed,
            "stop": list(request.stop),
            "stop_token_ids": sorted(self._end.ends),
            "skip_special_tokens": False,  # so that a stop string may name one
        }

    def answers(self, output: Any, cost: Cost) -> Iterator[tuple[int, Answer]]:
        (completion,) = output.outputs
        tokens = tuple(completion.token_ids)
        reason: FinishReason = "stop" if completion.finish_reason == "stop" else "length"
        yield self._place, GenerateAnswer(self._end.text(tokens, self._request.stop), tokens, reason, cost)


_Job = _ScoreJob | _GenerateJob


def _parts(row: Row) -> Iterator[Row]:
    """A row, divided where it asks for more last tokens than vLLM gives at once."""
    for start in range(0, len(row.wanted), _MOST_TOKEN_IDS):
        yield Row(row.tokens, row.wanted[start : start + _MOST_TOKEN_IDS])


def _set_environment() -> None:
    """Keep what vLLM compiles from one run to the next, and vLLM quiet; what the user has set stays."""
    os.environ.setdefault("VLLM_CACHE_ROOT", str(medbench_home() / "vllm"))
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")


def _window(asked: Iterable[Asked], most: int) -> int:
    """Tokens that the longest request needs, as a power of two."""
    needed = _SHORTEST_WINDOW
    for _, request in asked:
        if isinstance(request, GenerateRequest):
            needed = max(needed, len(request.prompt) + request.max_new_tokens)
        elif isinstance(request, PerplexityRequest):
            needed = max(needed, len(request.tokens) + 1)
        else:
            needed = max(needed, len(request.context) + len(request.continuation))
    return min(most, 1 << (needed - 1).bit_length())


def _lora_settings(folders: Mapping[str, Path]) -> dict[str, Any]:
    """Room for these adapters; as a power of two, since vLLM compiles anew for each number.

    Raises:
        UserError: vLLM would read one of them wrongly, or not at all.
    """
    if not folders:
        return {}
    ranks = []
    for name, folder in folders.items():
        config = read_json(folder / CONFIG)
        odd = not isinstance(config, dict) or any(
            config.get(key) for key in ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern")
        )
        if odd or config["r"] > _RANKS[-1]:
            raise UserError(
                f"vLLM cannot take the adapter {name}: it is no plain LoRA of one rank up to {_RANKS[-1]}",
                where=str(folder / CONFIG),
                fix="set scoring.engine=transformers",
            )
        ranks.append(config["r"])
    count = 1 << (len(folders) - 1).bit_length()
    rank = next(each for each in _RANKS if each >= max(ranks))
    return {"enable_lora": True, "max_loras": count, "max_lora_rank": rank}


def _generation_settings(config: PreTrainedConfig, model: Path) -> object:
    """The model's generation settings; its configuration where it has none."""
    from transformers import GenerationConfig

    return GenerationConfig.from_pretrained(model) if (model / "generation_config.json").is_file() else config


def _used_memory() -> int:
    """Bytes in use on the GPU; vLLM takes its share at once and keeps it."""
    import torch

    if not torch.cuda.is_available():
        return 0
    free, total = torch.cuda.mem_get_info()
    return total - free
