"""Says how far two models' predictions on the same tokens lie apart, and how far rounding weights may move them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.data import DataSource, load_reasoning
from tasks.formats import get_format
from tasks.rendering import encode, render_prompt

if TYPE_CHECKING:
    import torch

    from training.models.device import DTypeName
    from training.recipes.recipe import FormatSection

_PROBES = 4
_PROBE_TOKENS = 256  # per probe; logits of all positions are kept, in float32
ARITHMETIC_KL = 1e-7  # nats; far more than float32 sums in another order ever did (1e-11 to 1e-9)
_AMPLIFIED = 2.0


@dataclass(frozen=True)
class Agreement:
    """How far a model's predictions lie from a reference's, over all positions of all probes.

    Attributes:
        max_difference: The biggest absolute difference of two logits.
        mean_kl: Mean Kullback-Leibler divergence of the next-token distributions from the reference's, in nats.
        same_top: Share of positions at which both have the same argmax token, from 0 to 1.
        spread: Standard deviation of the reference's logits around their mean at each position.
    """

    max_difference: float
    mean_kl: float
    same_top: float
    spread: float


def probe_tokens(tokenizer: Any, section: FormatSection) -> list[list[int]]:
    """Token ids of prompts with their answers in a recipe's format, from medbench's own samples, each cut at 256."""
    shape = get_format(section.name)
    probes = []
    for row in load_reasoning(DataSource(source="samples:reasoning_heldout"), seed=0)[:_PROBES]:
        prompt = encode(tokenizer, render_prompt(tokenizer, shape, row.question, section.chat))
        answer = tokenizer(shape.completion(row.reasoning, row.response), add_special_tokens=False).input_ids
        probes.append([*prompt, *answer][:_PROBE_TOKENS])
    return probes


def logits(model: Any, probes: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """Next-token logits of every position: for each probe a float32 tensor [tokens, vocabulary] in main memory."""
    import torch

    with torch.inference_mode(), _float32_arithmetic(model):
        return [
            model(input_ids=torch.tensor([probe], device=model.device), use_cache=False).logits[0].float().cpu()
            for probe in probes
        ]


def compare(reference: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> Agreement:
    """Compare logits as `logits` gives them; NaN anywhere makes `mean_kl` NaN."""
    biggest, divergence, same, square, positions = 0.0, 0.0, 0, 0.0, 0
    for expected, actual in zip(reference, other, strict=True):
        log_p = expected.double().log_softmax(-1)  # a small divergence is lost in float32
        biggest = max(biggest, float((expected - actual).abs().max()))
        divergence += float((log_p.exp() * (log_p - actual.double().log_softmax(-1))).sum())
        same += int((expected.argmax(-1) == actual.argmax(-1)).sum())
        square += float(expected.var(-1, correction=0).sum())
        positions += len(expected)
    return Agreement(biggest, max(divergence / positions, 0.0), same / positions, math.sqrt(square / positions))


def rounding_tolerance(spread: float, matrices: int, dtype: DTypeName) -> float:
    """The mean KL divergence, in nats, that rounding a model's weights to `dtype` explains.

    Rounding gives every weight a relative error of at most the unit roundoff u (2^-8 for bfloat16, 2^-11 for float16),
    independent and without bias, so the output of one matrix has a relative error of at most about u, and that of n
    matrices one after another u sqrt(n): probabilistic error analysis, Higham and Mary 2019, SIAM J. Sci. Comput. 41.
    Twice that is allowed, because layers may amplify. Logits whose standard deviation is s are then off by
    d = 2 u sqrt(n) s, and a small difference of logits with that standard deviation is a divergence of d^2 / 2.

    Args:
        spread: Standard deviation s of the logits at a position.
        matrices: Number n of the model's weight matrices.
        dtype: What the weights are rounded to.
    """
    import torch

    from training.models.device import torch_dtype

    unit = torch.finfo(torch_dtype(dtype)).eps / 2
    return max((_AMPLIFIED * unit * math.sqrt(matrices) * spread) ** 2 / 2, ARITHMETIC_KL)


@contextlib.contextmanager
def _float32_arithmetic(model: Any) -> Iterator[None]:
    """Compute in float32 with weights that are held in 16 bits: each layer's are widened while it runs.

    So the models differ by their weights alone, and a large one needs no more memory than to run in 16 bits.
    """
    import torch

    narrow: dict[torch.nn.Parameter, torch.Tensor] = {}

    def widen(module: torch.nn.Module, _: Any) -> None:
        for parameter in module.parameters(recurse=False):
            if parameter.dtype in (torch.bfloat16, torch.float16):
                narrow[parameter] = parameter.data
                parameter.data = parameter.data.float()

    def restore(module: torch.nn.Module, *_: Any) -> None:
        for parameter in module.parameters(recurse=False):
            if parameter in narrow:
                parameter.data = narrow.pop(parameter)

    hooks = []
    for module in model.modules():
        hooks += [module.register_forward_pre_hook(widen), module.register_forward_hook(restore, always_call=True)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
