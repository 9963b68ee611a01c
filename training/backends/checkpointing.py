"""Gradient checkpointing that keeps each layer's input only, in the machine's memory where the recipe says so.

TRL's own offloading frees the GPU's cached memory before every batch, which then takes it again piece by piece, and
PyTorch's checkpoints track every saved tensor of a layer in Python.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from training.backends.job import Job
from training.processes import process_count


def checkpoint_layers(trainer: Any, job: Job) -> None:
    """Let a trainer's checkpointed layers keep their inputs by `LayerInputs`, where `checkpoints_layers` says so."""
    if not checkpoints_layers(job, trainer.model):
        return
    from transformers import TrainerCallback

    offloads = job.recipe.trainer.gradient_checkpointing == "offload" and job.device.supports_pinned_memory
    inputs, skips = LayerInputs(offloads=offloads), Skips()

    class Checkpointing(TrainerCallback):  # type: ignore[misc]
        """Replaces the checkpoint function, which the trainer sets before this."""

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            run = functools.partial(_checkpoint, inputs, skips)
            for module in trainer.model.modules():
                if getattr(module, "gradient_checkpointing", False) and hasattr(module, "_gradient_checkpointing_func"):
                    module._gradient_checkpointing_func = run  # noqa: SLF001 - transformers' own name

    trainer.add_callback(Checkpointing())


def checkpoints_layers(job: Job, model: Any) -> bool:
    """Whether a job's layers are checkpointed by this module.

    Not in several processes, whose gradients are exchanged during one backward pass, nor with dropout, whose random
    numbers would have to be drawn again.
    """
    if not job.recipe.trainer.gradient_checkpointing or process_count() > 1 or job.recipe.lora.dropout:
        return False
    settings = model.config.get_text_config().to_dict()
    return not any(word in name for word in ("drop", "jitter") for name, value in settings.items() if value)


def _checkpoint(inputs: LayerInputs, skips: Skips, run: Any, *args: Any) -> Any:
    """Run a layer, keeping its first argument; by PyTorch's own checkpoint where other tensors need gradients."""
    import torch
    from torch.utils.checkpoint import checkpoint

    if not torch.is_grad_enabled():
        return run(*args)
    further = [*args[1:], *getattr(run, "keywords", {}).values()]
    tensors = [part for value in further for part in (value if isinstance(value, list | tuple) else (value,))]
    first_only = not any(torch.is_tensor(part) and part.requires_grad for part in tensors)
    if args and torch.is_tensor(args[0]) and args[0].requires_grad and first_only:
        return _operation().apply((inputs, skips), run, *args)
    return checkpoint(run, *args, use_reentrant=False)


class LayerInputs:
    """Inputs of layers, last in first out: on the device, or in pinned memory of the machine.

    Copies run in a stream of their own, beside the computation: to the machine while later layers compute, and back
    while the layer above is computed again. Buffers are used again for every batch.
    """

    def __init__(self, *, offloads: bool) -> None:
        self._offloads = offloads
        self._stack: list[list[Any]] = []  # [tensor or buffer, shape, dtype, tensor that is being fetched, event]
        self._free: list[Any] = []
        self._stream: Any = None

    def push(self, states: Any) -> None:
        """Keep a layer's input."""
        import torch

        if not (self._offloads and states.is_cuda):
            self._stack.append([states, None, None, None, None])
            return
        if self._stream is None:
            stream: Any = torch.cuda.Stream
            self._stream = stream(states.device)
        buffer = self._buffer(states.numel() * states.element_size())
        flat = buffer[: states.numel() * states.element_size()].view(states.dtype)
        self._stream.wait_stream(torch.cuda.current_stream(states.device))
        with torch.cuda.stream(self._stream):
            flat.copy_(states.reshape(-1), non_blocking=True)
        states.record_stream(self._stream)
        self._stack.append([buffer, states.shape, states.dtype, None, None])

    def pop(self, device: Any) -> Any:
        """The input that was kept last, on the device; the one before is fetched meanwhile."""
        import torch

        entry = self._stack.pop()
        if entry[1] is None:
            return entry[0]
        if entry[3] is None:
            self._fetch(entry, device)
        torch.cuda.current_stream(device).wait_event(entry[4])
        self._free.append(entry[0])
        if self._stack and self._stack[-1][1] is not None and self._stack[-1][3] is None:
            self._fetch(self._stack[-1], device)
        return entry[3]

    def _fetch(self, entry: list[Any], device: Any) -> None:
        import torch

        buffer, shape, dtype, _, _ = entry
        states = torch.empty(shape, dtype=dtype, device=device)
        self._stream.wait_stream(torch.cuda.current_stream(device))  # who had this memory before is done with it
        with torch.cuda.stream(self._stream):
            states.view(-1).copy_(buffer[: states.numel() * states.element_size()].view(dtype), non_blocking=True)
        entry[3:] = [states, self._stream.record_event()]

    def _buffer(self, size: int) -> Any:
        """Pinned bytes, a free buffer if one is large enough; a quarter more than needed, for the next batches."""
        import torch

        fitting = [index for index, buffer in enumerate(self._free) if len(buffer) >= size]
        if fitting:
            return self._free.pop(fitting[-1])
        if self._free:
            self._free.pop(0)  # too small, and one more is made
        return torch.empty(size + size // 4, dtype=torch.uint8, pin_memory=True)


class Skips:
    """Which layers do without their last product when they are computed again.

    Where a layer adds the product to its output, the gradients do not depend on its value. Whether it does is tried
    out once for each type of layer, on the first batch.
    """

    def __init__(self) -> None:
        self._skips: dict[type, bool] = {}

    def outputs(self, layer: Any, run: Callable[[], Any], gradients: Callable[[Any], Any]) -> Any:
        """The outputs of `run`, which computes a layer; `gradients` gives that of the layer's input from them."""
        import torch

        product = getattr(getattr(layer, "mlp", None), "down_proj", None)
        if not hasattr(product, "skips_product"):
            return run()
        if type(layer) not in self._skips:
            whole, part = gradients(run()), gradients(self._skipping(product, run))
            tolerance = 4 * torch.finfo(whole.dtype).eps * whole.abs().max()
            self._skips[type(layer)] = bool((whole - part).abs().max() <= tolerance)
        return self._skipping(product, run) if self._skips[type(layer)] else run()

    def _skipping(self, product: Any, run: Callable[[], Any]) -> Any:
        product.skips_product = True
        try:
            return run()
        finally:
            product.skips_product = False


@functools.cache
def _operation() -> Any:
    import torch

    class Checkpoint(torch.autograd.Function):
        """Runs a layer without keeping anything but its first input, and again when its gradient is needed."""

        @staticmethod
        def forward(ctx: Any, kept: tuple[LayerInputs, Skips], run: Any, states: Any, *further: Any) -> Any:
            ctx.kept, ctx.run, ctx.further, ctx.device = kept, run, further, states.device
            ctx.autocast = (
                torch.is_autocast_enabled(states.device.type),
                torch.get_autocast_dtype(states.device.type),
            )
            kept[0].push(states)  # copied while the layer computes
            with torch.no_grad():
                return run(states, *further)

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            inputs, skips = ctx.kept
            states = inputs.pop(ctx.device).detach().requires_grad_()
            enabled, dtype = ctx.autocast

            def pairs() -> tuple[list[Any], list[Any]]:
                output = ctx.run(states, *ctx.further)
                outputs = output if isinstance(output, tuple) else (output,)
                needed = [
                    (part, gradient)
                    for part, gradient in zip(outputs, gradients, strict=True)
                    if gradient is not None and torch.is_tensor(part) and part.requires_grad
                ]
                return [part for part, _ in needed], [gradient for _, gradient in needed]

            with torch.enable_grad(), torch.autocast(ctx.device.type, dtype, enabled=enabled):
                layer = getattr(getattr(ctx.run, "func", ctx.run), "__self__", None)
                outputs = skips.outputs(layer, pairs, lambda pair: torch.autograd.grad(pair[0], states, pair[1])[0])
            torch.autograd.backward(*outputs)
            return None, None, states.grad, *(None for _ in ctx.further)

    return Checkpoint
