"""Headers of safetensors files are read, or refused in words."""

import json

import pytest
import torch
from safetensors.torch import save_file

from reports.errors import UserError
from training.models.safetensors_file import Tensor, check_finite, read_header

ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def with_header(path, header, *, length=None, data=8):
    text = json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + bytes(data))
    return path


def test_a_header_has_the_type_and_shape_of_each_tensor(tmp_path):
    save_file({"a": torch.zeros(2, 3), "b": torch.zeros(4, dtype=torch.bfloat16)}, tmp_path / "a.safetensors")
    assert read_header(tmp_path / "a.safetensors") == {"a": Tensor("F32", (2, 3)), "b": Tensor("BF16", (4,))}


@pytest.mark.parametrize(
    ("header", "settings", "what"),
    [
        ({"a": ONE}, {"length": 10**6}, "the header is longer than the file, which was cut off or is of another kind"),
        ({"a": ONE}, {"data": 7}, "Error while deserializing header: incomplete metadata, file not fully covered"),
        ({"a" * 501: ONE}, {}, f"the name {'a' * 60!r} is no name of a weight"),
        ({"a\n": ONE}, {}, "the name 'a\\n' is no name of a weight"),
    ],
)
def test_a_header_that_cannot_be_true_is_refused(tmp_path, header, settings, what):
    path = with_header(tmp_path / "a.safetensors", header, **settings)
    with pytest.raises(UserError) as caught:
        read_header(path)
    assert caught.value.what == f"not a safetensors file that can be read: {what}"
    assert (caught.value.where, caught.value.fix) == (str(path), "fetch or save it again")


def test_a_name_of_500_characters_and_an_empty_tensor_are_none_of_them(tmp_path):
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    path = with_header(tmp_path / "a.safetensors", {"a" * 500: empty}, data=0)
    assert read_header(path) == {"a" * 500: Tensor("F32", (0,))}


def test_a_file_of_fewer_bytes_than_a_length_or_none_at_all_is_refused(tmp_path):
    (tmp_path / "short").write_bytes(bytes(7))
    with pytest.raises(UserError, match="the header is longer than the file"):
        read_header(tmp_path / "short")
    with pytest.raises(UserError) as caught:
        read_header(tmp_path / "none")
    expected = ("cannot read the file (No such file or directory)", str(tmp_path / "none"), "check its rights")
    assert (caught.value.what, caught.value.where, caught.value.fix) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_named(tmp_path, value):
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(3), "b": torch.tensor([1.0, value]), "c": torch.ones(2, dtype=torch.int64)}, path)
    with pytest.raises(UserError) as caught:
        check_finite(path)
    fix = "train it again with a lower learning rate, or take an earlier checkpoint"
    assert (caught.value.what, caught.value.where, caught.value.fix) == (
        "the weights b hold NaN or infinity",
        str(path),
        fix,
    )
    save_file({"a": torch.ones(3), "c": torch.ones(2, dtype=torch.int64)}, path)
    check_finite(path)
