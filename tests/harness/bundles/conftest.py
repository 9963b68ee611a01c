"""A hub on this machine with synthetic data sets and the tiny model, and bundles made from it."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

import harness
from tests.benchmark_data import write_all, write_pubmedqa
from tests.conftest import tiny_recipe_value
from tests.local_hub import Repository, local_hub

BASE, PUBMEDQA = "owner/tiny", "qiaojin/PubMedQA"


@contextmanager
def connected(address, cache):
    """Let the hub's library, which reads its settings when it is imported, ask the hub at an address meanwhile."""
    from huggingface_hub import constants

    settings = {
        "HF_HUB_OFFLINE": False,
        "ENDPOINT": address,
        "HUGGINGFACE_CO_URL_TEMPLATE": address + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(cache),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setattr(constants, name, value)
        yield


@pytest.fixture(scope="session")
def data_folders(tmp_path_factory):
    """Folders of the synthetic data sets, by the ids of the public ones whose schema they have."""
    folder = tmp_path_factory.mktemp("data")
    return {**write_all(folder), PUBMEDQA: str(write_pubmedqa(folder))}


def all_repositories(data_folders, tiny_model):
    sets = {name: Repository(Path(path)) for name, path in data_folders.items()}
    return {**sets, BASE: Repository(tiny_model, "models")}


@pytest.fixture
def repositories(data_folders, tiny_model):
    """What the hub has; a test may add to it."""
    return all_repositories(data_folders, tiny_model)


@pytest.fixture
def requests():
    """The requests that reached the hub."""
    return []


@pytest.fixture
def hub(repositories, requests, tmp_path):
    """The address of the hub, which the hub's library asks meanwhile."""
    with local_hub(repositories, requests) as address, connected(address, tmp_path / "hub-cache"):
        yield address


def hub_recipe_value(tiny_model):
    """A recipe whose base and items are on the hub."""
    value = tiny_recipe_value(tiny_model)
    value["model"]["base"] = BASE
    value["quantization"] = {"method": "none"}
    value["data"]["pubmedqa"] = {"source": f"{PUBMEDQA}:pqa_labeled", "ids": "all"}
    value["scoring"] = {"max_new_tokens": 4, "noise_items": 0, "tasks": ["medbench_pubmedqa"]}
    return value


@pytest.fixture(scope="session")
def hub_recipe(tiny_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "hub.yaml"
    path.write_text(yaml.safe_dump(hub_recipe_value(tiny_model)), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def folder_recipe(tiny_model, data_folders, tmp_path_factory):
    """The same run without a bundle: base and data sets from folders."""
    value = hub_recipe_value(tiny_model)
    value["model"]["base"] = str(tiny_model)
    value["data"]["pubmedqa"]["source"] = data_folders[PUBMEDQA]
    value["data"]["pubmedqa"]["config"] = "pqa_labeled"
    value["data"]["folders"] = {name: path for name, path in data_folders.items() if name != PUBMEDQA}
    path = tmp_path_factory.mktemp("recipe") / "folders.yaml"
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def halt_bundle(data_folders, tiny_model, hub_recipe, tmp_path_factory):
    """A bundle of the recipe with `medbench_medhalt_fct`; tests must not change it."""
    out = tmp_path_factory.mktemp("halt") / "bundle"
    with local_hub(all_repositories(data_folders, tiny_model)) as address, connected(address, out.parent / "cache"):
        harness.bundle(hub_recipe, out=out, models="base", tasks=["medbench_medhalt_fct"], quiet=True)
    return out


@pytest.fixture
def bundle(halt_bundle, tmp_path):
    """A copy of it."""
    return shutil.copytree(halt_bundle, tmp_path / "bundle")


@pytest.fixture
def make_bundle(hub, hub_recipe, tmp_path):
    """Make or extend a bundle of the recipe with some tasks; returns its folder."""

    def make(*tasks, out=None, **settings):
        out = out or tmp_path / "bundle"
        harness.bundle(hub_recipe, out=out, models="base", tasks=tasks or None, quiet=True, **settings)
        return out

    return make
