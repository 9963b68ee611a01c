"""Norms, rotations and gated products in one kernel each on a GPU, in fewer passes on a CPU, where that is the same."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from training.backends.job import Job
from training.models.device import torch_dtype
from training.processes import process_count

if TYPE_CHECKING:
    import torch

    from training.models.device import Device

_ROTATION = "apply_rotary_pos_emb"  # name of the function in transformers' models
Forward = Callable[..., Any]
_SAME = 4  # roundings of a value in 16 bits that may lie between a layer's own result and that of its kernel


def fuse_layers(trainer: Any, job: Job) -> None:
    """Let norms, rotary embeddings and gated products of a trainer's model compute in one kernel each while it trains.

    Args:
        trainer: A trainer.
        job: Its job.
    """
    on_gpu, on_cpu = fuses_layers(job.device, job.dtype), job.device.type == "cpu" and process_count() == 1
    if not (on_gpu or on_cpu):
        return
    kinds = _ON_GPU if on_gpu else _ON_CPU
    from transformers import TrainerCallback

    dtype = torch_dtype(job.dtype)
    changed: list[Any] = []

    class Fusing(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            works: dict[tuple[type, str], bool] = {}
            for module in trainer.model.modules():
                for kind, (fused, computes_the_same) in kinds.items():
                    forward = fused(module)
                    if forward is None:
                        continue
                    if (type(module), kind) not in works:
                        works[type(module), kind] = computes_the_same(module, forward, dtype)
                    if works[type(module), kind]:
                        module.forward = forward
                        changed.append(module)

        def on_train_end(self, *_: Any, **__: Any) -> None:
            for module in changed:
                del module.forward
            changed.clear()

    trainer.add_callback(Fusing())


def fuses_layers(device: Device, dtype: str) -> bool:
    """Whether layers are fused while they are trained, if they are such as the kernels compute."""
    return device.supports_kernel_packages and dtype != "float32" and process_count() == 1


def _fused_norm(norm: Callable[[Any, Any], Any], module: Any) -> Forward | None:
    weight = getattr(module, "weight", None)
    if not hasattr(module, "variance_epsilon") or weight is None or weight.ndim != 1 or weight.requires_grad:
        return None
    return functools.partial(norm, module)


def _norm_on_cpu(module: Any, states: Any) -> Any:
    from training.backends.cpu_layers import Norm

    norm: Any = Norm.apply  # PyTorch's own is untyped
    return norm(states, module.weight, module.variance_epsilon)


def _norm_on_gpu(module: Any, states: Any) -> Any:
    import torch

    # Not `torch.nn.functional.rms_norm`: autocast would make it compute in, and return, float32.
    norm = torch.ops.aten._fused_rms_norm  # noqa: SLF001
    return norm(states, states.shape[-1:], module.weight, module.variance_epsilon)[0]


def _fused_gate(module: Any) -> Forward | None:
    if not all(hasattr(module, name) for name in ("gate_proj", "up_proj", "down_proj", "act_fn")):
        return None
    if type(module.act_fn).__name__ not in ("SiLU", "SiLUActivation"):
        return None
    return functools.partial(_gated, module)


def _gated(module: Any, states: Any) -> Any:
    from training.backends.kernels import GatedProduct

    product: Any = GatedProduct.apply  # PyTorch's own is untyped
    gated = product(module.gate_proj(states), module.up_proj(states))
    gated.is_last_use = True  # no other operation keeps it, so a fused layer may compute its gradient in its place
    return module.down_proj(gated)


def _fused_rotation(rotation: Callable[[], Any], module: Any) -> Forward | None:
    """An attention layer's forward with one kernel in the place of the function that rotates queries and keys."""
    plain = type(module).forward
    code = getattr(plain, "__code__", None)
    if code is None or _ROTATION not in code.co_names or not callable(plain.__globals__.get(_ROTATION)):
        return None
    names = {**plain.__globals__, _ROTATION: functools.partial(_rotate, rotation(), plain.__globals__[_ROTATION])}
    fused = types.FunctionType(code, names, plain.__name__, plain.__defaults__, plain.__closure__)
    fused.__kwdefaults__ = plain.__kwdefaults__
    return types.MethodType(fused, module)


def _rotation_on_cpu() -> Any:
    from training.backends.cpu_layers import Rotation

    return Rotation.apply


def _rotation_on_gpu() -> Any:
    from training.backends.kernels import Rotation

    return Rotation.apply


def _rotate(
    rotate: Any, plain: Callable[..., Any], query: Any, key: Any, cosines: Any, sines: Any, **further: Any
) -> Any:
    if further or cosines.shape[-1] != query.shape[-1]:
        return plain(query, key, cosines, sines, **further)
    return tuple(rotate(states, cosines, sines) for states in (query, key))


def _same_layer(module: Any, forward: Forward, dtype: torch.dtype) -> bool:
    """Whether a layer's own forward and the fused one agree, in their results and the gradients of their input."""
    width = module.weight.shape[-1] if hasattr(module, "weight") else module.gate_proj.in_features
    plain = functools.partial(type(module).forward, module)
    return _agree(plain, forward, next(module.parameters()).device, dtype, (1, 16, width))


def _same_rotation(module: Any, forward: Forward, dtype: torch.dtype) -> bool:
    """Whether the function that rotates queries and keys is one that the kernel computes."""
    import torch

    device = next(module.parameters()).device
    width = int(getattr(module, "head_dim", 0)) or 64
    angles = torch.randn(1, 16, width // 2, generator=torch.Generator().manual_seed(1)).repeat(1, 1, 2).to(device)
    turns = [part.to(dtype) for part in (angles.cos(), angles.sin())]
    plain = type(module).forward.__globals__[_ROTATION]

    def first(rotate: Callable[..., Any]) -> Forward:
        return lambda states: rotate(states, states[:, :1], *turns)[0]

    fused = forward.__func__.__globals__[_ROTATION]  # type: ignore[attr-defined]
    return _agree(first(plain), first(fused), device, dtype, (1, 4, 16, width))


def _agree(plain: Forward, fused: Forward, device: torch.device, dtype: torch.dtype, shape: tuple[int, ...]) -> bool:
    """Whether two functions of a tensor agree on random values, in their results and the gradients of a random sum."""
    import torch

    generator = torch.Generator().manual_seed(0)
    values = torch.randn(shape, generator=generator).to(device, dtype)
    results = []
    try:
        with torch.enable_grad(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            for run in (plain, fused):
                states = values.clone().requires_grad_()
                output = run(states)
                weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(2)).to(output)
                gradient = torch.autograd.grad(output, states, weights)[0]
                results.append((output.detach(), gradient))
    except (RuntimeError, TypeError, AttributeError, ImportError):
        return False
    return all(
        own.dtype == other.dtype
        and bool((own - other).abs().max() <= _SAME * torch.finfo(dtype).eps * own.abs().max().clamp(min=1e-6))
        for own, other in zip(*results, strict=True)
    )


_Kinds = dict[str, tuple[Callable[[Any], Forward | None], Callable[[Any, Forward, Any], bool]]]
_ON_GPU: _Kinds = {
    "norm": (functools.partial(_fused_norm, _norm_on_gpu), _same_layer),
    "gate": (_fused_gate, _same_layer),
    "rotation": (functools.partial(_fused_rotation, _rotation_on_gpu), _same_rotation),
}
_ON_CPU: _Kinds = {
    "norm": (functools.partial(_fused_norm, _norm_on_cpu), _same_layer),
    "rotation": (functools.partial(_fused_rotation, _rotation_on_cpu), _same_rotation),
}
