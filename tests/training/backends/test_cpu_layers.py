"""Norms and rotations of training on a CPU compute what transformers' layers do, with the same gradients."""

import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb

from training.backends.cpu_layers import Norm, Rotation

ERRORS = {torch.float32: 1e-6, torch.bfloat16: 2e-2}


def gradient_of(function, states):
    states = states.clone().requires_grad_()
    output = function(states)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output.dtype)
    return output.detach(), torch.autograd.grad(output, states, weights)[0]


def assert_close(ours, theirs, error):
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=error, atol=error * float(other.abs().max()))


@pytest.mark.parametrize("dtype", ERRORS)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 300.0])  # the first is small beside epsilon
def test_a_norm(dtype, scale):
    torch.manual_seed(0)
    states = (scale * torch.randn(2, 7, 48)).to(dtype)
    norm = LlamaRMSNorm(48, eps=1e-5).to(dtype)
    norm.weight.data = (1 + torch.randn(48) / 4).to(dtype)
    norm.weight.requires_grad_(requires_grad=False)
    ours = gradient_of(lambda it: Norm.apply(it, norm.weight, norm.variance_epsilon), states)
    assert_close(ours, gradient_of(norm, states), ERRORS[dtype])


@pytest.mark.parametrize("dtype", ERRORS)
def test_a_rotation(dtype):
    torch.manual_seed(0)
    states = torch.randn(2, 9, 3, 16).to(dtype).transpose(1, 2)  # as a projection leaves them
    angles = torch.randn(2, 9, 8).repeat(1, 1, 2)
    turns = [part.to(dtype) for part in (angles.cos(), angles.sin())]
    ours = gradient_of(lambda it: Rotation.apply(it, *turns), states)
    assert_close(ours, gradient_of(lambda it: apply_rotary_pos_emb(it, it[:, :1], *turns)[0], states), ERRORS[dtype])


def test_exact_gradients():
    torch.manual_seed(0)
    states, weight = torch.randn(3, 8, dtype=torch.float64, requires_grad=True), torch.randn(8, dtype=torch.float64)
    turns = torch.randn(2, 1, 3, 8, dtype=torch.float64).unbind()
    assert torch.autograd.gradcheck(lambda it: Rotation.apply(it.view(1, 1, 3, 8), *turns), states)
    assert torch.autograd.gradcheck(lambda it: Norm.apply(it, weight, 1e-5), states, eps=1e-3, atol=1e-3)  # in float32
