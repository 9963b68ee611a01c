"""Weights in the layout that a CPU multiplies fastest: the products stay the same, and follow the adapter in place."""

import pytest
import torch
from torch import nn
from torch.nn.functional import linear
from transformers import AutoModelForCausalLM

from harness.engines.interface import GenerateRequest, ModelRequest, ScoreRequest
from harness.engines.packed_weights import Products, pack
from harness.engines.transformers_engine import TransformersEngine
from tasks.rendering import load_tokenizer
from training.models.architecture import GATED

PROMPT = tuple(range(5, 45))
REQUESTS = [ScoreRequest(PROMPT, (7, 8, 9)), ScoreRequest(PROMPT[:9], (3,)), GenerateRequest(PROMPT, 8)]


class Gated(nn.Module):
    """Two layers that read the same states, and a third."""

    def __init__(self, *, bias=False, dtype=torch.bfloat16):
        super().__init__()
        torch.manual_seed(0)
        self.gate_proj, self.up_proj = (nn.Linear(64, width, bias=bias, dtype=dtype) for width in (96, 32))
        self.down_proj = nn.Linear(64, 48, bias=bias, dtype=dtype)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("rows", [(1,), (7,), (300,), (2, 3)])
@pytest.mark.parametrize("in_float32", [False, True])
@torch.inference_mode()
def test_products_are_those_of_the_layers_before_and_after_their_weights_change(bias, dtype, rows, in_float32):
    model = Gated(bias=bias, dtype=dtype)
    layers = [getattr(model, name) for name in GATED]
    pack(model)
    products, states = Products(model, in_float32=in_float32), torch.randn(*rows, 64, dtype=dtype)
    for _ in range(2):
        for layer, made in zip(layers, products.of_layers(model, GATED, states), strict=True):
            torch.testing.assert_close(made, linear(states, layer.weight, layer.bias))
        wanted = linear(states, model.down_proj.weight, model.down_proj.bias)
        torch.testing.assert_close(products.of_layer(model.down_proj, states), wanted)
        for layer in (*layers, model.down_proj):
            layer.weight.copy_(torch.randn_like(layer.weight))
        products.forget()


@torch.inference_mode()
def test_copies_in_the_faster_order_are_multiplied_where_there_is_memory_for_them():
    model = Gated()
    products, states = Products(model), torch.randn(3, 64, dtype=torch.bfloat16)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        products.of_layer(model.down_proj, states)
    if torch.backends.cpu.get_cpu_capability().startswith("AVX512"):  # which oneDNN's products in bfloat16 need
        assert "mkldnn::_linear_pointwise" in {event.key for event in profile.key_averages()}


@torch.inference_mode()
def test_products_in_float32_are_rounded_once():
    model = Gated(bias=True)
    products, states = Products(model, in_float32=True), torch.randn(9, 64, dtype=torch.bfloat16)
    layer = model.down_proj
    exact = linear(states.double(), layer.weight.double(), layer.bias.double())
    made = products.of_layer(layer, states)
    assert made.dtype == torch.bfloat16
    assert (made == exact.to(torch.bfloat16)).float().mean() > 0.99  # the rest lies between two numbers


@torch.inference_mode()
def test_a_layer_with_a_hook_is_called():
    model = Gated()
    pack(model)
    model.up_proj.register_forward_hook(lambda *_: torch.zeros(3, 32))
    model.down_proj.register_forward_pre_hook(lambda _, args: (args[0] * 0,))
    products, states = Products(model), torch.randn(3, 64, dtype=torch.bfloat16)
    gate, up = products.of_layers(model, GATED, states)
    assert gate.any()
    assert not up.any()
    assert not products.of_layer(model.down_proj, states).any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_answers_follow_the_adapter_in_place(tiny_model, tiny_run, dtype):
    """Base and adapter in turn answer as engines that never switch, bit for bit."""

    def engine(names):
        folders = dict.fromkeys(names, tiny_run / "adapter")
        tokenizer = load_tokenizer(str(tiny_model))
        return TransformersEngine(
            lambda: AutoModelForCausalLM.from_pretrained(tiny_model, dtype=dtype).eval(), tokenizer, folders
        )

    def answers(engine, name):
        responses = dict(engine.respond([ModelRequest(name, request) for request in REQUESTS]))
        *scored, generated = (responses[number] for number in range(len(REQUESTS)))
        return [[*response.logprobs] for response in scored], generated.tokens

    switching = engine(["one"])
    turns = [answers(switching, name) for name in ("base", "one", "base", "one")]
    base, adapter = answers(engine([]), "base"), answers(engine(["one"]), "one")
    assert turns == [base, adapter, base, adapter]
    assert base[0] != adapter[0]
