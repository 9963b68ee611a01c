"""GGUF files become model folders with the values, tokenizer and settings that they hold, or one message."""

import shutil
import struct
import tracemalloc
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reports.errors import UserError
from reports.files import sha256_file
from tests.conftest import make_model
from training.exporting.gguf_llama import Weights, write_llama
from training.models.gguf_file import read_gguf_header
from training.models.gguf_model import convert_gguf, gguf_model


def rewrite(source, target, *, values=None, tensors=None, without=()):
    """Copy a GGUF file with other metadata values and other tensors: name -> (array, type)."""
    from gguf import GGUFReader, GGUFValueType, GGUFWriter

    reader, writer = (
        GGUFReader(source),
        GGUFWriter(target, values.pop("general.architecture", "llama") if values else "llama"),
    )
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key in {"general.architecture", *without, *(values or {})}:
            continue
        kind = field.types[0]
        writer.add_key_value(key, field.contents(), kind, field.types[-1] if kind == GGUFValueType.ARRAY else None)
    for key, value in (values or {}).items():
        kinds = {bool: "BOOL", int: "UINT32", float: "FLOAT32", str: "STRING", list: "ARRAY"}
        writer.add_key_value(key, value, GGUFValueType[kinds[type(value)]])
    for tensor in reader.tensors:
        if tensor.name in without:
            continue
        data, kind = (tensors or {}).pop(tensor.name, (tensor.data, tensor.tensor_type))
        writer.add_tensor(tensor.name, np.array(data), raw_dtype=kind)
    for name, (data, kind) in (tensors or {}).items():
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


@pytest.fixture(scope="session")
def tiny_gguf(tiny_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_llama(tiny_model, path, "f16", "tiny")
    return path


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def weights(folder):
    with ExitStack() as stack:
        opened = Weights(folder, stack)
        return {key: opened.read(key) for key in opened.shapes}


def test_the_folder_has_the_files_weights_tokenizer_and_template(tiny_gguf, tiny_model, home):
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    said: list[str] = []
    folder, _ = gguf_model(tiny_gguf, said.append)
    assert folder.parent == home / "models"
    assert any("bfloat16" in line for line in said)  # the values of the bfloat16 model, also in the f16 file
    own, read = AutoTokenizer.from_pretrained(tiny_model), AutoTokenizer.from_pretrained(folder)
    assert read.chat_template == own.chat_template
    assert (read.bos_token, read.eos_token, read.pad_token) == ("<|start|>", "<|end|>", "<|end|>")
    text = "<|start|>user\nIs 3.14 > 3?\n\n  naïve 漢字 don't<|end|>"
    assert read(text).input_ids == own(text).input_ids
    assert read.decode(read(text).input_ids) == text
    assert GenerationConfig.from_pretrained(folder).eos_token_id == [own.eos_token_id]
    expected, actual = (
        AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32) for path in (tiny_model, folder)
    )
    ids = torch.tensor([own(text).input_ids])
    assert torch.equal(expected(ids).logits, actual(ids).logits)


def test_a_file_is_converted_once(tiny_gguf, home):
    first, digest = gguf_model(tiny_gguf)
    said: list[str] = []
    copied = shutil.copy(tiny_gguf, home / "other-name.gguf")
    assert gguf_model(copied, said.append) == (first, digest) == (first, sha256_file(tiny_gguf))
    assert said == []
    assert {path.name for path in (home / "models").iterdir()} == {first.name, f".{first.name}.lock"}


def test_values_that_16_bits_would_round_stay_in_float32(tiny_gguf, tmp_path):
    from gguf import GGMLQuantizationType

    norm = np.full(64, 1 + 2**-20, np.float32)
    path = rewrite(tiny_gguf, tmp_path / "x.gguf", tensors={"output_norm.weight": (norm, GGMLQuantizationType.F32)})
    assert convert_gguf(path, tmp_path / "read") == "float32"
    assert np.array_equal(weights(tmp_path / "read")["model.norm.weight"], norm)


@pytest.mark.parametrize("kind", ["Q4_K", "Q6_K", "Q8_0"])
def test_quantised_blocks_are_read_as_the_gguf_package_dequantises_them(kind, tmp_path):
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

    write_llama(make_model(tmp_path / "wide", width=256, layers=1), tmp_path / "f16.gguf", "f16", "wide")
    type_ = GGMLQuantizationType[kind]
    block, size = GGML_QUANT_SIZES[type_]
    blocks = np.random.default_rng(0).integers(0, 0x30, (512, 256 // block * size), np.uint8)  # small scales, no NaN
    path = rewrite(tmp_path / "f16.gguf", tmp_path / "x.gguf", tensors={"blk.0.ffn_up.weight": (blocks, type_)})
    convert_gguf(path, tmp_path / "read")
    read = weights(tmp_path / "read")["model.layers.0.mlp.up_proj.weight"]
    assert np.array_equal(read, dequantize(blocks, type_))
    assert np.abs(read).max() > 0


def test_special_tokens_and_ends_are_those_of_the_file(tiny_gguf, tmp_path):
    from transformers import AutoTokenizer, GenerationConfig

    values = {"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.eot_token_id": 7}
    convert_gguf(rewrite(tiny_gguf, tmp_path / "x.gguf", values=values), tmp_path / "read")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "read")
    assert tokenizer("Rest.").input_ids[0] == tokenizer.bos_token_id
    assert tokenizer("Rest.", add_special_tokens=False).input_ids[0] != tokenizer.bos_token_id
    assert GenerationConfig.from_pretrained(tmp_path / "read").eos_token_id == [tokenizer.eos_token_id, 7]


def test_a_name_does_not_change_the_kind_of_model(tiny_gguf, tmp_path):
    from transformers import AutoConfig

    convert_gguf(rewrite(tiny_gguf, tmp_path / "x.gguf", values={"general.name": "mistral"}), tmp_path / "read")
    assert AutoConfig.from_pretrained(tmp_path / "read").model_type == "llama"


def test_text_is_split_as_the_file_says(tiny_gguf, tmp_path):
    from transformers import AutoTokenizer

    convert_gguf(rewrite(tiny_gguf, tmp_path / "x.gguf", values={"tokenizer.ggml.pre": "smollm"}), tmp_path / "read")
    split = AutoTokenizer.from_pretrained(tmp_path / "read").backend_tokenizer.pre_tokenizer.pre_tokenize_str
    assert [piece for piece, _ in split("in 2023")] == ["in", "Ġ", "2", "0", "2", "3"]


def test_a_sentencepiece_vocabulary_is_merged_by_its_scores(tmp_path, tiny_gguf):
    from transformers import AutoTokenizer

    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "▁a", "ab", "▁ab"]
    scores = [0.0] * 259 + [-10.0, -11.0, -12.0, -2.0, -1.0, -3.0]
    values = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens + [f"[PAD{place}]" for place in range(len(tokens), 500)],
        "tokenizer.ggml.scores": scores + [0.0] * (500 - len(tokens)),
        "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, *[1] * 6, *[5] * (500 - len(tokens))],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }
    drop = ("tokenizer.ggml.merges", "tokenizer.ggml.add_bos_token", "tokenizer.ggml.pre")
    convert_gguf(rewrite(tiny_gguf, tmp_path / "x.gguf", values=values, without=drop), tmp_path / "read")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "read")
    pieces = tokenizer.convert_ids_to_tokens(tokenizer("ab a é").input_ids)
    assert pieces == ["<s>", "▁ab", "▁a", "▁", "<0xC3>", "<0xA9>"]
    assert tokenizer.decode(tokenizer("ab a é").input_ids, skip_special_tokens=True) == "ab a é"


@pytest.mark.parametrize(
    ("values", "without", "message"),
    [
        ({"general.architecture": "no-such"}, (), "architecture 'no-such'.*\n.*served:"),
        ({"tokenizer.ggml.pre": "unheard-of"}, (), "pre-tokenizer 'unheard-of'"),
        ({}, ("tokenizer.ggml.pre",), "pre-tokenizer None"),
        ({"tokenizer.ggml.model": "rwkv"}, (), "model 'rwkv'"),
        ({"tokenizer.ggml.eos_token_id": 5000}, (), "outside the vocabulary"),
        ({"tokenizer.ggml.merges": ["no-pair"]}, (), "tokenizer cannot be read"),
        ({"tokenizer.ggml.tokens": ["a", "a"]}, (), "tokenizer cannot be read"),
        ({"llama.rope.scaling.type": "linear"}, (), "rope.scaling.type = linear"),
        ({"llama.expert_count": 8}, (), "expert_count = 8"),
        ({"llama.block_count": 3}, (), "weights model.layers.2.* are missing"),
        ({"llama.block_count": 1 << 23}, (), "8388608 layers"),
        ({"llama.embedding_length": 128}, (), "has the shape"),
        ({"llama.attention.key_length": 8}, (), "key_length = 8"),
        ({}, ("blk.1.ffn_up.weight",), "up_proj.* are missing"),
    ],
)
def test_what_would_be_another_model_is_refused(tiny_gguf, tmp_path, values, without, message):
    path = rewrite(tiny_gguf, tmp_path / "x.gguf", values=dict(values), without=without)
    with pytest.raises(UserError, match=message):
        convert_gguf(path, tmp_path / "read")


def test_tensors_that_are_not_read_and_nan_are_refused(tiny_gguf, tmp_path):
    from gguf import GGMLQuantizationType

    kind = GGMLQuantizationType.F32
    for name, data, message in (
        ("blk.0.attn_q.bias", np.zeros(64, np.float32), "attn_q.bias is not one that transformers reads"),
        ("rope_freqs.weight", np.full(8, 3, np.float32), "not those of Llama 3"),
        ("output_norm.weight", np.full(64, np.nan, np.float32), "NaN"),
    ):
        path = rewrite(tiny_gguf, tmp_path / f"{name}.gguf", tensors={name: (data, kind)})
        with pytest.raises(UserError, match=message):
            convert_gguf(path, tmp_path / "read")


def test_cut_files_are_one_message(tiny_gguf, tmp_path):
    raw, path = tiny_gguf.read_bytes(), tmp_path / "cut.gguf"
    for length in (0, 3, 4, 8, 23, 100, 5000, len(raw) // 2, len(raw) - 64):
        path.write_bytes(raw[:length])
        with pytest.raises(UserError, match="not a GGUF file that can be read"):
            read_gguf_header(path)


@pytest.mark.parametrize(
    ("at", "form", "value"),
    [
        (4, "<I", 1),  # version
        (4, ">I", 3),  # byte order
        (8, "<Q", 1 << 60),  # tensors
        (16, "<Q", 1 << 60),  # entries
        (24, "<Q", 1 << 62),  # length of the first key
    ],
)
def test_huge_numbers_cost_no_memory(tiny_gguf, tmp_path, at, form, value):
    raw = bytearray(tiny_gguf.read_bytes())
    struct.pack_into(form, raw, at, value)
    (tmp_path / "x.gguf").write_bytes(raw)
    tracemalloc.start()
    with pytest.raises(UserError, match="not a GGUF file"):
        read_gguf_header(tmp_path / "x.gguf")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_a_huge_array_or_shape_costs_no_memory(tmp_path):
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k"
    for tail in (
        struct.pack("<IIQ", 9, 0, 1 << 60),
        struct.pack("<IIQ", 9, 8, 1 << 60),
        struct.pack("<IIQ", 9, 9, 4),
        struct.pack("<IIQ", 9, 0, 1 << 21),
        struct.pack("<I", 77),
    ):
        (tmp_path / "x.gguf").write_bytes(head + tail)
        with pytest.raises(UserError, match="not a GGUF file"):
            read_gguf_header(tmp_path / "x.gguf")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_the_header_is_read_or_one_message(tiny_gguf, tmp_path, data):
    raw = bytearray(tiny_gguf.read_bytes())
    header_end = len(raw) - 2 * read_gguf_header(tiny_gguf).elements
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, header_end) | st.integers(0, 2000))
        raw[at : at + 8] = data.draw(st.binary(min_size=1, max_size=8) | st.sampled_from([b"\xff" * 8, b"\0" * 8]))
    path = tmp_path / "x.gguf"
    path.write_bytes(raw)
    tracemalloc.start()
    try:
        header = read_gguf_header(path)
        assert header.elements <= 32 * len(raw)
    except UserError as error:
        assert "\n  fix: " in str(error)  # noqa: PT017 - either outcome is right
    finally:
        assert tracemalloc.get_traced_memory()[1] < 50e6
        tracemalloc.stop()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_a_file_becomes_a_folder_or_one_message(tiny_gguf, tmp_path, data):
    raw = bytearray(tiny_gguf.read_bytes())
    header_end = len(raw) - 2 * read_gguf_header(tiny_gguf).elements
    at = data.draw(st.integers(24, header_end))
    raw[at : at + 4] = data.draw(st.binary(min_size=1, max_size=4))
    path = tmp_path / "x.gguf"
    path.write_bytes(raw)
    try:
        convert_gguf(path, tmp_path / "read")
    except UserError as error:
        assert "\n  fix: " in str(error)  # noqa: PT017 - either outcome is right
    shutil.rmtree(tmp_path / "read", ignore_errors=True)
