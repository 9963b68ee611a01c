"""vLLM 0.26 at its edge: the calls that `harness.engines.vllm_engine` makes, answered by a small model on the CPU."""

import sys
import types
from dataclasses import dataclass, field

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

LLM_ARGUMENTS = {
    "model",
    "tokenizer",
    "dtype",
    "max_model_len",
    "gpu_memory_utilization",
    "generation_config",
    "disable_log_stats",
    "enable_lora",
    "max_loras",
    "max_lora_rank",
    "tensor_parallel_size",
}


@dataclass
class SamplingParams:
    """Those of its fields that are used; some values are refused."""

    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: list = field(default_factory=list)
    stop_token_ids: list = field(default_factory=list)
    ignore_eos: bool = False
    detokenize: bool = True
    skip_special_tokens: bool = True
    prompt_logprobs: int | None = None
    logprob_token_ids: list | None = None

    def __post_init__(self):
        """Refuse what vLLM refuses."""
        assert self.logprob_token_ids is None or 0 < len(self.logprob_token_ids) <= 128
        assert 0 < self.top_p <= 1


@dataclass(frozen=True)
class LoRARequest:
    """An adapter by number and folder."""

    lora_name: str
    lora_int_id: int
    lora_path: str

    def __post_init__(self):
        """Refuse what vLLM refuses."""
        assert self.lora_int_id >= 1


@dataclass
class Logprob:
    """One token's."""

    logprob: float
    rank: int


class LLM:
    """Answers one request a step, the last that came first."""

    made: list = []  # noqa: RUF012 - the test looks at it
    running = 0

    def __init__(self, **settings):
        unknown = set(settings) - LLM_ARGUMENTS
        if unknown:
            raise TypeError(f"EngineArgs.__init__() got an unexpected keyword argument {unknown.pop()!r}")
        LLM.made.append(settings)
        LLM.running += 1
        self.settings = settings
        self.llm_engine = self.engine_core = self
        self._models = {None: AutoModelForCausalLM.from_pretrained(settings["model"], dtype=torch.float32).eval()}
        self._waiting = []
        self._count = 0

    def shutdown(self):
        """End."""
        LLM.running -= 1

    def enqueue(self, prompts, params, *, lora_request=None, use_tqdm=True):
        """Take requests; their numbers get a random part."""
        assert use_tqdm is False
        names = []
        for prompt, settings, lora in zip(prompts, params, lora_request, strict=True):
            assert 0 < len(prompt["prompt_token_ids"]) < self.settings["max_model_len"]
            if lora is not None:
                assert self.settings["enable_lora"]
                assert lora.lora_int_id <= self.settings["max_loras"]
            self._waiting.append((str(self._count), prompt["prompt_token_ids"], settings, lora))
            names.append(f"{self._count}-0123abcd")
            self._count += 1
        return names

    def has_unfinished_requests(self):
        """Whether a step would answer one."""
        return bool(self._waiting)

    def step(self):
        """Answer one request."""
        name, prompt, params, lora = self._waiting.pop()
        model = self._model(lora)
        tokens, logprobs = list(prompt), []
        reason = "length"
        with torch.inference_mode():
            for _ in range(params.max_tokens):
                shares = model(torch.tensor([tokens])).logits[0].log_softmax(-1)
                chosen = int(shares[-1].argmax())
                wanted = {chosen, *(params.logprob_token_ids or ())}
                logprobs.append({word: _logprob(shares[-1], word) for word in wanted})
                tokens.append(chosen)
                eos = None if params.ignore_eos else model.config.eos_token_id
                if chosen in {eos, *params.stop_token_ids}:
                    reason = "stop"
                    break
        earlier = None
        if params.prompt_logprobs is not None:
            earlier = [None, *({word: _logprob(shares[n], word)} for n, word in enumerate(prompt[1:]))]
        made = tokens[len(prompt) :]
        completion = types.SimpleNamespace(token_ids=made, finish_reason=reason, logprobs=logprobs, text="")
        metrics = types.SimpleNamespace(scheduled_ts=1.0, last_token_ts=1.5)
        return [
            types.SimpleNamespace(
                request_id=name, prompt_logprobs=earlier, outputs=[completion], finished=True, metrics=metrics
            )
        ]

    def _model(self, lora):
        if lora not in self._models:
            base = AutoModelForCausalLM.from_pretrained(self.settings["model"], dtype=torch.float32)
            self._models[lora] = PeftModel.from_pretrained(base, lora.lora_path).eval()
        return self._models[lora]


def _logprob(shares, word):
    return Logprob(float(shares[word]), int((shares > shares[word]).sum()) + 1)


def install(monkeypatch):
    """Put it where `import vllm` finds it."""
    LLM.made.clear()
    for name in ("vllm", "vllm.lora", "vllm.lora.request"):
        module = types.ModuleType(name)
        vars(module).update(LLM=LLM, SamplingParams=SamplingParams, LoRARequest=LoRARequest)
        monkeypatch.setitem(sys.modules, name, module)
