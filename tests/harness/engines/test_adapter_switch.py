"""Adapters on one base: merged or beside it, exact, restored to the bit, and cheap."""

import shutil
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.engines.adapter_switch import adapter_switch
from harness.engines.base_weights import weight_checksums
from reports.errors import UserError
from tests.harness.engines.test_engine import ask, engine_on, prompts, scores
from training.models.adapters import find_adapter
from training.models.base_model import find_base
from training.recipes.recipe import ModelSection

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def load(tiny_model, dtype=torch.float32):
    return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=dtype).eval()


@pytest.fixture(scope="module")
def make_adapter(tiny_model, tmp_path_factory):
    """Save a random adapter whose effect is plain to see."""

    def make(seed, **settings):
        torch.manual_seed(seed)
        config = LoraConfig(**{"r": 4, "lora_alpha": 16, "target_modules": ALL, "init_lora_weights": False, **settings})
        folder = tmp_path_factory.mktemp("adapter")
        get_peft_model(load(tiny_model), config).save_pretrained(folder)
        return folder

    return make


def peft_reference(tiny_model, folder):
    return PeftModel.from_pretrained(load(tiny_model), str(folder)).eval()


def test_generations_of_several_adapters_are_those_of_plain_peft(tiny_model, make_adapter):
    folders = {"one": make_adapter(1), "two": make_adapter(2, target_modules=["q_proj", "v_proj"])}
    engine = engine_on(tiny_model, folders)
    asked = [*prompts("one"), *prompts("base"), *prompts("two")]
    found = ask(engine, asked)
    for name, answers in (("one", found[:9]), ("two", found[18:])):
        reference = peft_reference(tiny_model, folders[name])
        for (_, request), answer in zip(prompts(), answers, strict=True):
            ids = torch.tensor([request.prompt])
            wanted = reference.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False
            )
            assert list(answer.tokens) == wanted[0, len(request.prompt) :].tolist()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_base_comes_back_to_the_bit_however_often_adapters_change(tiny_model, make_adapter, dtype):
    model = load(tiny_model, dtype)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    switch = adapter_switch(model, {"one": make_adapter(1), "two": make_adapter(2, target_modules=["q_proj"])}, "auto")
    switch.use("one")
    merged = {name: weight.clone() for name, weight in model.state_dict().items()}
    assert any(not torch.equal(before[name], merged[name]) for name in before)
    for name in ("two", "one", "base", "two", "one"):
        switch.use(name)
    assert all(torch.equal(merged[name], weight) for name, weight in model.state_dict().items())
    switch.use("base")
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())


def test_a_merged_weight_is_rounded_once(tiny_model, make_adapter):
    folder = make_adapter(1)
    model = load(tiny_model, torch.bfloat16)
    switch = adapter_switch(model, {"one": folder}, "merged")
    switch.use("one")
    exact = peft_reference(tiny_model, folder).merge_and_unload()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, exact.state_dict()[name].to(torch.bfloat16)), name


def test_a_further_adapter_takes_only_its_own_weights(tiny_model, make_adapter):
    """At most 5 % more, and the base is loaded once."""
    folders = {f"adapter{number}": make_adapter(number) for number in range(3)}

    def held(names):
        switch: Any = adapter_switch(load(tiny_model), {name: folders[name] for name in names}, "merged")
        for name in names:
            switch.use(name)
        return switch.held_bytes

    own = sum(path.stat().st_size for path in folders["adapter2"].glob("*.safetensors"))
    further = held(list(folders)) - held(list(folders)[:2])
    assert 0 < further <= 1.05 * own


def test_merging_is_refused_where_it_cannot_be_exact(tiny_model, make_adapter):
    with pytest.raises(UserError, match="cannot be merged"):
        adapter_switch(load(tiny_model), {"one": make_adapter(1, use_dora=True)}, "merged")


def test_any_name_does_for_an_adapter_beside_the_base(tiny_model, make_adapter):
    """PEFT takes a name as a module's: with a dot in it, or one that a dictionary of modules has, it fails."""
    folders = {name: make_adapter(number) for number, name in enumerate(("v1.2", "keys", "type"))}
    model = load(tiny_model)
    switch = adapter_switch(model, folders, "unmerged")
    ids = torch.tensor([[1, 2, 3]])
    for name, folder in folders.items():
        switch.use(name)
        assert torch.equal(model(ids).logits, peft_reference(tiny_model, folder)(ids).logits)


def test_weights_in_4_bits_are_never_merged(tiny_model, make_adapter):
    """A base that stays in 4 bits, because memory does not allow it dense, is scored with PEFT's layers beside it."""
    from training.models.device import device_of
    from training.models.loading import load_base
    from training.recipes.recipe import QuantizationSection

    base = type("Base", (), {"folder": tiny_model, "name": "tiny"})
    model = load_base(base, QuantizationSection(), dtype="float32", device=device_of("cpu")).eval()
    assert adapter_switch(model, {"one": make_adapter(1)}, "auto").mode == "unmerged"


def bigger_vocabulary(tiny_model, folder, rows=520):
    """Save a random adapter that was trained with more tokens, as PEFT saves it: with whole embeddings."""
    torch.manual_seed(5)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.add_tokens([f"<extra {number}>" for number in range(8)])
    tokenizer.save_pretrained(folder)
    model = load(tiny_model)
    model.resize_token_embeddings(rows)
    get_peft_model(
        model, LoraConfig(r=4, lora_alpha=16, target_modules=["q_proj"], init_lora_weights=False)
    ).save_pretrained(folder, save_embedding_layers=True)
    return folder


def test_an_embedding_with_more_tokens_is_the_adapters_alone(tiny_model, make_adapter, tmp_path):
    folder = bigger_vocabulary(tiny_model, tmp_path / "more")
    find_adapter("more", str(folder), find_base(ModelSection(base=str(tiny_model))))
    model = load(tiny_model)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    ids = torch.tensor([[1, 2, 3]])
    base_logits = model(ids).logits
    switch = adapter_switch(model, {"plain": make_adapter(1), "more": folder}, "auto")
    assert switch.mode == "unmerged"
    resized = load(tiny_model)
    resized.resize_token_embeddings(520)
    reference = PeftModel.from_pretrained(resized, str(folder)).eval()
    plain = peft_reference(tiny_model, make_adapter(1))
    for _ in range(2):
        switch.use("more")
        assert torch.equal(model(ids).logits, reference(ids).logits)
        switch.use("plain")
        assert torch.equal(model(ids).logits, plain(ids).logits)
        switch.use("base")
        assert torch.equal(model(ids).logits, base_logits)
    assert all(torch.equal(model.state_dict()[name], weight) for name, weight in before.items())


def test_the_base_answers_the_same_beside_an_adapter_with_more_tokens(tiny_model, tmp_path):
    folder = bigger_vocabulary(tiny_model, tmp_path / "more")
    together = ask(engine_on(tiny_model, {"more": folder}), [*scores("more"), *prompts("more"), *scores(), *prompts()])
    alone = ask(engine_on(tiny_model), [*scores(), *prompts()])
    assert [response.logprobs for response in together[18:27]] == [response.logprobs for response in alone[:9]]
    assert [response.tokens for response in together[27:]] == [response.tokens for response in alone[9:]]


@pytest.mark.parametrize(
    "extra",
    ["model.layers.0.mlp.up_proj.base_layer.weight", "model.layers.1.input_layernorm.weight", "model.norm.weight"],
)
def test_no_answers_once_an_adapter_has_changed_the_base(tiny_model, make_adapter, tmp_path, extra):
    """The engine compares checksums itself, whatever let the adapter through."""
    folder = shutil.copytree(make_adapter(1), tmp_path / "adapter")
    own = load(tiny_model).get_parameter(extra.replace(".base_layer.", ".")).detach()
    weights = load_file(folder / "adapter_model.safetensors") | {f"base_model.model.{extra}": own + 1}
    save_file(weights, folder / "adapter_model.safetensors")
    changed = extra.replace(".base_layer.", ".")
    with pytest.raises(UserError, match=rf"changed 1 of the base's own weights, such as {changed};"):
        adapter_switch(load(tiny_model), {"one": folder}, "auto")


def test_a_checksum_sees_every_bit_and_every_place():
    torch.manual_seed(0)
    layer = torch.nn.Linear(8, 4).to(torch.bfloat16)
    before = weight_checksums(layer)
    assert list(before) == ["weight", "bias"]
    assert weight_checksums(layer) == before
    with torch.no_grad():
        layer.weight[[0, 1]] = layer.weight[[1, 0]]
        assert weight_checksums(layer)["weight"] != before["weight"]
        layer.weight[[0, 1]] = layer.weight[[1, 0]]
        assert weight_checksums(layer) == before
        layer.bias.view(torch.int16)[3] ^= 1
        assert weight_checksums(layer)["bias"] != before["bias"]
        assert weight_checksums(layer, only={"weight": 0}) == {"weight": before["weight"]}
