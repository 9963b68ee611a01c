"""Adapters are checked against their base before anything is loaded."""

import json

import pytest

from reports.errors import UserError
from training.models.adapters import find_adapter
from training.models.base_model import find_base
from training.recipes.recipe import ModelSection


def test_a_fitting_adapter_is_found(base, adapter):
    found = find_adapter("mine", str(adapter), base)
    assert (found.name, found.folder) == ("mine", adapter)


def test_an_adapter_of_another_base_is_refused(wide_model, adapter):
    other = find_base(ModelSection(base=str(wide_model)))
    with pytest.raises(UserError, match="the adapter is for another base"):
        find_adapter("mine", str(adapter), other)


def test_an_adapter_for_layers_that_the_base_lacks_is_refused(base, adapter):
    from safetensors.torch import load_file, save_file

    weights = load_file(adapter / "adapter_model.safetensors")
    renamed = {key.replace("layers.1.", "layers.7."): value for key, value in weights.items()}
    save_file(renamed, adapter / "adapter_model.safetensors")
    with pytest.raises(UserError, match=r"layers\.7\..* which .* does not have"):
        find_adapter("mine", str(adapter), base)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "adapter_config.json").unlink(), "there is no adapter_config.json"),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "invalid JSON"),
        (
            lambda folder: (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "IA3"})),
            "not a LoRA adapter",
        ),
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"x" * 40), "not a safetensors file"),
        (lambda folder: (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin"), "pickled"),
    ],
)
def test_broken_adapter_folders_are_refused(base, adapter, change, message):
    change(adapter)
    with pytest.raises(UserError, match=message):
        find_adapter("mine", str(adapter), base)


def test_a_missing_folder_and_a_missing_hub_id_are_told_apart(base, tmp_path):
    with pytest.raises(UserError, match="no such adapter folder"):
        find_adapter("mine", str(tmp_path / "none"), base)
    with pytest.raises(UserError, match="hub model nobody/none"):
        find_adapter("mine", "nobody/none", base)


def test_a_base_without_safetensors_or_that_is_nowhere_is_refused(tmp_path):
    with pytest.raises(UserError, match="no safetensors"):
        find_base(ModelSection(base=str(tmp_path)))
    with pytest.raises(UserError, match="no such model folder"):
        find_base(ModelSection(base=str(tmp_path / "none" / "deeper")))
    with pytest.raises(UserError, match="hub model nobody/none"):
        find_base(ModelSection(base="nobody/none"))
