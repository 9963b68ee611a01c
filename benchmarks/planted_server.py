"""An OpenAI-compatible server of a real base and adapter with planted faults.

It computes with plain transformers and PEFT, replies in vLLM's shapes, and is slow. Faults change what is served, never
names, so that only replies can show them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from harness.opening import open_run
from training.models.quickstart_model import quickstart_model


@dataclass(frozen=True)
class Faults:
    """What a server does wrong.

    Attributes:
        scale: What the adapter's change is multiplied by.
        rounding: GGUF type of the weights; empty for none.
        starts: Start tokens that chat prompts have more than they should.
        template: A chat template in place of the model's own.
        runs_on: Whether its end token is missing.
        temperature: At which it samples whatever is requested; 0 for greedy answers.
        context: Tokens that it reads of a request, its last; 0 for all.
        adapter: Folder of another adapter; empty for the right one.
        full_base: Whether the base is not quantised as the run's is.
        noise: Standard deviation of random changes of all weights, as a share of each weight's own.
    """

    scale: float = 1.0
    rounding: str = ""
    starts: int = 0
    template: str = ""
    runs_on: bool = False
    temperature: float = 0.0
    context: int = 0
    adapter: str = ""
    full_base: bool = False
    noise: float = 0.0


class PlantedModel:
    """A run's base and its adapter with faults; `base` is served beside it without them.

    Args:
        run: Folder of the run.
        faults: What is wrong with `adapter`.
    """

    def __init__(self, run: Path, faults: Faults) -> None:
        from transformers import AutoTokenizer

        self.faults = faults
        self.tokenizer = AutoTokenizer.from_pretrained(quickstart_model())
        self._lock = threading.Lock()
        adapter = Path(faults.adapter) if faults.adapter else run / "adapter"
        self._models = {"base": _base(run, full=False).eval()}
        self._models["adapter"] = _changed(_base(run, full=faults.full_base), adapter, faults).eval()

    def read(self, name: str, tokens: list[int]) -> list[int]:
        """The tokens of a prompt that the model reads."""
        return tokens[-self.faults.context :] if self.faults.context and name == "adapter" else tokens

    def logprobs(self, name: str, tokens: list[int]) -> list[tuple[float, int]]:
        """(log-probability, rank) of each token but the first."""
        import torch

        with self._lock, torch.inference_mode():
            logits = self._models[name](torch.tensor([tokens])).logits[0, :-1].float().log_softmax(-1)
        own = logits.gather(1, torch.tensor(tokens[1:])[:, None])
        ranks = (logits > own).sum(-1) + 1
        return list(zip(own[:, 0].tolist(), ranks.tolist(), strict=True))

    def generate(self, name: str, tokens: list[int], limit: int) -> list[int]:
        """An answer, with its end token."""
        import torch

        end = self.tokenizer.eos_token_id
        sampled = self.faults.temperature if name == "adapter" else 0.0
        settings: dict[str, Any] = {"do_sample": True, "temperature": sampled} if sampled else {"do_sample": False}
        runs_on = self.faults.runs_on and name == "adapter"
        with self._lock, torch.inference_mode():
            ids = torch.tensor([tokens])
            ends = [self.tokenizer.vocab_size - 1] if runs_on else [end]
            settings |= {"max_new_tokens": limit, "eos_token_id": ends, "pad_token_id": 0}
            answer = self._models[name].generate(ids, attention_mask=torch.ones_like(ids), **settings)
        return [int(token) for token in answer[0, len(tokens) :]]

    def chat(self, name: str, messages: list[dict[str, str]]) -> list[int]:
        """The tokens of a chat prompt."""
        template = self.faults.template if name == "adapter" and self.faults.template else None
        tokens = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, chat_template=template, return_dict=True
        )["input_ids"]
        return [self.tokenizer.bos_token_id] * (self.faults.starts if name == "adapter" else 0) + list(tokens)


def _base(run: Path, *, full: bool) -> Any:
    """The base in bfloat16: its own weights, or those that are left of them after the run's quantisation."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    settings: dict[str, Any] = {"dtype": torch.bfloat16, "local_files_only": True, "device_map": {"": "cpu"}}
    quantization = open_run(str(run / "recipe.yaml"))[0].quantization
    if full or not quantization.is_4bit:
        return AutoModelForCausalLM.from_pretrained(quickstart_model(), **settings)
    settings["quantization_config"] = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization.method,
        bnb_4bit_use_double_quant=quantization.double_quant is not False,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return AutoModelForCausalLM.from_pretrained(quickstart_model(), **settings).dequantize(dtype=torch.bfloat16)


def _changed(model: Any, adapter: Path, faults: Faults) -> Any:
    """A base with an adapter merged into it, scaled, rounded and disturbed."""
    import torch
    from peft import PeftModel

    from training.exporting.variants import round_weights

    wrapped = PeftModel.from_pretrained(model, adapter)
    for module in wrapped.modules():
        if hasattr(module, "scaling") and isinstance(module.scaling, dict):
            module.scaling = {name: scale * faults.scale for name, scale in module.scaling.items()}
    merged = wrapped.merge_and_unload()
    if faults.noise:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in merged.parameters():
                change = torch.randn(weight.shape, generator=generator) * faults.noise * weight.float().std()
                weight.copy_(weight.float() + change)
    return round_weights(merged, faults.rounding) if faults.rounding else merged


@contextmanager
def serving(model: PlantedModel) -> Iterator[str]:  # noqa: C901 - the routes of one handler
    """Serve `base` and `adapter` on this machine; gives the address of the API."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            """List the models."""
            cards = [{"id": "base"}, {"id": "adapter", "parent": "base"}]
            if self.path == "/v1/models":
                self._reply({"object": "list", "data": cards})
            else:
                self._reply({"error": "not here"}, 404)

        def do_POST(self) -> None:
            """Answer a completion, a chat, or a question for tokens."""
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            name, limit = body["model"], body.get("max_tokens", 16)
            if self.path == "/tokenize":
                tokens = model.chat(name, body["messages"])
                self._reply({"tokens": tokens, "count": len(tokens)})
            elif self.path == "/v1/chat/completions":
                self._reply(self._completion(name, model.chat(name, body["messages"]), limit, is_chat=True))
            elif self.path == "/v1/completions":
                prompt = body["prompt"]
                tokens = prompt if isinstance(prompt, list) else model.tokenizer(prompt).input_ids
                self._reply(self._completion(name, tokens, limit, scores=body.get("prompt_logprobs") is not None))
            else:
                self._reply({"error": "not here"}, 404)

        def _completion(
            self, name: str, tokens: list[int], limit: int, *, is_chat: bool = False, scores: bool = False
        ) -> dict[str, Any]:
            tokens = model.read(name, tokens)
            new = model.generate(name, tokens, limit)
            ended = new[-1:] == [model.tokenizer.eos_token_id]
            text = model.tokenizer.decode(new, skip_special_tokens=True)
            choice: dict[str, Any] = {"index": 0, "finish_reason": "stop" if ended else "length", "token_ids": new}
            choice |= {"message": {"role": "assistant", "content": text}} if is_chat else {"text": text}
            if scores:
                values = zip(tokens[1:], model.logprobs(name, tokens), strict=True)
                choice["prompt_logprobs"] = [None] + [
                    {str(token): {"logprob": value, "rank": rank}} for token, (value, rank) in values
                ]
            usage = {"prompt_tokens": len(tokens), "completion_tokens": len(new)}
            return {"model": name, "choices": [choice], "usage": usage}

        def _reply(self, value: Any, status: int = 200) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
