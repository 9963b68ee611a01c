"""Plans: true parameter counts of the known set-ups, and what happens to the rows, without any weights."""

import json

import pytest

from reports.errors import UserError
from tests.conftest import make_tokenizer
from tests.fake_torch import fake_torch
from training.memory_estimate import Training, estimated_memory
from training.models.base_model import find_base_config
from training.models.device import Cuda, Device
from training.preflight import preflight
from training.recipes.recipe_file import load_recipe
from training.splits import training_rows

LLAMA_8B = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32}
LLAMA_3B = {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24}
LLAMA_3B |= {"head_dim": 128, "tie_word_embeddings": True}
ATTENTION = "lora.target_modules=[q_proj,k_proj,v_proj,o_proj]"
CPU, CPU_WITHOUT_BFLOAT16 = Device(fake_torch()), Device(fake_torch(bf16=False))
CARD = Cuda(fake_torch(cuda=True))
OWN_ROWS = [
    "data.train={source: 'samples:reasoning_train'}",
    "data.reasoning={source: 'samples:reasoning_heldout'}",
    "data.reasoning_rows=null",
]


@pytest.fixture
def base(tmp_path):
    """A base of which there is only the configuration and a tokenizer."""

    def make(shape, **more):
        config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_attention_heads": 32}
        config |= {"num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192} | shape | more
        make_tokenizer(["some text for the tokenizer"] * 3).save_pretrained(tmp_path)
        (tmp_path / "config.json").write_text(json.dumps(config))
        return f"model.base={tmp_path}"

    return make


@pytest.mark.parametrize(
    ("name", "shape", "settings", "trainable"),
    [
        ("deepseek-r1-llama-8b", LLAMA_8B, [], 41_943_040),
        ("llama3-8b-pubmedqa", LLAMA_8B, [], 41_943_040),
        ("llama3-8b-pubmedqa", LLAMA_8B, [ATTENTION], 13_631_488),
        ("llama32-3b-think", LLAMA_3B, ["data.validation=null"], 24_313_856),
        ("mistral-7b-alpaca", LLAMA_8B | {"vocab_size": 32768}, ["data.validation_rows=4"], 41_943_040),
        ("llama31-8b-huatuo", LLAMA_8B, [], 13_631_488),
    ],
)
def test_the_known_set_ups_have_their_true_number_of_trainable_parameters(base, name, shape, settings, trainable):
    recipe = load_recipe(name, [base(shape), *OWN_ROWS, *settings])
    facts = preflight(recipe, find_base_config(recipe.model), training_rows(recipe), CPU)
    # LoRA adds r * (inputs + outputs) to each layer it changes.
    heads, hidden, inner = 8 * 128, shape["hidden_size"], shape["intermediate_size"]
    attention = 2 * (hidden + hidden) + 2 * (hidden + heads)
    feed_forward = 3 * (hidden + inner) if "up_proj" in recipe.lora.target_modules else 0
    assert facts.trainable == 16 * shape["num_hidden_layers"] * (attention + feed_forward) == trainable


def test_the_memory_of_an_8b_recipe_is_near_what_was_measured(base):
    """benchmarks/results/gpu/llama8b-random.json: 5.83 GB at batch 2 with rows of up to about 1,000 tokens."""
    recipe = load_recipe("llama31-8b-huatuo", [base(LLAMA_8B, vocab_size=49152), "trainer.packing=false"])
    training = Training(recipe, find_base_config(recipe.model), [1000, 400], CARD, "unsloth")
    assert sum(estimated_memory(training, 13_631_488).values()) == pytest.approx(5.83e9, rel=0.15)


@pytest.mark.parametrize(
    ("settings", "lengths", "backend", "tokens"),
    [
        (["trainer.packing=false"], [100, 700], "trl", 2 * 700),
        ([], [100, 700], "unsloth", 2 * 700),  # it pads
        ([], [100] * 7 + [700], "trl", 1400),  # a step of 2 x 4 rows
        ([], [700] * 20, "trl", 5600),  # the 8 rows of a step
        ([], [1000] * 20, "trl", 6144),  # one and a half times 2 x 2,048
        (["trainer.gradient_checkpointing=false"], [1000] * 20, "trl", 4096),
        (["trainer.batch_size=1", "trainer.gradient_accumulation=8", "trainer.max_length=600"], [800] * 9, "trl", 900),
    ],
)
def test_the_tokens_of_a_sequence_are_those_of_the_longest_step(base, settings, lengths, backend, tokens):
    recipe = load_recipe("deepseek-r1-llama-8b", [base(LLAMA_8B), *settings])
    assert Training(recipe, find_base_config(recipe.model), lengths, CARD, backend).tokens == tokens


IN_LAYERS = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)  # of 8,030,261,248 weights
LARGEST_LAYER = 4096 * 14336


@pytest.mark.parametrize(
    ("settings", "bytes_per_weight", "in_16_bits"),
    [
        (["quantization={method: nf4, double_quant: true}"], 0.5 + (1 + 4 / 256) / 64, LARGEST_LAYER),
        (["quantization={method: nf4, double_quant: false}"], 0.5 + 4 / 64, LARGEST_LAYER),
        (["quantization={method: int8}"], 1, LARGEST_LAYER),
        (["quantization={method: none}"], 2, 0),
    ],
)
def test_a_base_takes_the_bytes_of_its_quantisation(base, settings, bytes_per_weight, in_16_bits):
    recipe = load_recipe("deepseek-r1-llama-8b", [base(LLAMA_8B), *settings])
    memory = estimated_memory(Training(recipe, find_base_config(recipe.model), [500], CARD, "trl"), 1000)
    rest = 2 * (8_030_261_248 - IN_LAYERS)
    assert memory["base weights"] == round(IN_LAYERS * bytes_per_weight) + rest
    assert memory["one layer dequantised"] == 2 * in_16_bits
    assert "process and libraries" not in memory


@pytest.mark.parametrize(("optimizer", "states"), [("adamw_8bit", 2), ("adamw_torch", 8)])
def test_the_states_of_an_optimizer_have_8_or_32_bits_each(base, optimizer, states):
    recipe = load_recipe("deepseek-r1-llama-8b", [base(LLAMA_8B), f"trainer.optimizer={optimizer}"])
    memory = estimated_memory(Training(recipe, find_base_config(recipe.model), [500], CARD, "trl"), 1000)
    assert [memory[name] for name in ("adapter", "gradients", "optimizer")] == [4000, 4000, 1000 * states]


@pytest.mark.parametrize(
    ("checkpointing", "backend", "vectors", "layers_kept"),
    [
        ("offload", "trl", 5 * 4096, 1),
        ("true", "trl", 32 * 4096, 1),
        ("false", "trl", 0, 32),
        ("offload", "unsloth", 5 * 4096, 1),
    ],
)
def test_activations_are_those_of_one_layer_and_the_inputs_of_the_others(
    base, checkpointing, backend, vectors, layers_kept
):
    recipe = load_recipe("deepseek-r1-llama-8b", [base(LLAMA_8B), f"trainer.gradient_checkpointing={checkpointing}"])
    training = Training(recipe, find_base_config(recipe.model), [100, 300], CARD, backend)
    layer = 9 * 4096 + 3 * 14336 if backend == "trl" else 13 * 4096 + 5 * 14336
    memory, tokens = estimated_memory(training, 8), 400 if backend == "trl" else 2 * 300
    assert memory["activations"] == 2 * tokens * (vectors + layers_kept * layer)
    assert memory["logits"] == 3 * 256 * 128256 * 4


def test_on_a_cpu_the_estimate_is_of_the_process(base):
    recipe = load_recipe("deepseek-r1-llama-8b", [base(LLAMA_8B), "model.dtype=auto"])
    model = find_base_config(recipe.model)
    cpu, card = (estimated_memory(Training(recipe, model, [500], device, "trl"), 8) for device in (CPU, CARD))
    wide = estimated_memory(Training(recipe, model, [500], CPU_WITHOUT_BFLOAT16, "trl"), 8)
    assert {*cpu} - {*card} == {"process and libraries"}
    assert cpu["activations"] > card["activations"]  # nothing to offload to
    assert wide["activations"] == 2 * cpu["activations"]


def test_full_finetuning_is_computed_from_the_same_components(base):
    recipe = load_recipe("llama31-8b-huatuo", [base(LLAMA_8B), *OWN_ROWS, "trainer.max_length=1000"])
    facts = preflight(recipe, find_base_config(recipe.model), training_rows(recipe), CPU)
    assert facts.total == 8_030_261_248
    assert list(facts.full_memory) == list(facts.memory)
    # 2 bytes a weight, 2 a gradient, 2 states of 4 bytes each; what passes through the model is the same.
    assert facts.full_memory["base weights"] == facts.full_memory["gradients"] == 2 * facts.total
    assert facts.full_memory["optimizer"] == 8 * facts.total
    assert facts.full_memory["adapter"] == facts.full_memory["one layer dequantised"] == 0
    assert all(facts.full_memory[name] == facts.memory[name] for name in ("activations", "logits"))


def test_what_is_cut_dropped_and_learned_is_counted(tiny_recipe):
    recipe = load_recipe(str(tiny_recipe), ["data.validation_rows=null", "trainer.eval_steps=null"])
    base, rows = find_base_config(recipe.model), training_rows(recipe)
    whole = preflight(recipe, base, rows, CPU)
    assert (whole.rows, whole.truncated, whole.ended, whole.dropped) == (8, 7, 1, [])
    assert whole.lengths[100] == 512
    assert whole.example[0][0].endswith("assistant\n")
    assert whole.example[1][0].startswith("## Thinking")


def test_rows_without_reasoning_need_a_format_without(tiny_model):
    settings = [f"model.base={tiny_model}", "data.train={source: 'samples:pubmedqa', kind: pubmedqa}"]
    recipe = load_recipe("quickstart", settings)
    with pytest.raises(UserError, match="the rows have no reasoning"):
        preflight(recipe, find_base_config(recipe.model), training_rows(recipe), CPU)
    recipe = load_recipe("quickstart", [*settings, "format.name=medical-question", "format.chat_template=never"])
    facts = preflight(recipe, find_base_config(recipe.model), training_rows(recipe), CPU)
    assert facts.example[0][0].startswith("MEDICAL QUESTION: ")
    assert facts.example[1][0].startswith((" Yes. ", " No. ", " Maybe. "))


def test_the_command_prints_the_plan(command, tiny_recipe):
    code, out, err = command("plan", tiny_recipe)
    assert code == 0, err
    for words in ("8,192 trainable parameters", "end token learned", "trained part:", "all weights", "estimated time"):
        assert words in out


def test_the_plan_says_what_became_of_every_row(command, tiny_recipe, write_rows):
    rows = [{"Question": f"{n % 4}?", "Complex_CoT": "" if n == 5 else "So.", "Response": "Yes."} for n in range(8)]
    settings = ["--set", f"data={{train: {{source: {write_rows(*rows)}, unusable_rows: drop}}}}", "--set"]
    code, out, err = command("plan", tiny_recipe, *settings, "trainer.eval_steps=null")
    assert code == 0, err
    for line in (
        "rows.jsonl (all rows), 8 rows read as reasoning (question: Question, reasoning: Complex_CoT",
        "3 duplicates removed, 1 unusable left out, 0 gold answers that violate the format",
        "3 of 8 rows repeat earlier ones and are left out; --set data.keep_duplicates=true trains on them",
        "no reasoning, which the format thinking-headings asks for (1)",
        "rows: 4 trained on, 0 to validate, 0 dropped",
    ):
        assert line in out
