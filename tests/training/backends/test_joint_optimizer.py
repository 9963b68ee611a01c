"""8-bit AdamW for many weights at once updates each as bitsandbytes does alone, bit for bit."""

from typing import Any

import bitsandbytes
import pytest
import torch

from tests.training.backends.test_packing import trained
from training.backends.joint_optimizer import join_updates, joined

SHAPES = [(16, 4096), (16, 512), (8, 512), (5, 1000), (3, 50), (4096, 16)]  # whole blocks, others, and a small weight


def weights():
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]


def train(optimizer, parameters, steps):
    for step in steps:
        torch.manual_seed(step)
        for index, weight in enumerate(parameters):
            gradient = torch.randn(weight.shape) * 10.0 ** (index - 3)
            weight.grad = None if (step, index) == (1, 2) else gradient  # one weight is a step behind
        optimizer.param_groups[0]["lr"] = 1e-3 / (1 + step)
        optimizer.step()


def settings(parameters):
    decays = {"params": parameters[:3], "weight_decay": 0.1}
    return [decays, {"params": parameters[3:], "weight_decay": 0.0}, {"params": [], "weight_decay": 0.0}]


def state_of(optimizer, parameters):
    return [dict(optimizer.state[weight]) for weight in parameters]


def assert_equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(other[name])), name


def test_weights_and_states_are_those_of_separate_updates():
    results = []
    for kind in (bitsandbytes.optim.AdamW, joined(bitsandbytes.optim.AdamW)):
        parameters = weights()
        optimizer = kind(settings(parameters), lr=1e-3, betas=(0.8, 0.95), eps=1e-6, optim_bits=8)
        train(optimizer, parameters, range(4))
        results.append((parameters, state_of(optimizer, parameters)))
    (ours, our_states), (theirs, their_states) = results
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert all(not torch.equal(one, start) for one, start in zip(ours, weights(), strict=True))
    assert_equal(our_states, their_states)
    assert [state["step"] for state in our_states] == [4, 4, 3, 4, 4, 4]


def test_only_weights_without_blocks_of_their_own_are_updated_alone():
    class Counting(bitsandbytes.optim.AdamW):  # type: ignore[misc]
        alone: list[Any] = []  # noqa: RUF012 - of the one optimizer here

        def update_step(self, group, p, *place):
            self.alone.append(tuple(p.shape))
            super().update_step(group, p, *place)

    parameters = weights()
    optimizer = joined(Counting)(settings(parameters), lr=1e-3, optim_bits=8)
    train(optimizer, parameters, range(2))
    assert Counting.alone == [(5, 1000), (3, 50)] * 2


def test_a_checkpoint_of_separate_updates_goes_on_together():
    results = []
    for kind in (bitsandbytes.optim.AdamW, joined(bitsandbytes.optim.AdamW)):
        parameters = weights()
        before = bitsandbytes.optim.AdamW(parameters, lr=1e-3, optim_bits=8)
        train(before, parameters, range(2))
        after = kind(parameters, lr=1e-3, optim_bits=8)
        after.load_state_dict(before.state_dict())
        train(after, parameters, range(2, 4))
        results.append((parameters, state_of(after, parameters)))
    (ours, our_states), (theirs, their_states) = results
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert_equal(our_states, their_states)


def test_updates_beyond_what_is_copied_at_once_are_the_same():
    """More values than one portion has, in weights of which none fills it."""
    results = []
    for kind in (bitsandbytes.optim.AdamW, joined(bitsandbytes.optim.AdamW)):
        torch.manual_seed(0)
        parameters = [torch.nn.Parameter(torch.randn(3 * 2**20)) for _ in range(6)]
        optimizer = kind(parameters, lr=1e-2, optim_bits=8)
        for weight in parameters:
            weight.grad = torch.randn_like(weight)
        optimizer.step()
        results.append(parameters)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


@pytest.mark.parametrize("optimizer", ["adamw_8bit", "adamw_torch"])
def test_a_training_is_the_same(tiny_recipe, tmp_path, optimizer):
    changes = (f"trainer.optimizer={optimizer}", "trainer.packing=false", "lora.r=16")
    theirs = trained(tiny_recipe, tmp_path / "theirs", *changes, speedups=())
    ours = trained(tiny_recipe, tmp_path / "ours", *changes, speedups=(join_updates,))
    assert ours[1] == theirs[1]
