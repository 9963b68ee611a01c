"""Models and adapters of strangers: each fault is one message before anything is loaded, and no code of theirs runs."""

import ast
import json
import os
import shutil
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.folder import RunFolder
from reports.errors import UserError
from tasks.rendering import load_tokenizer
from training.models.adapter_config import check_config
from training.models.adapters import find_adapter, locate_adapter
from training.models.architecture import model_shell
from training.models.base_model import find_base
from training.models.device import device_of
from training.models.loading import load_for_scoring
from training.recipes.recipe import ModelSection, ScoringSection

ROOT = Path(__file__).resolve().parents[3]
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def model(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def settings(folder, **more):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | more))


def weights(folder, change):
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)


def refused(adapter, base, message):
    with pytest.raises(UserError, match=message) as caught:
        find_adapter("mine", str(adapter), base)
    assert caught.value.fix


def header(path, change):
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    text = json.dumps(change(json.loads(whole[8 : 8 + length]))).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + whole[8 + length :])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(adapter, base, value):
    weights(adapter, lambda held: {key: torch.full_like(each, value) for key, each in held.items()})
    refused(adapter, base, "hold NaN or infinity")


def test_another_rank_than_declared_is_refused(adapter, base):
    settings(adapter, r=8)
    refused(adapter, base, "has rank 4, where adapter_config.json declares 8")


def test_missing_and_extra_weights_are_refused(adapter, base):
    whole = load_file(adapter / WEIGHTS)
    weights(adapter, lambda held: {key: each for key, each in held.items() if "layers.1.self_attn.q_proj" not in key})
    refused(adapter, base, r"weights are missing: of model\.layers\.1\.self_attn\.q_proj")
    save_file({key: each for key, each in whole.items() if "0.mlp.up_proj.lora_B" not in key}, adapter / WEIGHTS)
    refused(adapter, base, r"weights are missing: of model\.layers\.0\.mlp\.up_proj")
    save_file(whole | {"base_model.model.extra.weight": torch.ones(2)}, adapter / WEIGHTS)
    refused(adapter, base, "extra weight")
    save_file(whole | {"base_model.model.model.norm.weight": torch.ones(2)}, adapter / WEIGHTS)
    settings(adapter, modules_to_save=["norm"])
    refused(adapter, base, "for another base")


TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
UP = "model.layers.0.mlp.up_proj"
UNDECLARED = {
    f"base_model.model.{UP}.base_layer.weight": (128, 64),
    f"base_model.model.{UP}.weight": (128, 64),
    f"base_model.model.{UP}.bias": (128,),
    f"base_model.model.{UP}.lora_magnitude_vector": (128,),
    f"base_model.model.{UP}.lora_magnitude_vector.weight": (128,),
    f"base_model.model.{UP}.lora_B.bias": (128,),
    f"base_model.model.{UP}.lora_C.weight": (4, 64),
    f"base_model.model.{UP}.lora_A.adapter_0.weight": (4, 64),
    f"{UP}.lora_A.weight": (4, 64),
    f"{UP}.weight": (128, 64),
    f"base_model.model.base_model.model.{UP}.weight": (128, 64),
    "base_model.model.model.norm.weight": (64,),
    "base_model.model.model.norm.original_module.weight": (64,),
    "base_model.model.model.norm.modules_to_save.adapter_0.weight": (64,),
    "base_model.model.model.embed_tokens.weight": (500, 64),
    "base_model.model.lm_head.weight": (500, 64),
    "base_model.model.lm_head.base_layer.weight": (500, 64),
    "base_model.model.model.rotary_emb.inv_freq": (8,),
}


@pytest.mark.parametrize("key", UNDECLARED)
def test_weights_that_are_not_declared_are_refused(adapter, base, key):
    """PEFT loads whatever has the name of a weight: these would change the base for every model of the run."""
    save_file(load_file(adapter / WEIGHTS) | {key: torch.ones(UNDECLARED[key])}, adapter / WEIGHTS)
    refused(adapter, base, rf"the extra weight {key} is not declared")


def test_layers_that_are_no_targets_are_refused(adapter, base):
    settings(adapter, target_modules=["q_proj", "k_proj"])
    refused(adapter, base, r"the extra weight \S+ is not declared")
    settings(adapter, target_modules="all-linear")
    assert find_adapter("mine", str(adapter), base).name == "mine"
    settings(adapter, exclude_modules=["v_proj"])
    refused(adapter, base, r"the extra weight \S+v_proj\S+ is not declared")
    settings(adapter, exclude_modules=None, target_modules=TARGETS, layers_to_transform=[1])
    refused(adapter, base, r"the extra weight \S+layers\.0\S+ is not declared")


def test_declared_weights_beside_lora_are_accepted(adapter, base):
    norm = {"base_model.model.model.norm.weight": torch.ones(64)}
    save_file(load_file(adapter / WEIGHTS) | norm, adapter / WEIGHTS)
    settings(adapter, modules_to_save=["model.norm"])
    assert find_adapter("mine", str(adapter), base).name == "mine"
    settings(adapter, modules_to_save=["norm"])  # which PEFT takes for the end of a name
    refused(adapter, base, "weights are missing: of model.layers.0.input_layernorm and 3 more layers")
    settings(adapter, modules_to_save=["(a+)+$"])
    refused(adapter, base, "modules_to_save")


@pytest.mark.parametrize(("setting", "part"), [("lora_bias", "lora_B.bias"), ("use_dora", "lora_magnitude_vector")])
def test_what_dora_and_biases_need_is_accepted_and_required(adapter, base, setting, part):
    whole = load_file(adapter / WEIGHTS)
    settings(adapter, **{setting: True})
    refused(adapter, base, "weights are missing: of model.layers.0.mlp.down_proj and 13 more layers")
    for key in [key for key in whole if key.endswith("lora_B.weight")]:
        whole[key.replace("lora_B.weight", part)] = torch.ones(len(whole[key]))
    save_file(whole, adapter / WEIGHTS)
    assert find_adapter("mine", str(adapter), base).name == "mine"


def test_a_whole_embedding_needs_a_tokenizer_with_more_tokens(adapter, base, tiny_model):
    own = load_file(tiny_model / "model.safetensors")["model.embed_tokens.weight"]
    whole = load_file(adapter / WEIGHTS)
    key = "base_model.model.model.embed_tokens.weight"
    save_file(whole | {key: own}, adapter / WEIGHTS)  # as PEFT saves it beside LoRA of the head
    assert find_adapter("mine", str(adapter), base).name == "mine"
    save_file(whole | {key: torch.cat([own, own[:4]])}, adapter / WEIGHTS)
    refused(adapter, base, "is not declared")
    tokenizer = json.loads((adapter / "tokenizer.json").read_text())
    more = [tokenizer["added_tokens"][-1] | {"id": len(own) + number, "content": f"<{number}>"} for number in range(4)]
    (adapter / "tokenizer.json").write_text(json.dumps(tokenizer | {"added_tokens": tokenizer["added_tokens"] + more}))
    load_tokenizer.cache_clear()
    assert find_adapter("mine", str(adapter), base).name == "mine"
    save_file(whole | {key: torch.cat([own, own[:3]])}, adapter / WEIGHTS)
    refused(adapter, base, r"has the shape \(\d+, 64\) for \d+ tokens of width 64")


def test_whole_numbers_are_no_weights(adapter, base):
    weights(adapter, lambda held: {key: each.to(torch.int8) for key, each in held.items()})
    refused(adapter, base, "type I8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_bytes(b""), "longer than the file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-4]), "not a safetensors file"),
        (lambda path: path.write_bytes((2**63).to_bytes(8, "little") + path.read_bytes()[8:]), "longer than the file"),
        (lambda path: header(path, lambda held: dict(list(held.items())[:-1])), "not a safetensors file"),
        (
            lambda path: header(
                path, lambda held: {key: each | {"shape": [2**60, 2**60]} for key, each in held.items()}
            ),
            "not",
        ),
        (
            lambda path: header(
                path, lambda held: {key.replace("model", "\x1b[31m"): each for key, each in held.items()}
            ),
            "no name of a weight",
        ),
    ],
)
def test_headers_that_cannot_be_true_are_refused(adapter, base, model, change, message):
    change(adapter / WEIGHTS)
    refused(adapter, base, message)
    change(model / "model.safetensors")
    with pytest.raises(UserError, match="not a safetensors file"):
        find_base(ModelSection(base=str(model)))


def test_a_header_that_fills_memory_is_not_read(adapter, base):
    with (adapter / WEIGHTS).open("wb") as stream:
        stream.write((10**9).to_bytes(8, "little"))
        stream.truncate(2 * 10**9)  # a sparse file: nothing is written
    started = time.monotonic()
    refused(adapter, base, "the header has 1,000 MB")
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "name", ["adapter_config.json", WEIGHTS, "README.md", "additional_chat_templates/default.jinja"]
)
def test_links_that_lead_out_of_the_folder_are_refused(adapter, base, tmp_path, name):
    (tmp_path / "outside").write_text("secret")
    (adapter / name).unlink(missing_ok=True)
    (adapter / name).parent.mkdir(exist_ok=True)
    (adapter / name).symlink_to(tmp_path / "outside")
    refused(adapter, base, "the link leads out of its folder")


def test_a_link_to_itself_is_refused(adapter, base):
    (adapter / "loop").symlink_to("loop")
    refused(adapter, base, "the link leads back to itself")


def test_links_of_the_hubs_cache_are_followed(adapter, base, tmp_path):
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    blobs = tmp_path / "models--a--b" / "blobs"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for path in adapter.iterdir():
        shutil.copy(path, blobs / path.name)
        (snapshot / path.name).symlink_to(Path("../../blobs") / path.name)
    assert find_adapter("mine", str(snapshot), base).folder == snapshot


def test_pipes_do_not_hang_whoever_opens_them(adapter, base):
    os.mkfifo(adapter / "tokenizer.model")
    refused(adapter, base, "neither a file nor a folder")


def test_links_of_weights_and_biases_do_not_close_a_run_folder(tmp_path):
    """It links its logs to its cache. Its folder itself, which it writes to, must not be a link."""
    run, elsewhere = RunFolder(tmp_path / "run"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (run.path / "wandb/offline-run-1").mkdir(parents=True)
    (run.path / "wandb/offline-run-1/debug-core.log").symlink_to(elsewhere)
    run.make()
    (run.path / "samples/wandb").mkdir(parents=True)
    (run.path / "samples/wandb/link").symlink_to(elsewhere)
    with pytest.raises(UserError, match="leads out of its folder"):
        run.make()
    other = RunFolder(tmp_path / "other")
    other.path.mkdir()
    (other.path / "wandb").symlink_to(elsewhere)
    with pytest.raises(UserError, match="leads out of its folder"):
        other.make()


def test_a_run_folder_with_links_out_is_not_written_to(tiny_recipe, tmp_path, command):
    (tmp_path / "run").mkdir()
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "run" / "run.log").symlink_to(tmp_path / "victim")
    code, _, err = command("score", "--recipe", tiny_recipe, "--out", tmp_path / "run")
    assert code == 2
    assert "leads out of its folder" in err
    assert (tmp_path / "victim").read_text() == "mine"


@pytest.mark.parametrize("name", ["adapter_model.bin", "pytorch_model.bin"])
def test_pickles_are_refused_with_the_way_to_convert_them(adapter, model, base, name):
    (adapter / WEIGHTS).rename(adapter / name)
    refused(adapter, base, "pickled")
    (model / "model.safetensors").rename(model / name)
    with pytest.raises(UserError, match=r"pickled[^\n]*\n.*save_pretrained"):
        find_base(ModelSection(base=str(model)))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"megatron_config": {"a": 1}, "megatron_core": "os"}, "megatron_config"),
        ({"layer_replication": [[0, 10**9]]}, "layer_replication"),
        (
            {"trainable_token_indices": [10**9]},
            "trainable_token_indices names the token 1000000000, but there are only",
        ),
        ({"target_modules": "(a+)+$"}, "could take for ever"),
        ({"rank_pattern": {"(a|a)*$": 4}}, "could take for ever"),
        ({"target_modules": ".*a.*b.*c.*d.*e"}, "could take for ever"),
        ({"target_modules": ".?" * 23 + "x"}, "could take for ever"),
        ({"target_modules": ".{0,3}" * 12 + "x"}, "could take for ever"),
        ({"target_modules": "(|)" * 23 + "x"}, "could take for ever"),
        ({"target_modules": "(m|M)(o|o)(d|d)(e|e)(l|l)" * 5}, "could take for ever"),
        ({"target_modules": "([a-z]|\\w)?" * 15 + "x"}, "could take for ever"),
        ({"target_modules": r"(.*)\1\1"}, "could take for ever"),
        ({"target_modules": r"(?x)(a+) *"}, "could take for ever"),
        ({"target_modules": r"(?:\d+\.){2,}"}, "could take for ever"),
        ({"target_modules": r"(?<=a+)b"}, "no regular expression"),
        ({"alpha_pattern": {"(": 4}}, "no regular expression"),
        ({"r": 0}, "greater than or equal to 1"),
        ({"r": "4"}, "valid integer"),
        ({"lora_alpha": float("inf")}, "finite"),
        ({"task_type": "SEQ_CLS"}, "CAUSAL_LM"),
        ({"peft_type": "IA3"}, "not a LoRA adapter"),
        ({"init_lora_weights": "pissa_niter_4"}, "changes the base's own weights"),
        ({"init_lora_weights": "olora"}, "path_initial_model_for_weight_conversion"),
    ],
)
def test_settings_that_could_do_harm_are_refused(adapter, base, more, message):
    settings(adapter, **more)
    refused(adapter, base, message)


def test_patterns_that_people_use_are_taken():
    for pattern in (
        r".*\.(q|k)_proj",
        r"^(?!.*vision).*proj$",
        r"model\.layers\.(\d+)\.self_attn\.q_proj",
        r"model\.layers\.(?:[0-9]|1[0-5])\.(?:self_attn\.(?:q|k|v|o)|mlp\.(?:gate|up|down))_proj",
        r"(?i).*(query|key|value)$",
        r"(model\.)?(encoder|decoder)\.layers\.\d{1,2}\.fc[12]",
        "|".join(rf".*\.layers\.{number}\..*_proj" for number in range(32)),
        r"(?:.*?(?:language|text).*?(?:self_attn|mlp).*?(?:k_proj|v_proj).*?)|(?:\bmodel\.layers\.[\d]{1,}\.(?:k_proj))",
    ):
        assert check_config({"peft_type": "LORA", "target_modules": pattern}, Path("x")).target_modules == pattern


@pytest.mark.parametrize("source", ["../x", "a/..", "/nowhere/x", "~/none", "a/b/c", "a/b..c", "a/\0"])
def test_hub_ids_cannot_escape(source):
    with pytest.raises(UserError, match="no such adapter folder"):
        locate_adapter(source, "--models")
    with pytest.raises(UserError, match="no such model folder"):
        find_base(ModelSection(base=source))


def test_the_name_of_a_file_does_not_stand_for_its_hash_outside_the_hubs_cache(model):
    (model / "model.safetensors").rename(model / ("0" * 64))
    (model / "model.safetensors").symlink_to("0" * 64)
    spoofed = find_base(ModelSection(base=str(model))).sha256
    (model / "model.safetensors").unlink()
    (model / ("0" * 64)).rename(model / "model.safetensors")
    assert find_base(ModelSection(base=str(model))).sha256 == spoofed


def test_an_index_cannot_name_files_elsewhere(model):
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../../other.safetensors"}}))
    with pytest.raises(UserError, match="is not in the folder"):
        find_base(ModelSection(base=str(model)))


def test_a_base_without_some_of_its_weights_is_refused(model):
    held = load_file(model / "model.safetensors")
    held.pop("model.layers.1.mlp.up_proj.weight")
    save_file(held, model / "model.safetensors", {"format": "pt"})
    base = find_base(ModelSection(base=str(model)))
    with pytest.raises(UserError, match=r"hold at most 97,856, without model\.layers\.1\.mlp\.up_proj\.weight"):
        load_for_scoring(base, None, train_dtype="float32", dtype="float32", device=device_of("cpu"))


CODE = "import pathlib; pathlib.Path({!r}).write_text('ran')\nclass X: pass\n"


def test_no_code_of_a_model_runs(model, tmp_path, monkeypatch):
    """Not of its configuration, nor of its tokenizer, and nobody is asked whether it may."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    (model / "code.py").write_text(CODE.format(str(tmp_path / "ran")))
    config = json.loads((model / "config.json").read_text())
    odd = {"model_type": "unheard_of", "auto_map": {"AutoConfig": "code.X", "AutoModelForCausalLM": "code.X"}}
    (model / "config.json").write_text(json.dumps(config | odd))
    base = find_base(ModelSection(base=str(model)))
    with pytest.raises(UserError, match="does not know this kind of model"):
        model_shell(base)
    with pytest.raises(UserError, match="does not know this kind of model"):
        load_for_scoring(base, None, train_dtype="float32", dtype="float32", device=device_of("cpu"))
    tokenizer = json.loads((model / "tokenizer_config.json").read_text())
    odd = {"tokenizer_class": "X", "auto_map": {"AutoTokenizer": ["code.X", None]}}
    (model / "tokenizer_config.json").write_text(json.dumps(tokenizer | odd))
    with pytest.raises(UserError, match="cannot load its tokenizer"):
        load_tokenizer(str(model))
    assert not (tmp_path / "ran").exists()


def test_a_configuration_cannot_name_kernels_or_endless_layers(model):
    config = json.loads((model / "config.json").read_text())
    for more, message in (
        ({"attn_implementation": "evil/kernel"}, "names code from elsewhere"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is"),
    ):
        (model / "config.json").write_text(json.dumps(config | more))
        with pytest.raises(UserError, match=message):
            model_shell(find_base(ModelSection(base=str(model))))


def test_settings_of_vllm_that_name_code_are_refused():
    with pytest.raises(ValueError, match="trust_remote_code"):
        ScoringSection(vllm={"trust_remote_code": True})
    assert ScoringSection(vllm={"tensor_parallel_size": 2}).vllm


def test_every_call_that_could_run_remote_code_forbids_it():
    found = 0
    for package in ("harness", "training", "tasks", "reports"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                    continue
                owner = node.func.value
                loads = node.func.attr in ("from_pretrained", "from_config")
                if loads and isinstance(owner, ast.Name) and owner.id.startswith(("Auto", "Fast")):
                    found += 1
                    given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                    assert given.get("trust_remote_code") == "False", f"{path}, line {node.lineno}"
    assert found >= 8


def test_no_pickle_is_ever_loaded():
    for package in ("harness", "training", "tasks", "reports"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert "import pickle" not in text
            assert "torch.load(" not in text, path


@pytest.mark.parametrize(
    ("dtype", "alpha", "change", "message"),
    [
        ("float32", 1e38, lambda weight: weight, "a scale of 2.5e+37 changes model.layers.0.mlp.down_proj by up to"),
        (
            "float32",
            8.0,
            lambda weight: weight.sign() * 1e15,
            "a scale of 2 changes model.layers.0.mlp.down_proj by up to",
        ),
        ("float32", 8.0, lambda weight: weight.sign() * 3e38, "are too large for float32"),
        ("bfloat16", 8.0, lambda weight: weight.sign().double() * 1e300, "are too large for bfloat16"),
        ("float16", 4e5, lambda weight: weight.sign() * 0.01, "a scale of 1e+05 changes .* too much for float16"),
        ("float16", 8.0, lambda weight: weight.sign() * 7e4, "are too large for float16"),
    ],
)
def test_what_the_scoring_dtype_cannot_hold_is_refused(adapter, base, dtype, alpha, change, message):
    settings(adapter, lora_alpha=alpha)
    weights(adapter, lambda held: {key: change(weight) for key, weight in held.items()})
    with pytest.raises(UserError, match=message.replace("+", r"\+")):
        find_adapter("mine", str(adapter), base, dtype)


def test_alpha_patterns_count(adapter, base):
    settings(adapter, alpha_pattern={"k_proj": 1e30})
    refused(adapter, base, r"a scale of 2.5e\+29 changes model.layers.0.self_attn.k_proj")
    settings(adapter, alpha_pattern={"k_proj": 1e3}, use_rslora=True)
    assert find_adapter("mine", str(adapter), base, "float16").name == "mine"
