"""What makes training faster computes what PEFT, TRL and PyTorch compute: losses and gradients, number by number."""

from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.families import FAMILIES
from benchmarks.tiny_models import make_config, make_tokenizer
from tests.interpreted import check_in_interpreter
from tests.training.backends.test_packing import trained
from training.backends.checkpointing import LayerInputs, Skips
from training.backends.fused_layers import fuse_layers
from training.backends.fused_lora import fuse_lora
from training.backends.fused_loss import fuse_loss, token_loss
from training.backends.trl_backend import SPEEDUPS


def assert_same(ours, theirs):
    assert ours[1] == pytest.approx(theirs[1], rel=1e-5)
    for one, other in zip(ours[0], theirs[0], strict=True):
        largest = max(float(gradient.abs().max()) for gradient in other.values())
        for name, gradient in one.items():
            assert torch.allclose(gradient, other[name], rtol=1e-3, atol=1e-5 * largest), name


CPU, GPU = (SimpleNamespace(supports_kernel_packages=is_gpu) for is_gpu in (False, True))


@contextmanager
def fused(model, device=CPU):
    """The model with its LoRA layers fused, as while it trains."""
    callbacks: list[Any] = []
    fuse_lora(
        SimpleNamespace(model=model, add_callback=callbacks.append), SimpleNamespace(dtype="float32", device=device)
    )
    callbacks[0].on_train_begin()
    yield
    callbacks[0].on_train_end()


@pytest.mark.parametrize("speedup", SPEEDUPS)
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


def test_a_gradient_takes_the_place_of_an_input_that_nothing_else_needs():
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model = get_peft_model(torch.nn.Sequential(torch.nn.Linear(8, 6)), LoraConfig(target_modules=["0"], r=2))
    layer = model.base_model.model[0]
    torch.nn.init.normal_(layer.lora_B["default"].weight)
    weights = [layer.lora_A["default"].weight, layer.lora_B["default"].weight]
    values, results = torch.randn(5, 8), []
    for is_last_use in (False, True):
        start = values.clone().requires_grad_()
        inputs = start * 1
        with fused(model):
            setattr(inputs, "is_last_use", is_last_use)  # noqa: B010 - tensors have no such attribute by themselves
            output = layer(inputs)
        results.append(torch.autograd.grad(output.square().sum(), [start, *weights]))
        assert torch.equal(inputs, start) != is_last_use
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other)


class Attention(torch.nn.Module):
    """Queries, keys and values in 4 bits, of one input or of several, the values perhaps twice."""

    def __init__(self, inputs):
        from bitsandbytes.nn import Linear4bit

        super().__init__()
        self.inputs = inputs
        for name, outputs in (("q_proj", 12), ("k_proj", 6), ("v_proj", 6)):
            layer = Linear4bit(64, outputs, bias=name == "q_proj", compute_dtype=torch.float32, quant_type="nf4")
            setattr(self, name, layer.to("cpu"))

    def forward(self, states):
        """All that the layers compute."""
        others = {"states": states, "other": states.tanh()}
        changed = states * 1
        results = []
        for name, source in zip(("q_proj", "k_proj", "v_proj", "v_proj"), self.inputs, strict=False):
            if source == "changed":
                results.append(getattr(self, name)(changed))
                with torch.no_grad():
                    changed += 1
            else:
                results.append(getattr(self, name)(others[source]))
        return torch.cat(results, -1)


@pytest.mark.parametrize(
    "inputs",
    [("states",) * 3, ("states", "other", "states"), ("states",) * 4, ("states", "states", "other", "states")],
)
def test_layers_with_the_same_input_are_computed_together_and_others_apart(inputs):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    attention = Attention(inputs)
    settings = LoraConfig(target_modules=["q_proj", "k_proj", "v_proj"], r=2, lora_alpha=3)
    model = get_peft_model(attention, settings)
    weights = [weight for name, weight in model.named_parameters() if "lora_" in name]
    for weight in weights:
        torch.nn.init.normal_(weight)
    values = torch.randn(1, 5, 64)

    def computed(batch):
        states = batch.clone().requires_grad_()
        output = attention(states)
        return [output, *torch.autograd.grad(output.tanh().square().sum(), [states, *weights])]

    batches = (values, 2 * values)  # the first may show that the layers do not belong together
    results = [computed(batch) for batch in batches]
    with fused(model, GPU):
        for batch, expected in zip(batches, results, strict=True):
            for one, other in zip(computed(batch), expected, strict=True):
                largest = float(other.detach().abs().max())
                torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * largest)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("input_of_all", ["states", "changed"])
def test_without_gradients_an_input_that_changed_in_between_is_noticed(mode, input_of_all):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    attention = Attention((input_of_all,) * 3)
    model = get_peft_model(attention, LoraConfig(target_modules=["q_proj", "k_proj", "v_proj"], r=2))
    values = torch.randn(1, 5, 64)
    with torch.no_grad():
        expected = attention(values)
    with fused(model, GPU), mode():
        torch.testing.assert_close(attention(values), expected, rtol=1e-4, atol=1e-4)


class Block(torch.nn.Module):
    """A layer with a feed-forward part, whose result may be normed before it is added."""

    def __init__(self, norm):
        super().__init__()
        self.mlp = torch.nn.Module()
        self.mlp.down_proj = torch.nn.Linear(8, 8)
        self.norm = norm

    def forward(self, states):
        """The states and the part's result."""
        return states + self.norm(self.mlp.down_proj(states.tanh()))


@pytest.mark.parametrize(("norm", "products"), [(torch.nn.Identity(), 1), (torch.nn.LayerNorm(8), 3)])
def test_a_layers_last_product_is_computed_again_only_where_gradients_need_it(norm, products):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    block = Block(norm)
    model = get_peft_model(block, LoraConfig(target_modules=["down_proj"], r=2))
    values, weights, skips, computed = torch.randn(1, 5, 8), torch.randn(1, 5, 8), Skips(), []
    for _ in range(2):  # the first time it is tried out
        with fused(model):
            states = values.clone().requires_grad_()

            def run(states=states):
                computed.append(bool((block.mlp.down_proj(states) != 0).any()))
                return block(states)

            def gradient(output, states=states):
                return torch.autograd.grad(output, states, weights)[0]

            skips.outputs(block, run, gradient)
    assert len(computed) == 4
    assert sum(computed) == products


@pytest.mark.slow
def test_kernels_compute_what_pytorch_does():
    check_in_interpreter("tests.training.backends.interpreted_kernels")


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


def frozen(family):
    """A tiny random model of a family, whose weights are not trained."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(make_config(FAMILIES[family], make_tokenizer()))
    return model.requires_grad_(requires_grad=False)


def trainer_of(model):
    """What `fuse_loss` reads of a trainer with TRL's loss in chunks."""
    model.get_base_model = lambda: model
    return SimpleNamespace(args=SimpleNamespace(loss_type="chunked_nll"), model=model)


def test_norms_and_rotations_compute_otherwise_while_a_model_trains_on_a_cpu():
    model = frozen("llama")
    callbacks: list[Any] = []
    job = SimpleNamespace(device=SimpleNamespace(type="cpu", supports_kernel_packages=False), dtype="float32")
    fuse_layers(SimpleNamespace(model=model, add_callback=callbacks.append), job)
    tokens = torch.arange(3, 40).unsqueeze(0)
    expected = model(tokens).logits
    callbacks[0].on_train_begin()
    changed = {type(module).__name__ for module in model.modules() if "forward" in vars(module)}
    assert changed == {"LlamaRMSNorm", "LlamaAttention"}
    torch.testing.assert_close(model(tokens).logits, expected)
    callbacks[0].on_train_end()
    assert not any("forward" in vars(module) for module in model.modules())


def test_without_labels_a_model_has_its_own_forward():
    model = frozen("llama")
    tokens = torch.arange(3, 40).unsqueeze(0)
    logits, loss = model(tokens).logits, model(tokens, labels=tokens).loss
    fuse_loss(trainer_of(model), None)
    assert torch.equal(model(tokens).logits, logits)
    assert torch.equal(model(input_ids=tokens).logits, logits)
    assert float(model(input_ids=tokens, labels=tokens).loss) == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.parametrize(("family", "is_ours"), [("llama", True), ("granite", False), ("cohere", False)])
def test_scaled_logits_keep_trls_loss(family, is_ours):
    model = frozen(family)
    fuse_loss(trainer_of(model), None)
    assert ("forward" in vars(model)) == is_ours
