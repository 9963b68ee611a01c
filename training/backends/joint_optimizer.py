"""bitsandbytes' 8-bit AdamW for many weights at once; an adapter has hundreds, each updated in a fraction of its start.

bitsandbytes starts an operation for each weight and waits for it: a tenth of a training step of an 8B model on an H200.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from training.backends.job import Job
from training.processes import is_sharded

_BLOCK = 256  # values that share a scale in bitsandbytes' 8-bit states
_VALUES = 2**24  # of the weights that are updated at once, or those of one: their copies take 10 bytes a value
_STATES = ("state1", "state2", "absmax1", "absmax2")


def join_updates(trainer: Any, job: Job) -> None:
    """Let a trainer's 8-bit AdamW update all weights in few operations; values and states stay bitsandbytes' own.

    Args:
        trainer: A trainer that has no optimizer yet.
        job: Its job.
    """
    if job.recipe.trainer.optimizer != "adamw_8bit" or is_sharded():
        return
    kind, settings = trainer.get_optimizer_cls_and_kwargs(trainer.args, trainer.model)
    trainer.optimizer_cls_and_kwargs = (joined(kind), settings)


def joined(kind: Any) -> type:
    """A class of bitsandbytes' optimizers with two 8-bit states, which updates weights together.

    A weight that is no multiple of a block, or whose states are not in 8 bits, is updated alone as before.
    """
    import torch

    class Joined(kind):  # type: ignore[misc]
        """Has the states of `kind` for each weight, so checkpoints of one are read by the other."""

        initialized: bool

        @torch.no_grad()
        def step(self, closure: Any = None) -> Any:
            """Update all weights that have a gradient, as `kind` does."""
            if closure is not None or self.mng.index2config or self.mng.pid2config:  # settings of single weights
                return super().step(closure)
            if not self.initialized:
                self.check_overrides()
                self.to_gpu()
                self.initialized = True
            for index, group in enumerate(self.param_groups):
                for weights in _update_others(self, index, group):
                    for portion in _portions(weights):
                        _update(self, portion, self.get_config(index, 0, group))
            return None

    return Joined


def _update_others(optimizer: Any, index: int, group: dict[str, Any]) -> Iterable[list[Any]]:
    """Update what cannot be joined; returns the other weights, by their steps and devices."""
    together: dict[tuple[int, Any], list[Any]] = {}
    for place, weight in enumerate(group["params"]):
        if weight.grad is None:
            continue
        state = optimizer.state[weight]
        if not state:
            optimizer.init_state(group, weight, index, place)
        if _can_join(weight, state, optimizer.args.max_unorm):
            together.setdefault((state["step"], weight.device), []).append(weight)
        else:
            optimizer.prefetch_state(weight)
            optimizer.update_step(group, weight, index, place)
    return together.values()


def _update(optimizer: Any, weights: list[Any], config: dict[str, Any]) -> None:
    """Update weights that are at the same step, in copies."""
    import torch
    from bitsandbytes.functional import optimizer_update_8bit_blockwise

    flatten: Any = torch._utils._flatten_dense_tensors  # noqa: SLF001 - one call for hundreds of tensors
    shared_out: Any = torch._utils._unflatten_dense_tensors  # noqa: SLF001
    states = [optimizer.state[weight] for weight in weights]
    values, gradients = flatten(weights), flatten([weight.grad for weight in weights])
    parts = {name: [state[name] for state in states] for name in _STATES}
    flat = {name: flatten(own) for name, own in parts.items()}
    optimizer_update_8bit_blockwise(
        optimizer.optimizer_name,
        gradients,
        values,
        flat["state1"],
        flat["state2"],
        *config["betas"][:2],
        0.0,  # a third beta and alpha, which this optimizer has not
        0.0,
        config["eps"],
        states[0]["step"] + 1,
        config["lr"],
        states[0]["qmap1"],
        states[0]["qmap2"],
        flat["absmax1"],
        flat["absmax2"],
        config["weight_decay"],
        gnorm_scale=1.0,
        skip_zeros=config["skip_zeros"],
    )
    torch._foreach_copy_(weights, shared_out(values, weights))
    for name, own in parts.items():
        torch._foreach_copy_(own, shared_out(flat[name], own))
    for state in states:
        state["step"] += 1


def _can_join(weight: Any, state: dict[str, Any], max_unorm: float) -> bool:
    """Whether a weight's blocks are its own, and its update is that of AdamW with 8-bit states on the device."""
    import torch

    return (
        state["state1"].dtype == torch.uint8
        and weight.numel() % _BLOCK == 0
        and weight.is_contiguous()
        and weight.grad.is_contiguous()
        and weight.dtype == weight.grad.dtype
        and not getattr(state["state1"], "is_paged", False)
        and max_unorm <= 0
    )


def _portions(weights: Sequence[Any]) -> Iterator[list[Any]]:
    """The weights in portions of at most `_VALUES` values, or of one weight."""
    portion: list[Any] = []
    count = 0
    for weight in weights:
        size = weight.numel()
        if portion and count + size > _VALUES:
            yield portion
            portion, count = [], 0
        portion.append(weight)
        count += size
    yield portion
