"""Losses, log-likelihoods and greedy answers by plain transformers and PEFT: one row at a time, no cache or padding."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.engines.interface import GenerateRequest, ModelRequest, ScoreRequest
from tasks.rendering import load_tokenizer
from training.encoding import MASKED, encode_rows
from training.models.model import BASE, Model
from training.recipes.recipe import QuantizationSection, Recipe
from training.splits import training_rows


def reference_responses(
    base: Model, adapter: Path, quantization: QuantizationSection | None, requests: Sequence[ModelRequest]
) -> list[float | tuple[int, ...]]:
    """The log-likelihood of each scored request and the greedy tokens of each prompt, by transformers and PEFT."""
    import torch
    from peft import PeftModel

    end = load_tokenizer(str(base.folder)).eos_token_id
    model = PeftModel.from_pretrained(_plain(base, quantization), str(adapter)).eval()
    values: list[float | tuple[int, ...]] = []
    with torch.inference_mode():
        for name, request in requests:
            with model.disable_adapter() if name == BASE else contextlib.nullcontext():
                if isinstance(request, GenerateRequest):
                    values.append(_greedy(model, request, end))
                elif isinstance(request, ScoreRequest):
                    values.append(_log_likelihood(model, request))
    return values


def _plain(base: Model, quantization: QuantizationSection | None) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    settings: dict[str, Any] = {"dtype": torch.float32}
    if quantization is not None:
        settings["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
        )
    model = AutoModelForCausalLM.from_pretrained(base.folder, **settings)
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # would round to bfloat16
    return model


def _log_likelihood(model: Any, request: ScoreRequest) -> float:
    import torch

    logprobs = model(torch.tensor([[*request.context, *request.continuation]])).logits[0].double().log_softmax(-1)
    start = len(request.context) - 1
    return sum(float(logprobs[start + place, token]) for place, token in enumerate(request.continuation))


def _greedy(model: Any, request: GenerateRequest, end: int) -> tuple[int, ...]:
    import torch

    tokens = list(request.prompt)
    while len(tokens) < len(request.prompt) + request.max_new_tokens:
        tokens.append(int(model(torch.tensor([tokens])).logits[0, -1].argmax()))
        if tokens[-1] == end:
            break
    return tuple(tokens[len(request.prompt) :])


def reference_loss(base: Model, recipe: Recipe) -> float:
    """Mean loss of the base over the trained tokens of all rows, one row at a time: that of the first step."""
    import torch

    model = _plain(base, recipe.quantization)
    total, tokens = 0.0, 0
    for row in encode_rows(load_tokenizer(str(base.folder)), recipe, training_rows(recipe).train).rows:
        labels = torch.tensor(row.labels[1:])
        with torch.inference_mode():
            logits = model(torch.tensor([row.input_ids])).logits[0, :-1]
        total += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum", ignore_index=MASKED))
        tokens += int((labels != MASKED).sum())
    return total / tokens
