"""GGUF files that are written: values, tokens and settings of the merged model, compared when read back."""

import json
import math
import shutil
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Regex, decoders, pre_tokenizers

from reports.errors import UserError
from tests.training.exporting.conftest import ignore, load
from training.exporting.gguf_check import TEXTS, check_texts, compare_settings, compare_tokenizers, compare_weights
from training.exporting.gguf_export import check_gguf_type, export_gguf
from training.exporting.gguf_llama import OWN_TYPES, write_llama
from training.exporting.provenance import gguf_log_path, records
from training.models.base_model import find_full
from training.models.gguf_file import read_gguf_header
from training.models.gguf_model import convert_gguf, gguf_model
from training.models.source_kind import find_gguf

PROMPT = [[0, 5, 9, 31, 77, 140, 12, 8]]


@pytest.fixture
def merged(tiny_run, merge):
    """(log, folder) of the tiny run's adapter, merged."""
    return merge(tiny_run / "adapter")


@pytest.fixture
def write(merged, tmp_path):
    """Export the merged folder as a GGUF file: (log, file)."""

    def call(kind, target=tmp_path / "gguf" / "tiny.gguf"):
        log, folder = merged
        return export_gguf(lambda _: (folder, log), target, kind, say=ignore), target

    return call


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))


def found(file):
    """The model of a file, as `--models` finds it."""
    return find_gguf("deployed", str(file), find_full, None)


def tokenizer_of(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("kind", ["f16", "bf16", "f32"])
def test_a_16_bit_file_predicts_what_the_merged_model_does(merged, write, home, kind):
    log, file = write(kind)
    folder, _ = gguf_model(file)
    dtype = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}[kind]
    expected, actual = load(merged[1], dtype=dtype).float(), load(folder, dtype=torch.float32)
    ids = torch.tensor(PROMPT)
    assert torch.equal(expected(ids).logits, actual(ids).logits)
    answers = [model.generate(ids, max_new_tokens=20, do_sample=False) for model in (expected, actual)]
    assert torch.equal(*answers)
    assert (log.gguf.tensors, log.gguf.texts, log.gguf.written_by) == (
        len(expected.state_dict()) - 1,
        TEXTS,
        "medbench",
    )
    assert log.gguf.relative_error < 1e-3


def test_a_smaller_type_is_further_from_the_merged_model(write, tmp_path):
    logs = {kind: write(kind, tmp_path / "gguf" / f"{kind}.gguf")[0].gguf for kind in ("f16", "q8_0", "q4_0")}
    assert logs["f16"].relative_error < logs["q8_0"].relative_error < 0.01 < logs["q4_0"].relative_error < 0.2
    assert logs["f16"].mean_kl < logs["q8_0"].mean_kl < logs["q4_0"].mean_kl
    assert logs["f16"].bytes > logs["q8_0"].bytes > logs["q4_0"].bytes


def test_the_log_beside_the_file_names_its_training_rows(merged, write, home):
    log, file = write("q8_0")
    assert json.loads(gguf_log_path(file).read_text()) == log.model_dump(mode="json")
    assert gguf_log_path(file).name == "tiny.gguf.json"
    assert records(found(file)) == merged[0].trained_on
    assert sorted(path.name for path in file.parent.iterdir()) == ["tiny.gguf", "tiny.gguf.json"]
    other = shutil.copy(file, file.with_name("copied.gguf"))
    with pytest.raises(UserError, match=r"no copied\.gguf\.json beside it records the rows"):
        records(found(Path(other)))
    gguf_log_path(file).rename(gguf_log_path(Path(other)))
    write("f16", file.with_name("f16.gguf"))
    shutil.copy(gguf_log_path(file.with_name("f16.gguf")), gguf_log_path(file))
    with pytest.raises(UserError, match="does not record the hash of these weights"):
        records(found(file))


def test_nothing_is_overwritten(write):
    write("f16")
    with pytest.raises(UserError, match="never overwrites"):
        write("q8_0")


def model_of(folder, **changes):
    """Save a tiny random Llama with the settings of the first folder but for some, and its tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    source, target = folder
    config = AutoConfig.from_pretrained(source)
    for key, value in changes.items():
        setattr(config, key, value)
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config).save_pretrained(target)
    tokenizer_of(source).save_pretrained(target)
    return target


LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


@pytest.mark.parametrize(
    "changes",
    [
        {"tie_word_embeddings": False},
        {"head_dim": 32},
        {"num_key_value_heads": 4},
        {"num_key_value_heads": 1},
        {"rope_parameters": LLAMA3, "max_position_embeddings": 131072},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
        {"vocab_size": 512},
        {"eos_token_id": [1, 7]},
    ],
    ids="-".join,
)
def test_settings_of_the_family_come_back(tiny_model, tmp_path, changes):
    folder = model_of((tiny_model, tmp_path / "model"), **changes)
    write_llama(folder, tmp_path / "x.gguf", "f32", "x")
    convert_gguf(tmp_path / "x.gguf", tmp_path / "read")
    compare_settings(folder, tmp_path / "read", tokenizer_of(folder).eos_token_id)
    compare_weights(folder, tmp_path / "read", "f32", exact=True)
    ids = torch.tensor(PROMPT)
    assert torch.equal(load(folder)(ids).logits, load(tmp_path / "read")(ids).logits)


def test_mistral_without_a_window_is_the_same(tiny_model, tmp_path):
    from transformers import AutoConfig, MistralConfig, MistralForCausalLM

    settings = AutoConfig.from_pretrained(tiny_model).to_dict() | {"sliding_window": None, "model_type": "mistral"}
    MistralForCausalLM(MistralConfig(**settings)).save_pretrained(tmp_path / "model")
    tokenizer_of(tiny_model).save_pretrained(tmp_path / "model")
    write_llama(tmp_path / "model", tmp_path / "x.gguf", "f32", "mistral")
    convert_gguf(tmp_path / "x.gguf", tmp_path / "read")
    ids = torch.tensor(PROMPT)
    assert torch.equal(load(tmp_path / "model")(ids).logits, load(tmp_path / "read")(ids).logits)


def test_a_weight_too_large_for_the_type_is_one_message(tiny_model, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_model, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] = 1e6
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"too large for f16.*\n.*bf16"):
        write_llama(folder, tmp_path / "x.gguf", "f16", "x")
    write_llama(folder, tmp_path / "y.gguf", "bf16", "x")


@pytest.mark.parametrize(
    "changes",
    [{"attention_bias": True}, {"hidden_act": "gelu"}, {"rope_parameters": {**LLAMA3, "rope_type": "linear"}}],
    ids=str,
)
def test_a_model_that_the_file_would_not_describe_is_refused(tiny_model, tmp_path, changes):
    folder = model_of((tiny_model, tmp_path / "model"), **changes)
    with pytest.raises(UserError, match=r"with .* = .*\n.*MEDBENCH_LLAMA_CPP"):
        write_llama(folder, tmp_path / "x.gguf", "f16", "x")


def test_other_tokenizers_are_refused(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    tokenizer = tokenizer_of(tiny_model)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\d{2}"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.save_pretrained(folder)
    with pytest.raises(UserError, match="splits text in another way"):
        write_llama(folder, tmp_path / "x.gguf", "f16", "x")
    tokenizer.backend_tokenizer.decoder = decoders.Fuse()
    tokenizer.save_pretrained(folder)
    with pytest.raises(UserError, match=r"SentencePiece.*\n.*MEDBENCH_LLAMA_CPP"):
        write_llama(folder, tmp_path / "y.gguf", "f16", "x")


@pytest.fixture
def read_back(tiny_model, tmp_path):
    """The tiny model written as f16 and read back."""
    write_llama(tiny_model, tmp_path / "x.gguf", "f16", "x")
    convert_gguf(tmp_path / "x.gguf", tmp_path / "read")
    return tmp_path / "read"


def rows_swapped(weights):
    key = "model.layers.0.self_attn.k_proj.weight"
    weights[key] = weights[key].reshape(2, 8, 2, 64).swapaxes(1, 2).reshape(32, 64)


def one_bit(weights):
    weights["model.layers.1.mlp.down_proj.weight"][3, 5] *= 1 + 2**-9


def left_out(weights):
    del weights["model.norm.weight"]


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("fault", [rows_swapped, one_bit, left_out])
def test_wrong_weights_are_found(tiny_model, read_back, fault, exact):
    from safetensors.torch import load_file, save_file

    weights = {key: value.float() for key, value in load_file(read_back / "model.safetensors").items()}
    fault(weights)
    save_file({key: value.contiguous() for key, value in weights.items()}, read_back / "model.safetensors")
    if fault is one_bit and not exact:  # within what another program's rounding may do
        compare_weights(tiny_model, read_back, "f16", exact=False)
        return
    with pytest.raises(UserError, match="does not hold the merged model: the weights"):
        compare_weights(tiny_model, read_back, "f16", exact=exact)


def test_wrong_tokens_settings_and_ends_are_found(tiny_model, read_back):
    own = tokenizer_of(tiny_model)
    assert compare_tokenizers(own, tokenizer_of(read_back)) == TEXTS
    other = tokenizer_of(read_back)
    other.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("e", "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    with pytest.raises(UserError, match="its tokenizer splits"):
        compare_tokenizers(own, other)
    other = tokenizer_of(read_back)
    other.chat_template += " "
    with pytest.raises(UserError, match="its chat_template is"):
        compare_tokenizers(own, other)
    compare_settings(tiny_model, read_back, own.eos_token_id)
    with pytest.raises(UserError, match="answers end at the tokens"):
        compare_settings(tiny_model, read_back, 7)
    config = json.loads((read_back / "config.json").read_text())
    config["rope_parameters"]["rope_theta"] = 20000.0
    (read_back / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="its rope_parameters is"):
        compare_settings(tiny_model, read_back, own.eos_token_id)


def test_the_texts_are_many_and_of_all_kinds(tiny_model):
    texts = check_texts(tokenizer_of(tiny_model))
    assert len(texts) == len(set(texts)) == TEXTS
    assert texts == check_texts(tokenizer_of(tiny_model))
    joined = "".join(texts)
    assert all(part in joined for part in ("\n\n", "\t", "漢", "🚀", "<|end|>", "3.14", "\u00a0"))


# llama.cpp, as far as medbench sees it: a script and a program

CONVERTER = """
import shutil, sys
assert sys.argv[2] == "--outfile" and sys.argv[4] == "--outtype", sys.argv
shutil.copy({source!r}, sys.argv[3]) if {source!r} else sys.exit("ERROR: Model XForCausalLM is not supported")
"""
QUANTISER = """#!{python}
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from training.exporting.gguf_llama import write_llama
assert Path(sys.argv[1]).read_bytes()[:4] == b"GGUF", sys.argv
write_llama(Path({folder!r}), Path(sys.argv[2]), {kind!r}, "x")
"""


@pytest.fixture
def llama_cpp(tmp_path, monkeypatch):
    """Install tools: a converter that copies a file, a quantiser that writes a folder in a type that medbench can."""

    def install(*, converter=None, quantiser=None):
        folder = tmp_path / "llama.cpp"
        (folder / "build" / "bin").mkdir(parents=True)
        if converter is not None:
            (folder / "convert_hf_to_gguf.py").write_text(CONVERTER.format(source=str(converter)))
        if quantiser is not None:
            source, kind = quantiser
            root = str(Path(__file__).resolve().parents[3])
            program = folder / "build" / "bin" / "llama-quantize"
            program.write_text(QUANTISER.format(python=sys.executable, root=root, folder=str(source), kind=kind))
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("MEDBENCH_LLAMA_CPP", str(folder))

    return install


def test_without_llama_cpp_its_types_are_refused_with_what_works(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("MEDBENCH_LLAMA_CPP", raising=False)
    for kind in OWN_TYPES:
        check_gguf_type(kind)
    with pytest.raises(UserError, match=r"llama-quantize.*\n.*MEDBENCH_LLAMA_CPP.*f32, f16, bf16, q8_0, q4_0"):
        check_gguf_type("q4_k_m")
    with pytest.raises(UserError, match=r"no such type.*q4_k_m.*\n.*did you mean q4_k_m"):
        check_gguf_type("Q4_KM")
    monkeypatch.setenv("MEDBENCH_LLAMA_CPP", "/no/such/folder")
    with pytest.raises(UserError, match="no such folder"):
        check_gguf_type("q4_k_m")


@pytest.mark.slow
def test_llama_cpp_converts_and_quantises_if_it_is_there(merged, write, llama_cpp, tmp_path):
    write_llama(merged[1], tmp_path / "made.gguf", "q8_0", "x")
    llama_cpp(converter=tmp_path / "made.gguf", quantiser=(merged[1], "q4_0"))
    log, file = write("q8_0")
    assert log.gguf.written_by == "llama.cpp"
    assert file.read_bytes() == (tmp_path / "made.gguf").read_bytes()
    log, _ = write("q4_k_m", tmp_path / "gguf" / "small.gguf")
    assert (log.gguf.written_by, log.gguf.type) == ("llama.cpp", "q4_k_m")
    assert 0.01 < log.gguf.relative_error < 0.2


@pytest.mark.slow
def test_a_quantiser_alone_gets_medbenchs_own_file(merged, write, llama_cpp):
    llama_cpp(quantiser=(merged[1], "q4_0"))
    assert write("q5_k_m")[0].gguf.written_by == "llama.cpp"
    assert math.isfinite(write("f16", Path(str(merged[1]) + ".gguf"))[0].gguf.mean_kl)


def test_a_wrong_file_of_llama_cpp_is_not_saved(merged, write, llama_cpp, tiny_model, tmp_path):
    write_llama(tiny_model, tmp_path / "base.gguf", "q8_0", "x")  # the base, without the adapter
    llama_cpp(converter=tmp_path / "base.gguf")
    with pytest.raises(UserError, match="more than q8_0 explains"):
        write("q8_0")
    assert list((tmp_path / "gguf").iterdir()) == []


def test_a_failing_converter_is_one_message(write, llama_cpp, tmp_path):
    llama_cpp(converter="")
    with pytest.raises(UserError, match=r"convert_hf_to_gguf\.py failed: ERROR: Model XForCausalLM is not supported"):
        write("f16")
    assert list((tmp_path / "gguf").iterdir()) == []


def test_other_architectures_need_llama_cpp(merged, write):
    config = json.loads((merged[1] / "config.json").read_text())
    (merged[1] / "config.json").write_text(json.dumps({**config, "architectures": ["GPTNeoXForCausalLM"]}))
    with pytest.raises(UserError, match=r"Llama family only, not of GPTNeoXForCausalLM.*\n.*MEDBENCH_LLAMA_CPP"):
        write("f16")


def test_a_row_that_fills_no_block_stays_in_16_bits(tiny_model, tmp_path):
    folder = model_of((tiny_model, tmp_path / "model"), intermediate_size=72)
    write_llama(folder, tmp_path / "x.gguf", "q8_0", "x")
    convert_gguf(tmp_path / "x.gguf", tmp_path / "read")
    compare_weights(folder, tmp_path / "read", "q8_0", exact=True)
    tensors = read_gguf_header(tmp_path / "x.gguf").tensors
    assert (tensors["blk.0.ffn_down.weight"].type, tensors["blk.0.ffn_up.weight"].type) == ("F16", "Q8_0")
    assert np.prod(tensors["blk.0.ffn_down.weight"].shape) == 72 * 64
