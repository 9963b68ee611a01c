"""Compares the kernels of training in Triton's interpreter with PyTorch's and bitsandbytes' operations."""

import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from training.backends.kernels import GatedProduct, Rotation, dequantised

ERRORS = {torch.float32: 1e-6, torch.float16: 2e-3}


def compare(plain, kernel, inputs, error):
    sides = []
    for run in (plain, kernel):
        own = [part.clone().requires_grad_() for part in inputs]
        output = run(*own)
        weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output)
        sides.append([output.detach().clone(), *torch.autograd.grad(output, own, weights)])
    for expected, value in zip(*sides, strict=True):
        torch.testing.assert_close(value, expected, atol=error, rtol=error)


def gated_products(dtype, error):
    generator = torch.Generator().manual_seed(0)
    for shape in ((1, 3, 5), (2, 7, 300)):  # less than a block, and several of which the last is partly filled
        gate, up = (3 * torch.randn(shape, generator=generator).to(dtype) for _ in range(2))
        plain = lambda gate, up: torch.nn.functional.silu(gate) * up  # noqa: E731
        compare(plain, lambda gate, up: GatedProduct.apply(1 * gate, 1 * up), (gate, up), error)


def rotations(dtype, error):
    generator = torch.Generator().manual_seed(0)
    for heads, rows, angle_rows in ((4, 1, 1), (3, 2, 1), (3, 2, 2)):
        width = 12
        angles = torch.randn(angle_rows, 6, width // 2, generator=generator).repeat(1, 1, 2)
        turns = (angles.cos().to(dtype), angles.sin().to(dtype))
        states = torch.randn(rows, 6, heads, width, generator=generator).to(dtype).transpose(1, 2)  # as layers have it
        for part in (states, states.contiguous()):
            compare(
                lambda part, turns=turns: apply_rotary_pos_emb(part, part, *turns)[0],
                lambda part, turns=turns: Rotation.apply(part, *turns),
                [part],
                error,
            )


def four_bits(dtype):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(200, 192, generator=generator).to(dtype)  # 600 blocks: the last program is partly filled
    for kind, nested, blocksize in (("nf4", True, 64), ("nf4", False, 64), ("fp4", True, 64), ("nf4", True, 32)):
        weight, state = quantize_4bit(values, blocksize=blocksize, quant_type=kind, compress_statistics=nested)
        assert torch.equal(dequantised(weight, state), dequantize_4bit(weight, state))


if __name__ == "__main__":
    for dtype, error in ERRORS.items():
        gated_products(dtype, error)
        rotations(dtype, error)
        four_bits(dtype)
