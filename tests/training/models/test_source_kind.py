"""What a model's source is, by the source itself or the files of a folder."""

import json

import pytest

from reports.errors import UserError
from training.models.model import base_model
from training.models.source_kind import gguf_path, local_kind, served_model

CONFIGS = {"adapter_config.json": "{}", "config.json": "{}"}


def folder(path, *files):
    path.mkdir(parents=True)
    for file in files:
        (path / file).write_text(CONFIGS.get(file, ""))
    return str(path)


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (["adapter_config.json", "adapter_model.safetensors"], "adapter"),
        (["config.json", "model.safetensors", "tokenizer.json"], "full"),
        (["adapter_config.json", "adapter_model.safetensors", "config.json"], "adapter"),  # as axolotl writes it
        ([], "adapter"),  # which finding the adapter refuses
    ],
)
def test_the_files_of_a_folder_decide(tmp_path, files, kind):
    assert local_kind(folder(tmp_path / "model.v2", *files)) == kind
    assert local_kind(folder(tmp_path / "model.gguf", *files)) == kind


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("http://localhost:8000/v1#base", "served"),
        ("https://api.example.org/v1#owner/name:tag", "served"),
        ("model-q8_0.gguf", "gguf"),
        ("out/MODEL.GGUF", "gguf"),
        ("owner/name", None),
        ("owner/name-GGUF", None),
        (r"C:\models\merged", "adapter"),
        ("a/b/c", "adapter"),
        ("smollm2-135m-instruct", "full"),
    ],
)
def test_other_sources_are_known_by_how_they_are_written(source, kind):
    assert local_kind(source) == kind


@pytest.fixture
def base(tmp_path):
    return base_model(tmp_path, "base", "f" * 64)


def test_a_served_model_has_an_address_and_a_name(base):
    served = served_model("mine", "http://localhost:8000/v1/#owner/name:8b=x", base)
    assert (served.kind, served.url, served.served_name) == ("served", "http://localhost:8000/v1", "owner/name:8b=x")
    assert (served.folder, served.tokenizer) == (base.folder, base.tokenizer)
    assert served.source == "http://localhost:8000/v1#owner/name:8b=x"
    assert (served.name, served.public_name, served.config_sha256) == ("mine", "owner/name:8b=x", "")
    assert (served.quantization, served.rows, served.unknown_rows, served.has_declared_rows) == (None, None, "", False)
    others = [
        served_model("mine", source, base) for source in ("http://localhost:8001/v1#a", "http://localhost:8000/v1#b")
    ]
    assert len({model.sha256 for model in (base, served, *others)}) == 4
    assert served_model("other", "http://localhost:8000/v1#owner/name:8b=x", base).sha256 == served.sha256


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("http://localhost:8000/v1", "does not say which of the server's models(?s:.*)NAME=http://HOST:PORT/v1#MODEL"),
        ("http://localhost:8000/v1#", "does not say which"),
        ("http://localhost:8000/v1#a\nb", "does not say which"),
        ("http://localhost:8000/v1#" + "a" * 300, "does not say which"),
        ("http://me:secret@localhost/v1#a", "holds a user name or password"),
        ("ftp://localhost/v1#a", "no address"),
        ("http:///v1#a", "no address"),
        ("http://localhost:99999/v1#a", "no address"),
        ("http://localhost/v1?key=1#a", "no address"),
        ("folder", "no address"),
    ],
)
def test_other_addresses_are_refused(base, source, message):
    with pytest.raises(UserError, match=message) as error:
        served_model("mine", source, base)
    assert error.value.where.startswith("--models mine=")
    way_out = (
        "keys of APIs are read from the environment" if "password" in message else "NAME=http://HOST:PORT/v1#MODEL"
    )
    assert way_out in error.value.fix
    assert "secret" not in json.dumps([error.value.what, error.value.where, error.value.fix])


def test_the_file_of_a_gguf_model_is_found_or_refused_by_what_is_there(tmp_path, monkeypatch):
    (tmp_path / "model.gguf").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert gguf_path("mine", "~/model.gguf") == tmp_path / "model.gguf"
    for source, what in (
        (tmp_path, "it is a folder, not a GGUF file"),
        (tmp_path / "no.gguf", "there is no such file"),
    ):
        with pytest.raises(UserError) as caught:
            gguf_path("mine", str(source))
        expected = (what, f"--models mine={source}", "check the path: NAME=FILE.gguf")
        assert (caught.value.what, caught.value.where, caught.value.fix) == expected
