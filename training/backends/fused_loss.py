"""The loss of a language model from its last hidden states, with the gradient computed in the same pass.

TRL's loss in chunks computes the logits of a chunk again for the backward pass, and with them all that it logs.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from training.backends.job import Job
from training.encoding import MASKED
from training.processes import is_sharded

if TYPE_CHECKING:
    import torch

_CHUNK = 256  # tokens whose logits are held at once, as in TRL
_SCALES = ("logit_scale", "logits_scaling", "output_multiplier", "final_logit_softcapping")


def fuse_loss(trainer: Any, job: Job) -> None:  # noqa: ARG001 - as all speed-ups
    """Let a trainer's model compute its loss in one pass, where TRL's loss in chunks is that of plain logits.

    Args:
        trainer: The trainer.
        job: Its job.
    """
    if trainer.args.loss_type != "chunked_nll" or is_sharded():
        return
    from torch.nn import Linear

    model = trainer.model.get_base_model()
    head, config = model.get_output_embeddings(), model.config.get_text_config()
    if type(head) is not Linear or head.bias is not None or head.weight.requires_grad:
        return
    if any(getattr(config, name, None) not in (None, 1.0) for name in _SCALES):
        return
    if getattr(config, "output_router_logits", False):  # a loss that balances experts is added
        return
    model.forward = functools.partial(_forward, model, head, model.forward)


def _forward(
    model: Any, head: Any, unfused: Any, *args: Any, labels: Any = None, num_items_in_batch: Any = None, **further: Any
) -> Any:
    """A model's forward; its own without labels, and where they are shifted already."""
    if labels is None or args or "shift_labels" in further:
        return unfused(*args, labels=labels, num_items_in_batch=num_items_in_batch, **further)
    states = model.base_model(**{**further, "use_cache": False}).last_hidden_state
    loss, correct, entropy, count = token_loss(states[:, :-1], head.weight, labels[:, 1:])
    divisor = count.clamp(min=1) if num_items_in_batch is None else num_items_in_batch
    return _output_type()(loss=loss / divisor, num_correct_tokens=correct, entropy_sum=entropy, num_valid_tokens=count)


def token_loss(states: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Sum of the losses of the labels that are not masked, in nats, with a gradient for `states`.

    Args:
        states: Hidden states, [rows, tokens, width].
        weight: Of the layer that gives the logits, [vocabulary, width]; frozen.
        labels: [rows, tokens].

    Returns:
        The sum; without gradients how many labels were the most likely token, the sum of the predictions' entropies,
        and the number of labels.
    """
    import torch

    learned = labels.reshape(-1).ne(MASKED).nonzero().squeeze(1)
    flat = states.reshape(-1, states.shape[-1])
    needs_gradient = torch.is_grad_enabled() and flat.requires_grad
    loss, correct, entropy = _operation().apply(
        flat.index_select(0, learned), weight, labels.reshape(-1).index_select(0, learned), needs_gradient
    )
    return loss, correct, entropy, torch.tensor(len(learned), device=states.device)


@functools.cache
def _output_type() -> Any:
    from dataclasses import dataclass

    from transformers.modeling_outputs import CausalLMOutputWithPast

    @dataclass
    class LossOutput(CausalLMOutputWithPast):  # type: ignore[misc]
        """What TRL's trainer logs, beside the loss."""

        num_correct_tokens: torch.Tensor | None = None
        entropy_sum: torch.Tensor | None = None
        num_valid_tokens: torch.Tensor | None = None

    return LossOutput


@functools.cache
def _operation() -> Any:
    import torch

    class TokenLoss(torch.autograd.Function):
        """Cross entropy over chunks of tokens; the gradient is kept unscaled, as float16 needs it."""

        @staticmethod
        def forward(ctx: Any, states: Any, weight: Any, labels: Any, needs_gradient: Any) -> Any:
            weight = weight.to(states.dtype)
            gradient = torch.empty_like(states) if needs_gradient else None
            loss, correct, entropy = (torch.zeros((), device=states.device) for _ in range(3))
            for start in range(0, len(states), _CHUNK):
                chosen = labels[start : start + _CHUNK].unsqueeze(1)
                logprobs = (states[start : start + _CHUNK] @ weight.t()).float().log_softmax(-1)
                loss -= logprobs.gather(1, chosen).sum()
                correct += logprobs.argmax(-1, keepdim=True).eq(chosen).sum()
                probabilities = logprobs.exp()
                entropy -= torch.dot(probabilities.view(-1), logprobs.view(-1))
                if gradient is not None:
                    probabilities.scatter_add_(1, chosen, torch.full_like(chosen, -1, dtype=probabilities.dtype))
                    gradient[start : start + _CHUNK] = probabilities.to(states.dtype) @ weight
            ctx.gradient = gradient
            ctx.mark_non_differentiable(correct, entropy)
            return loss, correct, entropy

        @staticmethod
        def backward(ctx: Any, to_loss: Any, *_: Any) -> Any:
            gradient, ctx.gradient = ctx.gradient, None
            return gradient.mul_(to_loss), None, None, None

    return TokenLoss
