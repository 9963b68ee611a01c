"""How far two models' predictions lie apart, and how far rounding alone may put them."""

import pytest
import torch

from tasks.data import DataSource, load_reasoning
from tasks.formats import get_format
from tasks.rendering import encode, load_tokenizer, render_prompt
from tests.training.exporting.conftest import load
from training.exporting.agreement import compare, logits, probe_tokens, rounding_tolerance
from training.recipes.recipe import FormatSection

PROMPTS = [[0, 5, 9, 31, 77, 140], [0, 3, 8, 200]]


def test_probes_are_samples_with_their_answers_as_a_model_learns_them(tiny_model):
    tokenizer, shape = load_tokenizer(str(tiny_model)), get_format("thinking-headings")
    section = FormatSection(name=shape.name)
    probes = probe_tokens(tokenizer, section)
    rows = load_reasoning(DataSource(source="samples:reasoning_heldout"), seed=0)
    assert [len(probe) for probe in probes] == [256] * 4
    for probe, row in zip(probes, rows[:4], strict=True):
        prompt = encode(tokenizer, render_prompt(tokenizer, shape, row.question, section.chat))
        answer = tokenizer(shape.completion(row.reasoning, row.response), add_special_tokens=False).input_ids
        assert len(prompt) < 256
        assert probe == [*prompt, *answer][:256]


def test_comparing_in_float32_leaves_16_bit_weights_as_they_were(tiny_model):
    model = load(tiny_model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = logits(model, PROMPTS)
    assert all(each.dtype == torch.float32 for each in found)
    assert compare(found, logits(model.float(), PROMPTS)).max_difference < 1e-4
    model = load(tiny_model)
    with pytest.raises(IndexError):
        logits(model, [[10**6]])
    assert all(value.dtype == before[name].dtype for name, value in model.state_dict().items())


def test_agreement_is_the_divergence_and_its_tolerance_grows_with_the_roundoff():
    reference = [torch.tensor([[0.0, 1.0, 2.0], [0.0, 3.0, 0.0]])]
    other = [torch.tensor([[0.0, 1.0, 2.0], [0.0, 3.0, 4.0]])]
    found = compare(reference, other)
    p, q = reference[0][1].softmax(-1), other[0][1].softmax(-1)
    assert found.mean_kl == pytest.approx(float((p * (p / q).log()).sum()) / 2)
    assert (found.max_difference, found.same_top) == (4.0, 0.5)
    assert found.spread == pytest.approx(((2 / 3 + 2) / 2) ** 0.5)  # variances of the three logits of both positions
    assert compare(reference, reference).mean_kl == 0
    assert rounding_tolerance(3.0, 200, "bfloat16") == pytest.approx((2 * 2**-8 * 200**0.5 * 3) ** 2 / 2)
    assert rounding_tolerance(3.0, 200, "bfloat16") == pytest.approx(64 * rounding_tolerance(3.0, 200, "float16"))
    assert rounding_tolerance(3.0, 200, "float32") == 1e-7
