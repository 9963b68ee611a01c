"""What the source of a model in `--models` is: an adapter, a whole model, a GGUF file or an address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from reports.errors import UserError
from reports.files import sha256_value
from reports.names import is_hub_id
from training.models.base_model import fetch_from_hub
from training.models.model import Kind, Model
from training.recipes.recipe import QUICKSTART_MODEL

GGUF = ".gguf"
_ADAPTER, _FULL = "adapter_config.json", "config.json"
_SCHEMES = ("http://", "https://")
_MOST_NAME = 256


def local_kind(source: str) -> Kind | None:
    """The kind of a source that is an address or on this machine; None for a hub id.

    A folder that is an adapter and has a model's configuration too, as axolotl writes it, is an adapter. So is
    whatever is neither, which finding the adapter refuses.
    """
    if source.startswith(_SCHEMES):
        return "served"
    path = Path(source).expanduser()
    if path.is_dir():
        return "full" if not (path / _ADAPTER).is_file() and (path / _FULL).is_file() else "adapter"
    if source == QUICKSTART_MODEL:
        return "full"
    if path.suffix.lower() == GGUF:
        return "gguf"
    return None if is_hub_id(source) else "adapter"


def hub_kind(hub_id: str, say: Callable[[str], None] | None = None) -> Kind:
    """The kind of a model on the hub by its configuration files, the only ones that are fetched.

    Raises:
        UserError: It cannot be reached, or has neither.
    """
    folder = fetch_from_hub(hub_id, None, say, [_ADAPTER, _FULL])
    if (folder / _ADAPTER).is_file():
        return "adapter"
    if (folder / _FULL).is_file():
        return "full"
    raise UserError(
        f"it has neither {_ADAPTER} nor {_FULL}, so it is no adapter and no whole model",
        where=f"hub model {hub_id}",
        fix=f"check the spelling; for a model in GGUF, fetch one file and write NAME=FILE{GGUF}",
    )


def gguf_path(name: str, source: str) -> Path:
    """The file of a GGUF source.

    Raises:
        UserError: There is none.
    """
    path = Path(source).expanduser()
    if not path.is_file():
        what = "it is a folder, not a GGUF file" if path.is_dir() else "there is no such file"
        raise UserError(what, where=f"--models {name}={source}", fix=f"check the path: NAME=FILE{GGUF}")
    return path


def find_gguf(name: str, source: str, whole: Callable[[str, str], Model], say: Callable[[str], None] | None) -> Model:
    """The model in a GGUF file: its dequantised weights, and the tokenizer and chat template that it holds.

    Args:
        name: Its name in `--models`.
        source: The file.
        whole: Finds a model by name and folder, see `training.models.base_model.find_full`.
        say: Called with a line for each step of a conversion, which is done once for a file.

    Raises:
        UserError: It cannot be read, or is of a kind that transformers does not read.
    """
    from training.models.gguf_model import gguf_model

    path = gguf_path(name, source)
    folder, digest = gguf_model(path, say)
    model = whole(name, str(folder))
    return replace(model, kind="gguf", source=path.name, public_name=path.name, file=path, file_sha256=digest)


def served_model(name: str, source: str, base: Model) -> Model:
    """The model that a server answers for, given as `http://HOST/v1#MODEL`; nothing is sent here.

    Raises:
        UserError: It is no such address, or holds a password.
    """
    url, _, served_name = source.partition("#")
    where = f"--models {name}=..."
    fix = "write NAME=http://HOST:PORT/v1#MODEL; the server lists its models under /v1/models"
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_ok = urlsplit(""), False
    if parts.username or parts.password:
        fix = "leave it out; keys of APIs are read from the environment"
        raise UserError("the address holds a user name or password", where=where, fix=fix)
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_ok or parts.query:
        raise UserError(f"{url[:200]!r} is no address of a server's API", where=where, fix=fix)
    if not served_name or len(served_name) > _MOST_NAME or not served_name.isprintable():
        what = "the address does not say which of the server's models is meant"
        raise UserError(what, where=f"--models {name}={url[:200]}", fix=fix)
    url = url.rstrip("/")
    return replace(
        base,
        name=name,
        kind="served",
        source=f"{url}#{served_name}",
        sha256=sha256_value([url, served_name]),
        config_sha256="",
        public_name=served_name,
        quantization=None,
        rows=None,
        unknown_rows="",
        has_declared_rows=False,
        url=url,
        served_name=served_name,
    )
