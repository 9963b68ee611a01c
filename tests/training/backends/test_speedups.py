"""What makes training faster computes what PEFT, TRL and PyTorch compute: losses and gradients, number by number."""

import pytest
import torch

from benchmarks.families import FAMILIES
from benchmarks.tiny_models import make_config, make_tokenizer
from tests.training.backends.test_packing import trained
from training.backends.checkpointing import LayerInputs, checkpoint_layers
from training.backends.fused_lora import fuse_lora
from training.backends.fused_loss import fuse_loss, token_loss


def assert_same(ours, theirs):
    assert ours[1] == pytest.approx(theirs[1], rel=1e-5)
    for one, other in zip(ours[0], theirs[0], strict=True):
        largest = max(float(gradient.abs().max()) for gradient in other.values())
        for name, gradient in one.items():
            assert torch.allclose(gradient, other[name], rtol=1e-3, atol=1e-5 * largest), name


@pytest.mark.parametrize("speedup", [fuse_lora, fuse_loss, checkpoint_layers])
@pytest.mark.parametrize("settings", [(), ("trainer.gradient_checkpointing=true",), ("quantization.method=none",)])
def test_each_speed_up_leaves_losses_and_gradients_as_they_are(tiny_recipe, tmp_path, speedup, settings):
    settings = ("trainer.batch_size=2", "trainer.gradient_accumulation=2", "trainer.packing=false", *settings)
    theirs = trained(tiny_recipe, tmp_path / "theirs", *settings, speedups=())
    assert_same(trained(tiny_recipe, tmp_path / "ours", *settings, speedups=(speedup,)), theirs)


def test_dropout_is_the_same_as_in_separate_operations(tiny_recipe, tmp_path):
    settings = ("lora.dropout=0.3", "trainer.packing=false", "trainer.gradient_checkpointing=true")
    theirs = trained(tiny_recipe, tmp_path / "theirs", *settings, speedups=())
    assert_same(trained(tiny_recipe, tmp_path / "ours", *settings), theirs)


def test_losses_in_16_bits_are_the_same_but_for_rounding(tiny_recipe, tmp_path):
    settings = ("model.dtype=bfloat16", "trainer.packing=false")
    theirs = trained(tiny_recipe, tmp_path / "theirs", *settings, speedups=())
    ours = trained(tiny_recipe, tmp_path / "ours", *settings)
    assert ours[1] == pytest.approx(theirs[1], rel=2e-3)


def test_the_loss_is_pytorchs_cross_entropy_with_its_gradient():
    torch.manual_seed(0)
    states = torch.randn(2, 300, 16, requires_grad=True)
    weight, labels = torch.randn(50, 16), torch.randint(0, 50, (2, 300))
    labels[:, ::3] = -100
    loss, correct, entropy, count = token_loss(states, weight, labels)
    logits = states @ weight.t()
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    learned = labels != -100
    assert (int(count), int(correct)) == (400, int((logits.argmax(-1) == labels)[learned].sum()))
    assert float(entropy) == pytest.approx(
        float(torch.distributions.Categorical(logits=logits).entropy()[learned].sum()), rel=1e-5
    )
    ours, theirs = (torch.autograd.grad(3 * one, states)[0] for one in (loss, expected))
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_inputs_of_layers_come_back_last_in_first_out():
    inputs = LayerInputs(offloads=True)  # a CPU has nothing to offload to
    kept = [torch.full((2, 3), float(number)) for number in range(4)]
    for states in kept:
        inputs.push(states)
    assert [inputs.pop("cpu") is states for states in reversed(kept)] == [True] * 4


@pytest.mark.parametrize(("family", "is_ours"), [("llama", True), ("granite", False), ("cohere", False)])
def test_scaled_logits_keep_trls_loss(family, is_ours):
    from transformers import AutoModelForCausalLM

    class Trainer:
        args = type("Arguments", (), {"loss_type": "chunked_nll"})
        model = AutoModelForCausalLM.from_config(make_config(FAMILIES[family], make_tokenizer()))

    Trainer.model.get_base_model = lambda: Trainer.model
    for weight in Trainer.model.parameters():
        weight.requires_grad = False
    fuse_loss(Trainer, None)
    assert ("forward" in vars(Trainer.model)) == is_ours
