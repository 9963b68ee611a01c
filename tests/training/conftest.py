"""What tests of training share: the tiny model as a base, and an adapter of it that may be spoiled."""

import shutil

import pytest

from training.models.base_model import find_base
from training.recipes.recipe import ModelSection


@pytest.fixture
def base(tiny_model):
    return find_base(ModelSection(base=str(tiny_model)))


@pytest.fixture
def adapter(tiny_run, tmp_path):
    return shutil.copytree(tiny_run / "adapter", tmp_path / "mine")
