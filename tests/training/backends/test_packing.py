"""Packing: a step's rows in few sequences do not see each other, train as they do one by one, and none is lost."""

import pytest
import torch
from transformers import TrainerCallback

from benchmarks.families import FAMILIES
from benchmarks.tiny_models import make_config, make_tokenizer
from reports.errors import UserError
from tests.fake_torch import fake_torch
from training.backends import sft, trl_backend
from training.backends.packing import (
    check_apart,
    collate_joined,
    keeps_rows_apart,
    sequences,
    share_out,
    token_budget,
)
from training.finetune import finetune
from training.models.base_model import find_base
from training.models.device import Cuda, device_of
from training.models.loading import load_base
from training.models.row_attention import row_bounds, use_row_attention
from training.recipes.recipe_file import load_recipe
from training.splits import training_rows

ROWS = [torch.arange(5, 17), torch.arange(60, 80), torch.arange(30, 39)]


@pytest.fixture(params=["row attention", "block mask"])
def model(tiny_recipe, request):
    recipe = load_recipe(str(tiny_recipe), ["quantization.method=none"])
    loaded = load_base(find_base(recipe.model), recipe.quantization, dtype="float32", device=device_of("cpu"))
    if request.param == "row attention":
        assert use_row_attention(loaded)
    return loaded


def joined(model, rows, **further):
    return model(
        input_ids=torch.cat(rows).unsqueeze(0), use_cache=False, **row_bounds([*map(len, rows)], "cpu"), **further
    )


def test_a_packed_row_has_the_logits_it_has_alone(model):
    check_apart(model)
    alone = torch.cat([model(input_ids=row.unsqueeze(0)).logits[0] for row in ROWS])
    assert torch.allclose(joined(model, ROWS).logits[0], alone, atol=1e-4)


def test_no_gradient_goes_from_one_row_to_another(model):
    embedded = []
    model.get_input_embeddings().register_forward_hook(lambda _, __, output: embedded.append(output))
    logits = joined(model, ROWS).logits[0]
    second = slice(len(ROWS[0]), len(ROWS[0]) + len(ROWS[1]))
    gradient = torch.autograd.grad(logits[second].logsumexp(-1).sum(), embedded[0])[0][0]
    assert gradient[second].abs().sum(-1).min() > 0
    assert gradient[: second.start].abs().max() == gradient[second.stop :].abs().max() == 0


def test_padded_rows_are_computed_as_ever(model):
    """Validation and scoring pad, also with the attention that keeps joined rows apart."""
    padded = torch.nn.utils.rnn.pad_sequence(ROWS, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in ROWS], batch_first=True)
    logits = model(input_ids=padded, attention_mask=mask).logits
    for row, own in zip(ROWS, logits, strict=True):
        assert torch.allclose(own[: len(row)], model(input_ids=row.unsqueeze(0)).logits[0], atol=1e-4)


@pytest.mark.parametrize("lost", [("row_lengths",), ("row_lengths", "position_ids")])
def test_attention_that_sees_from_one_row_into_another_is_refused(tiny_recipe, lost):
    """Such as that of a model whose layers do not hand on where rows begin."""
    recipe = load_recipe(str(tiny_recipe), ["quantization.method=none"])
    model = load_base(find_base(recipe.model), recipe.quantization, dtype="float32", device=device_of("cpu"))
    use_row_attention(model)
    forward = model.forward
    model.forward = lambda **inputs: forward(**{name: value for name, value in inputs.items() if name not in lost})
    assert not keeps_rows_apart(model)
    with pytest.raises(UserError, match=r"with sdpa_by_row attention, rows .* see each other\n.*packing=false"):
        check_apart(model)


def test_a_small_leak_is_noticed_in_16_bits_where_a_row_alone_is_rounded_otherwise(model):
    """A leak of a hundredth of the logits is less than what other shapes round differently, but moves with its rows."""
    model.to(torch.bfloat16)
    assert keeps_rows_apart(model)
    forward = model.forward

    def leaking(*, input_ids, **further):
        output = forward(input_ids=input_ids, **further)
        if "row_lengths" in further:
            output.logits = output.logits + 0.01 * output.logits.abs().max() * (input_ids[0, 0] % 2)
        return output

    model.forward = leaking
    assert not keeps_rows_apart(model)


def test_a_sequence_has_the_tokens_of_a_padded_batch_or_half_as_many_again_on_a_gpu(tiny_recipe):
    settings = load_recipe(str(tiny_recipe), ["trainer.batch_size=2", "trainer.max_length=1024"]).trainer
    card = Cuda(fake_torch(cuda=True))
    assert token_budget(settings, 900, card, is_spared=False) == 2048
    assert token_budget(settings, 900, card, is_spared=True) == 3072
    assert token_budget(settings, 5000, card, is_spared=True) == 5000
    assert token_budget(settings, 300, device_of("cpu"), is_spared=True) == 600


@pytest.mark.parametrize("family", ["llama", "qwen3", "mistral", "gemma2", "granite"])
def test_models_with_windows_keep_their_own_attention(family):
    tokenizer = make_tokenizer()
    config = make_config(FAMILIES[family], tokenizer)
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    has_window = family == "gemma2" or getattr(config, "sliding_window", None) is not None
    assert use_row_attention(model) == (not has_window)
    assert keeps_rows_apart(model)


@pytest.mark.parametrize("budget", [3, 20, 31, 100])
def test_rows_are_shared_out_over_as_few_sequences_as_hold_them(budget):
    lengths = [7, 3, 12, 9, 3, 16, 1, 11]
    shares = share_out(lengths, budget)
    assert sorted(row for rows in shares for row in rows) == [*range(8)]
    tokens = [sum(lengths[row] for row in rows) for rows in shares]
    assert max(tokens) <= max(budget, 16)
    assert len(shares) == {3: 8, 20: 4, 31: 2, 100: 1}[budget]
    if budget == 31:
        assert tokens == [31, 31]


def test_no_token_is_lost_and_none_is_learned_from_another_row():
    rows = [{"input_ids": [row] * (row + 2), "labels": [row] * (row + 2)} for row in range(9)]
    batch = collate_joined(rows)
    parts = [*sequences(batch, 16)]
    assert max(part["input_ids"].shape[1] for part in parts) <= 16
    tokens = torch.cat([part["input_ids"][0] for part in parts])
    assert torch.equal(tokens.bincount(), torch.arange(2, 11))
    labels = torch.cat([part["labels"][0] for part in parts])
    positions = torch.cat([part["position_ids"][0] for part in parts])
    assert (labels[positions == 0] == -100).all()
    assert torch.equal(labels[positions > 0], tokens[positions > 0])


def trained(tiny_recipe, folder, *settings, speedups=trl_backend.SPEEDUPS):
    """(gradients of each step, losses) of a training on the same rows in the same order."""
    settings = ("trainer.max_length=1024", "trainer.max_steps=2", "data.train.rows=8", *settings)
    recipe = load_recipe(str(tiny_recipe), ["trainer.eval_steps=null", "data.validation_rows=null", *settings])
    gradients = []

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_pre_optimizer_step(self, args, state, control, model=None, **_):
            named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
            gradients.append({name: weight.grad.clone() for name, weight in named})

    def watched(*arguments, **further):
        trainer = sft.make_trainer(*arguments, **further)
        trainer.add_callback(Watch())
        return trainer

    def backend(job, progress):
        return trl_backend.train(job, progress, make=watched, speedups=speedups)

    log = finetune(recipe, find_base(recipe.model), training_rows(recipe), folder, lambda *_: None, backend)
    return gradients, [record["loss"] for record in log.losses if "loss" in record]


@pytest.mark.parametrize(
    "settings",
    [
        ("trainer.batch_size=2", "trainer.gradient_accumulation=2"),
        ("trainer.batch_size=4", "trainer.gradient_accumulation=1"),
        ("trainer.batch_size=1", "trainer.gradient_accumulation=4", "trainer.gradient_checkpointing=true"),
    ],
)
def test_packed_and_unpacked_rows_have_the_same_gradients(tiny_recipe, tmp_path, settings):
    """In float32, of the same rows in each step: also where a step's rows need several sequences."""
    padded = trained(tiny_recipe, tmp_path / "padded", *settings, "trainer.packing=false", speedups=())
    packed = trained(tiny_recipe, tmp_path / "packed", *settings, "trainer.packing=true")
    assert packed[1] == pytest.approx(padded[1], rel=1e-5)
    for one, other in zip(packed[0], padded[0], strict=True):
        assert one.keys() == other.keys()
        largest = max(float(gradient.abs().max()) for gradient in other.values())
        for name, gradient in one.items():
            assert torch.allclose(gradient, other[name], rtol=1e-3, atol=1e-5 * largest), name
    assert any(gradient.abs().max() > 0 for gradient in packed[0][0].values())
