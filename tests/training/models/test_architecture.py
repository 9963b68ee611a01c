"""A base's layers are read from its configuration, and remembered."""

import json
import shutil
from dataclasses import replace

import pytest

from reports.errors import UserError
from training.models.architecture import architecture
from training.models.base_model import find_base
from training.recipes.recipe import ModelSection


@pytest.fixture
def base(tiny_model, tmp_path, monkeypatch):
    """A base that nothing is known of."""
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    architecture.cache_clear()
    yield find_base(ModelSection(base=str(tiny_model)))
    architecture.cache_clear()


def test_layers_are_built_once_and_then_read(base, tmp_path):
    built = architecture(base)
    assert {name.rpartition(".")[2] for name in built.linear} > {"q_proj", "down_proj"}
    assert built.parameters > 0
    (path,) = (tmp_path / "home" / "architectures").iterdir()
    architecture.cache_clear()
    assert architecture(base) == built
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value | {"layers": 99}))
    architecture.cache_clear()
    assert architecture(base) == replace(built, layers=99)
    path.write_text(json.dumps({"linear": 3}))
    architecture.cache_clear()
    assert architecture(base) == built
    assert json.loads(path.read_text()) == value


def test_another_configuration_is_another_architecture(base, tmp_path):
    folder = shutil.copytree(base.folder, tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    other = architecture(find_base(ModelSection(base=str(folder))))
    assert other.layers == 1
    assert other.parameters < architecture(base).parameters


def test_an_unknown_kind_of_model_is_one_message(base, tmp_path):
    folder = shutil.copytree(base.folder, tmp_path / "other")
    (folder / "config.json").write_text(json.dumps({"model_type": "no-such-kind"}))
    with pytest.raises(UserError, match="does not know this kind of model"):
        architecture(find_base(ModelSection(base=str(folder))))
