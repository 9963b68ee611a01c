"""Faults of an endpoint, found by scoring our own weights under each: a tiny model replies with a fault and noise."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.engines.answer_text import AnswerEnd
from harness.releases.endpoint_causes import Observation
from harness.releases.hypotheses import Hypothesis, OwnWeights, predict
from harness.releases.identifying import identify
from tests.conftest import make_model
from training.exporting.variants import round_weights
from training.models.device import device_of

NOISE = 0.02  # nats per token
NONE = Hypothesis()
TOKENS_READ = 40
FAULTS = {
    "adapter missing": (Hypothesis(factor=0), ["missing_adapter"]),
    "scale halved": (Hypothesis(factor=0.5), ["adapter_scale"]),
    "merged twice": (Hypothesis(factor=2), ["merged_twice"]),
    "another adapter": (Hypothesis(adapter="previous"), ["wrong_adapter"]),
    "base in full precision": (Hypothesis(full_base=True), ["precision"]),
    "second start token": (Hypothesis(bos="double"), ["double_bos"]),
    "no start token": (Hypothesis(bos="missing"), ["missing_bos"]),
    "context cut": (Hypothesis(tokens_read=TOKENS_READ), ["context_cut"]),
    "q4_0": (Hypothesis(rounding="q4_0"), ["precision"]),
    "scale halved on the full base": (Hypothesis(factor=0.5, full_base=True), ["adapter_scale", "precision"]),
    "adapter missing, second start token": (Hypothesis(factor=0, bos="double"), ["missing_adapter", "double_bos"]),
    "scale halved and q4_0": (Hypothesis(factor=0.5, rounding="q4_0"), ["adapter_scale", "precision"]),
    "full base rounded": (Hypothesis(full_base=True, rounding="q4_0"), ["precision", "precision"]),
}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A tiny base, which the run holds rounded, and two adapters that change it much."""
    folder = make_model(tmp_path_factory.mktemp("hypotheses") / "base", layers=3)
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def load(*, rounded):
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        return round_weights(model, "q4_1", embeddings=False) if rounded else model

    adapters = {}
    for seed, name in enumerate(("evaluated", "previous")):
        torch.manual_seed(seed)
        config = LoraConfig(r=4, lora_alpha=16, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        adapters[name] = folder.parent / name
        get_peft_model(load(rounded=False), config).save_pretrained(adapters[name])
    return OwnWeights(
        load=functools.partial(load, rounded=True),
        load_full=functools.partial(load, rounded=False),
        tokenizer=tokenizer,
        adapter=adapters.pop("evaluated"),
        others=adapters,
        end=AnswerEnd(tokenizer, [tokenizer.eos_token_id]),
        device=device_of("cpu"),
        dtype="float32",
    )


@pytest.fixture(scope="module")
def items(own):
    """Items of 30 to 90 tokens of a prompt and 20 of a target, which begin with the start token."""
    random = np.random.default_rng(0)
    tokens = random.integers(10, 200, size=(8, 110)).tolist()
    start = own.tokenizer.bos_token_id
    return [
        Observation((start, *row[: 30 + 8 * number]), tuple(row[90:]), answers=((1,),))
        for number, row in enumerate(tokens)
    ]


@pytest.fixture(scope="module")
def reference(own, items):
    return predict(own, items, [NONE])[NONE]


def replies(items, predictions, noise=NOISE):
    """Observations as an endpoint gives them, with the noise of another kernel."""
    random = np.random.default_rng(1)
    return [
        replace(one, logprobs=tuple(np.array(prediction.logprobs) + random.normal(0, noise, len(one.target))))
        for one, prediction in zip(items, predictions, strict=True)
    ]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_by_its_replies(own, items, reference, fault):
    planted, keys = FAULTS[fault]
    observed = replies(items, predict(own, items, [planted])[planted])
    causes = identify(own, observed, reference, NOISE, TOKENS_READ if "cut" in fault else 0)
    assert [cause.key for cause in causes] == keys
    if "full" in fault:
        assert "its base is not quantised, as that of the evaluated model is" in [cause.sentence for cause in causes]


def test_without_a_fault_there_is_no_cause(own, items, reference):
    assert identify(own, replies(items, reference), reference, NOISE) == []


@pytest.mark.parametrize("planted", [Hypothesis(factor=0.7), Hypothesis(factor=-1)])
def test_a_fault_that_is_no_hypothesis_is_not_identified(own, items, reference, planted):
    observed = replies(items, predict(own, items, [planted])[planted])
    causes = identify(own, observed, reference, NOISE)
    assert [cause.key for cause in causes] == ["unidentified"]
    assert causes[0].evidence["left"] > 2 * NOISE


def test_an_adapter_that_is_not_named_is_not_identified(own, items, reference):
    planted = Hypothesis(adapter="previous")
    observed = replies(items, predict(own, items, [planted])[planted])
    causes = identify(replace(own, others={}), observed, reference, NOISE)
    assert [cause.key for cause in causes] == ["unidentified"]


def test_the_full_base_is_no_hypothesis_where_the_run_does_not_quantise(own, items, reference):
    planted = Hypothesis(full_base=True)
    observed = replies(items, predict(own, items, [planted])[planted])
    causes = identify(replace(own, load_full=None), observed, reference, NOISE)
    assert "precision" not in [cause.key for cause in causes]
