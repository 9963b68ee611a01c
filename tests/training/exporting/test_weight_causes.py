"""Causes found in weights: faults planted into folders made without code of medbench, and none without a fault."""

import dataclasses

import pytest
import torch

from reports.errors import UserError
from tests.conftest import make_model
from tests.training.exporting import planted
from training.exporting.value_types import ValueType, round_to, value_type
from training.exporting.weight_causes import find_weight_causes
from training.models.base_model import find_base
from training.recipes.recipe import ModelSection, QuantizationSection

Q_PROJ = "model.layers.{}.self_attn.q_proj.weight"
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A base of 128 wide layers, wide enough for every block of llama.cpp's types."""
    return make_model(tmp_path_factory.mktemp("base") / "base", width=128, layers=4)


class Case:
    """A base with an adapter, the weights they should merge to, and the causes in a folder of others."""

    def __init__(self, folder, adapter, out, *, train_dtype="bfloat16"):
        self.folder, self.adapter, self.out, self.train_dtype = folder, adapter, out, train_dtype
        self.base = planted.base_weights(folder)
        self.trained = planted.as_trained(self.base, DTYPES[train_dtype])
        self.change = planted.changes(adapter)
        self.merged = planted.plus(self.trained, self.change)

    def find(self, weights, dtype="bfloat16", others=(), *, adapter=True, quantization=True):
        """Causes in a folder of these weights."""
        planted.save(weights, self.out, self.folder, DTYPES[dtype])
        return find_weight_causes(
            find_base(ModelSection(base=str(self.folder))),
            self.adapter if adapter else None,
            self.out,
            quantization=QuantizationSection() if quantization else None,
            train_dtype=self.train_dtype,
            others=dict(others),
        )

    def keys(self, *args, **settings):
        """Their keys."""
        return [cause.key for cause in self.find(*args, **settings).causes]


@pytest.fixture(scope="module")
def adapter(model, tmp_path_factory):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    wrapped = get_peft_model(
        AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        LoraConfig(
            task_type="CAUSAL_LM",
            r=4,
            lora_alpha=4,
            init_lora_weights=False,
            target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        ),
    )
    folder = tmp_path_factory.mktemp("adapter")
    wrapped.save_pretrained(folder)
    return folder


@pytest.fixture
def case(model, adapter, tmp_path):
    return Case(model, planted.make_lora(adapter, tmp_path / "mine", seed=1, size=0.5), tmp_path / "target")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("train_dtype", ["bfloat16", "float32"])
def test_merged_weights_in_any_dtype_have_no_causes(model, adapter, tmp_path, dtype, train_dtype):
    case = Case(model, adapter, tmp_path / "target", train_dtype=train_dtype)
    findings = case.find(case.merged, dtype)
    assert (findings.causes, findings.notes) == ([], [])
    assert findings.evidence["factor"] == pytest.approx(1, abs=1e-3)


def test_a_merge_in_16_bit_arithmetic_and_float16_values_saved_as_float32_have_no_causes(case):
    half = {
        name: (weight.bfloat16() + case.change[name].bfloat16()).float() if name in case.change else weight
        for name, weight in case.trained.items()
    }
    assert case.keys(half) == []
    assert case.keys({name: weight.half().float() for name, weight in case.merged.items()}, "float32") == []


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("factor", "key"),
    [
        (0, "missing_adapter"),
        (2, "merged_twice"),
        (0.5, "adapter_scale"),
        (-1, "adapter_scale"),
        (1.5, "adapter_scale"),
    ],
)
@pytest.mark.slow
def test_the_adapters_factor_is_found(case, factor, key, dtype):
    findings = case.find(planted.plus(case.trained, case.change, factor), dtype)
    assert [cause.key for cause in findings.causes] == [key]
    assert findings.evidence["factor"] == pytest.approx(factor, abs=0.03)


@pytest.mark.parametrize("grid", planted.GRIDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.slow
def test_quantised_weights_are_named_with_their_type(case, grid, dtype):
    findings = case.find(planted.quantised(case.merged, grid), dtype)
    assert [cause.key for cause in findings.causes] == ["precision"]
    assert findings.causes[0].evidence["type"] == grid
    assert findings.causes[0].evidence["weights"] == 4 * 7


def test_merged_weights_in_nf4_again_are_named(case):
    again = case.merged | {
        name: weight for name, weight in planted.as_trained(case.merged).items() if planted.is_layer(name)
    }
    findings = case.find(again)
    assert [cause.key for cause in findings.causes] == ["precision"]
    assert findings.causes[0].evidence["type"] == "nf4"


@pytest.mark.parametrize(("factor", "key"), [(0, "missing_adapter"), (0.5, "adapter_scale"), (2, "merged_twice")])
@pytest.mark.parametrize("grid", ["q4_0", "q8_0"])
def test_two_faults_are_both_named(case, factor, key, grid):
    findings = case.find(planted.quantised(planted.plus(case.trained, case.change, factor), grid), "float16")
    assert [cause.key for cause in findings.causes] == [key, "precision"]
    assert findings.causes[1].evidence["type"] == grid


def test_weights_merged_into_the_full_precision_base_are_named(case):
    cause = case.find(planted.plus(case.base, case.change)).causes[0]
    assert cause.key == "precision"
    assert "full-precision" in cause.sentence
    both = case.find(planted.quantised(planted.plus(case.base, case.change), "q4_0"), "float16").causes
    assert [cause.key for cause in both] == ["precision", "precision"]


def test_the_published_base_is_one_fault(case):
    """Its weights are not the dequantised ones either, but that is what it is."""
    assert case.keys(case.base) == ["missing_adapter"]
    assert case.keys(planted.quantised(case.base, "q4_0"), "float16") == ["missing_adapter", "precision"]


def test_a_dense_base_has_one_form(model, adapter, tmp_path):
    case = Case(model, adapter, tmp_path / "target")
    assert case.keys(planted.plus(case.base, case.change), quantization=False) == []
    assert case.keys(case.base, quantization=False) == ["missing_adapter"]
    assert case.keys(case.base, quantization=False, adapter=False) == []
    assert case.keys(planted.plus(case.base, case.change), quantization=False, adapter=False) == ["wrong_adapter"]


@pytest.mark.parametrize("rank", [2, 4, 8])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.slow
def test_another_adapter_is_found_with_its_rank_and_named_if_it_is_known(case, tmp_path, rank, dtype):
    other = planted.make_lora(case.adapter, tmp_path / "other", seed=8, rank=rank)
    third = planted.make_lora(case.adapter, tmp_path / "third", seed=9)
    wrong = planted.plus(case.trained, planted.changes(other))
    cause = case.find(wrong, dtype).causes
    assert [item.key for item in cause] == ["wrong_adapter"]
    assert cause[0].evidence["rank"] == pytest.approx(rank, abs=2)
    named = case.find(wrong, dtype, others={"third": third, "other": other}).causes
    assert [item.key for item in named] == ["wrong_adapter"]
    assert "other (times 1)" in named[0].sentence
    assert "third" not in named[0].sentence


def test_a_second_adapter_beside_the_right_one_is_found(case, tmp_path):
    other = planted.make_lora(case.adapter, tmp_path / "other", seed=8)
    both = planted.plus(case.merged, planted.changes(other))
    for others in ({}, {"other": other}):
        causes = case.find(both, others=others).causes
        assert [cause.key for cause in causes] == ["wrong_adapter"]
        assert "besides" in causes[0].sentence


def test_another_adapter_in_quantised_weights_is_two_causes(case, tmp_path):
    other = planted.make_lora(case.adapter, tmp_path / "other", seed=8)
    wrong = planted.quantised(planted.plus(case.trained, planted.changes(other)), "q4_0")
    assert case.keys(wrong, "float16", others={"other": other}) == ["wrong_adapter", "precision"]
    assert case.keys(wrong, "float16") == ["wrong_adapter", "precision"]


def test_other_adapters_do_not_turn_the_right_one_wrong(case, tmp_path):
    other = planted.make_lora(case.adapter, tmp_path / "other", seed=8)
    assert case.keys(case.merged, others={"other": other}) == []
    assert case.keys(planted.plus(case.trained, case.change, 0.5), others={"other": other}) == ["adapter_scale"]
    assert case.keys(case.trained, others={"other": other}) == ["missing_adapter"]


@pytest.mark.slow
def test_single_weights_that_differ_are_named(case):
    name, other = Q_PROJ.format(1), Q_PROJ.format(3)
    generator = torch.Generator().manual_seed(0)
    noise = 0.05 * case.merged[name].std() * torch.randn(case.merged[name].shape, generator=generator)
    zeroed = case.merged[name].clone()
    zeroed[5] = 0
    norm = "model.layers.2.input_layernorm.weight"
    permuted = case.merged[name][torch.randperm(128, generator=generator)]
    for changed, words in (
        ({name: case.trained[name]}, f"not merged in 1 of 28 weights: {name}"),
        ({name: planted.plus(case.trained, case.change, 2)[name]}, f"another scale in 1 of 28 weights: {name}"),
        ({name: case.merged[name] + noise}, f"{name} (by "),
        ({name: zeroed}, f"{name} (1 of its 128 rows differ)"),
        ({name: permuted}, f"{name} (its rows in another order)"),
        ({norm: 1.5 * case.merged[norm]}, f"{norm} (1.5 times the base's)"),
        ({name: case.merged[other], other: case.merged[name]}, f"{name} (that of {other})"),
        ({name: torch.full_like(case.merged[name], float("nan"))}, f"1 weights hold NaN or infinity: {name}"),
    ):
        causes = case.find(case.merged | changed).causes
        assert [cause.key for cause in causes] == ["weights"], words
        assert words in causes[0].sentence, words


def test_noise_on_all_weights_is_no_known_fault(case):
    generator = torch.Generator().manual_seed(0)
    noisy = {
        name: weight + 0.05 * weight.std() * torch.randn(weight.shape, generator=generator)
        if planted.is_layer(name)
        else weight
        for name, weight in case.merged.items()
    }
    (cause,) = case.find(noisy).causes
    assert cause.key == "weights"
    assert cause.evidence["weights"] == 4 * 7
    assert cause.evidence["relative_to_base"] == pytest.approx(0.05, rel=0.1)


def test_another_model_is_named(case, tmp_path):
    other = make_model(tmp_path / "other", width=128, layers=4, seed=5)
    causes = case.find(planted.base_weights(other)).causes
    assert "weights are those of another model" in next(cause.sentence for cause in causes if cause.key == "weights")


@pytest.mark.slow
def test_names_and_shapes_that_differ_are_named(case):
    embedding = "model.embed_tokens.weight"
    more = torch.cat([case.merged[embedding], torch.zeros(4, 128)])
    name = Q_PROJ.format(0)
    for weights, words in (
        (case.merged | {embedding: more}, "embed_tokens.weight has 504 rows instead of 500"),
        ({key: weight for key, weight in case.merged.items() if key != name}, f"1 weights are missing: {name}"),
        (case.merged | {name: case.merged[name][:64]}, "has the shape [64, 128] instead of [128, 128]"),
        (case.merged | {f"{name}.absmax": torch.ones(3)}, "1 weights are not the base's"),
    ):
        causes = case.find(weights).causes
        assert [cause.key for cause in causes] == ["weights"], words
        assert words in causes[0].sentence
    assert case.keys(case.merged | {"lm_head.weight": case.merged[embedding]}) == []
    assert case.keys(case.merged | {"lm_head.weight": 0.9 * case.merged[embedding]}) == ["weights"]


@pytest.mark.parametrize("factor", [0, 1, 2])
def test_an_adapter_below_the_rounding_cannot_be_told(case, tmp_path, factor):
    mine = planted.make_lora(case.adapter, tmp_path / "weak", seed=4, size=1e-10)
    weak = Case(case.folder, mine, tmp_path / "target")
    findings = weak.find(planted.plus(weak.base, weak.change, factor), quantization=False)
    assert findings.causes == []
    assert "cannot tell" in findings.notes[0]


@pytest.mark.parametrize(("factor", "keys"), [(0, ["missing_adapter"]), (1, [])])
def test_the_zeros_of_nf4_show_an_adapter_far_below_the_rounding(case, tmp_path, factor, keys):
    mine = planted.make_lora(case.adapter, tmp_path / "weak", seed=4, size=1e-10)
    weak = Case(case.folder, mine, tmp_path / "target")
    assert weak.keys(planted.plus(weak.trained, weak.change, factor)) == keys


@pytest.mark.parametrize(("factor", "keys"), [(0, ["missing_adapter"]), (1, [])])
def test_a_weak_adapter_is_told_where_the_dtype_holds_it(case, tmp_path, factor, keys):
    weak = Case(case.folder, planted.make_lora(case.adapter, tmp_path / "weak", seed=4, size=1e-3), tmp_path / "target")
    findings = weak.find(planted.plus(weak.trained, weak.change, factor), "float32")
    assert [cause.key for cause in findings.causes] == keys
    assert findings.notes == []


def test_weights_that_are_not_dense_are_refused(case):
    name = Q_PROJ.format(0)
    planted.save(case.merged, case.out, case.folder)
    from safetensors.torch import load_file, save_file

    packed = load_file(case.out / "model.safetensors") | {name: torch.zeros(8, 1, dtype=torch.uint8)}
    save_file(packed, case.out / "model.safetensors")
    base = find_base(ModelSection(base=str(case.folder)))
    with pytest.raises(UserError, match="not dense"):
        find_weight_causes(base, case.adapter, case.out, quantization=None, train_dtype="bfloat16")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.slow
def test_factor_type_and_rank_are_right_for_any_adapter(model, adapter, tmp_path, seed):
    """Over ranks, sizes, factors and types drawn at random."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*options):
        return options[int(torch.randint(len(options), (), generator=generator))]

    rank, size = draw(1, 2, 8, 16), draw(0.2, 0.5, 1.0)
    factor, grid, dtype = draw(0, 0.25, 0.5, 1, 2, 4), draw("", *planted.GRIDS), draw(*DTYPES)
    mine = planted.make_lora(adapter, tmp_path / "mine", seed=seed, rank=rank, size=size)
    case = Case(model, mine, tmp_path / "target")
    weights = planted.plus(case.trained, case.change, factor)
    findings = case.find(planted.quantised(weights, grid) if grid else weights, dtype)
    keys = {0: ["missing_adapter"], 1: [], 2: ["merged_twice"]}.get(factor, ["adapter_scale"])
    assert [cause.key for cause in findings.causes] == keys + ["precision"] * bool(grid), (
        rank,
        size,
        factor,
        grid,
        dtype,
    )
    assert findings.evidence["factor"] == pytest.approx(factor, abs=0.05)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [1.0, 1e-3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("grid", ["", "nf4", "fp4", "int8", *planted.GRIDS])
@pytest.mark.slow
def test_the_type_of_values_is_found_from_the_values(grid, dtype, size, seed):
    values = size * torch.randn(96, 256, generator=torch.Generator().manual_seed(seed))
    rounded = round_to(values, ValueType(dtype, grid))
    result = value_type(rounded)
    assert result.name == (grid or dtype)
    if grid:
        assert result.step_energy == pytest.approx(float((rounded - values).square().mean()), rel=0.8)
    assert dataclasses.replace(value_type(values), step_energy=0) == ValueType("float32")
