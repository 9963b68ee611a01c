"""Casts a float32 adapter to autocast's dtype once per step; autocast would do it once per batch."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from training.backends.job import Job
from training.models.device import DTypeName, torch_dtype
from training.models.loading import quiet_bitsandbytes
from training.processes import process_count

if TYPE_CHECKING:
    import torch


def cast_once_a_step(trainer: Any, job: Job) -> None:
    """Let a trainer's LoRA layers compute with 16-bit copies of their weights; results stay bit-identical.

    Under autocast each batch casts every weight in the forward pass and its gradient in the backward pass: a tenth of
    a step in a small model, whose time is spent on launching kernels. The weights that are clipped, optimised and
    saved stay in float32, and so does the sum of the gradients of a step's batches.

    Autocast does it with gradient checkpointing, which frees the cast weights before the memory peak while copies would
    stay, and in several processes, which exchange the weights' gradients during the backward pass.

    Args:
        trainer: Trainer of a float32 adapter.
        job: Its job.
    """
    if job.dtype == "float32" or job.recipe.trainer.gradient_checkpointing or process_count() > 1:
        return
    from torch.nn import Linear

    with quiet_bitsandbytes():
        from peft.tuners.lora import LoraLayer

    layers = [layer for layer in trainer.model.modules() if isinstance(layer, LoraLayer)]
    parts = [part for layer in layers for part in (*layer.lora_A.values(), *layer.lora_B.values())]
    trainer.add_callback(_copies(trainer, [part for part in parts if type(part) is Linear], job.dtype))


def _copies(trainer: Any, layers: list[Any], dtype: DTypeName) -> Any:
    """Callback that creates the copies when training begins and updates them until it ends."""
    import torch
    from transformers import TrainerCallback

    weights = [layer.weight for layer in layers]
    copies: list[torch.Tensor] = []
    step = trainer.training_step

    def training_step(*args: Any, **further: Any) -> Any:
        loss = step(*args, **further)
        _hand_over_gradients(copies, weights)
        return loss

    class Copies(TrainerCallback):  # type: ignore[misc]
        """Has copies after a checkpoint is loaded and until the best adapter is."""

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            for layer in layers:
                copies.append(layer.weight.detach().to(torch_dtype(dtype)).requires_grad_())
                layer.forward = functools.partial(torch.nn.functional.linear, weight=copies[-1])
            trainer.training_step = training_step

        @torch.no_grad()
        def on_optimizer_step(self, *_: Any, **__: Any) -> None:
            torch._foreach_copy_(copies, weights)

        def on_train_end(self, *_: Any, **__: Any) -> None:
            trainer.training_step = step
            copies.clear()
            for layer in layers:
                del layer.forward

    return Copies()


def _hand_over_gradients(copies: list[torch.Tensor], weights: list[torch.Tensor]) -> None:
    """Move the gradients from the copies to the weights, added to those of earlier batches."""
    import torch

    used = [(weight, copy.grad) for weight, copy in zip(weights, copies, strict=True) if copy.grad is not None]
    gradients = [torch.empty_like(weight) for weight, _ in used]
    torch._foreach_copy_(gradients, [gradient for _, gradient in used])
    for copy in copies:
        copy.grad = None
    sums, further = [], []
    for (weight, _), gradient in zip(used, gradients, strict=True):
        if weight.grad is None:
            weight.grad = gradient
        else:
            sums.append(weight.grad)
            further.append(gradient)
    if sums:
        torch._foreach_add_(sums, further)
