"""Finds models with all their weights, on disk or on the hub: a recipe's base, and others of `--models`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from reports.bundles.active import bundled_folder
from reports.errors import UserError
from reports.files import read_json, sha256_file, sha256_value
from reports.hub_access import hub_error, hub_or_cache
from reports.names import is_hub_id, is_plain_name
from training.models.links import refuse_links_out
from training.models.model import Model, base_model
from training.models.quickstart_model import HUB_ID, quickstart_model
from training.models.safetensors_file import read_header
from training.recipes.recipe import QUICKSTART_MODEL, ModelSection

HUB_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "tokenizer*", "*.model", "*.txt"]
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_SMALL_FILES = ("*.json", "*.model", "*.txt", "*.jinja")  # of a model's folder: all but its weights
_CONFIGURATION = ("config.json", "generation_config.json", "model.safetensors.index.json")
_MOST_CONFIG_BYTES = 16 << 20
_MOST_INDEX_BYTES = 64 << 20
# More are no model that there is, but hours of making layers: the greatest value of a setting by a word in its name.
_MOST = {"layers": 1000, "experts": 4096, "heads": 1 << 16, "size": 1 << 24, "dim": 1 << 24}
_MOST_LAYERS_TIMES_EXPERTS = 1 << 16
_ADAPTER_CONFIG = "adapter_config.json"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def find_base(model: ModelSection, say: Callable[[str], None] | None = None) -> Model:
    """The base model's folder, fetched first if it is not on this machine.

    Raises:
        UserError: It cannot be found or fetched, or holds no safetensors.
    """
    return _checked(model.base, *_locate(model.base, model.revision, f"model.base: {model.base}", say))


def find_full(name: str, source: str, say: Callable[[str], None] | None = None) -> Model:
    """A model of `--models` with all its weights, given by folder, hub id or built-in name.

    Raises:
        UserError: As `find_base`.
    """
    model = _checked(source, *_locate(source, None, f"--models {name}={source}", say))
    return replace(model, name=name, kind="full")


def _checked(given: str, name: str, public_name: str, folder: Path) -> Model:
    refuse_links_out(folder)
    _check_no_adapter(folder, given)
    check_files(folder)
    return base_model(folder, name, weights_hash(folder), public_name, config_hash(folder))


def find_base_config(model: ModelSection, say: Callable[[str], None] | None = None) -> Model:
    """The base model without its weights, for plans; its hash is that of the configuration.

    Raises:
        UserError: It cannot be found or fetched.
    """
    patterns = [pattern for pattern in HUB_FILES if "safetensors" not in pattern]
    where = f"model.base: {model.base}"
    name, public_name, folder = _locate(model.base, model.revision, where, say, patterns)
    refuse_links_out(folder)
    _check_no_adapter(folder, model.base)
    config = folder / "config.json"
    if not config.is_file():
        raise UserError("there is no config.json in it", where=str(folder), fix="give a model folder")
    return base_model(folder, name, sha256_file(config), public_name)


def _locate(
    source: str,
    revision: str | None,
    where: str,
    say: Callable[[str], None] | None,
    patterns: Sequence[str] = HUB_FILES,
) -> tuple[str, str, Path]:
    """(name, public name, folder) of a model, fetched where it is neither built in nor on this machine."""
    if source == QUICKSTART_MODEL:
        return source, HUB_ID, bundled_folder("model", source) or quickstart_model(say)
    folder = Path(source).expanduser()
    if folder.is_dir():
        folder = folder.resolve()
        return folder.name, folder.name, folder
    if is_hub_id(source):
        return source, source, fetch_from_hub(source, revision, say, patterns)
    raise UserError(
        "there is no such model folder",
        where=where,
        fix=f"check the path; a hub model is written owner/name, the built-in one {QUICKSTART_MODEL}",
    )


def fetch_from_hub(
    hub_id: str,
    revision: str | None,
    say: Callable[[str], None] | None = None,
    patterns: Sequence[str] = HUB_FILES,
) -> Path:
    """Fetch a model or adapter from the hub into the hub library's own cache; of weights, safetensors only.

    If a bundle is in use, it is the bundle's folder of that model.

    Raises:
        UserError: It does not exist, is gated, or the hub cannot be reached; or the bundle lacks it.
    """
    from huggingface_hub import snapshot_download

    bundled = bundled_folder("model", hub_id, revision)
    if bundled is not None:
        return bundled
    if say is not None:
        say(f"looking for {hub_id} in the hub's cache and on the hub")
    try:
        with hub_or_cache():
            return Path(snapshot_download(hub_id, revision=revision, allow_patterns=list(patterns)))
    except Exception as error:
        refusal = hub_error(error, "model", hub_id, revision=revision)
        if refusal is None and isinstance(error, OSError):
            fix = "check the free disk space and the rights of the hub's cache (HF_HOME); or name a local folder"
            what = f"it could not be saved ({error.strerror or type(error).__name__})"
            refusal = UserError(what, where=f"hub model {hub_id}", fix=fix)
        if refusal is None:
            raise
        raise refusal from error


def check_files(folder: Path) -> None:
    """Check that a folder's weights are complete safetensors files of its own, before any is loaded.

    Raises:
        UserError: A file is broken, or the index names files elsewhere.
    """
    for path in sorted(folder.glob("*.safetensors")):
        read_header(path)
    for path in sorted(folder.glob("*.safetensors.index.json")):
        index = read_json(path, _MOST_INDEX_BYTES)
        files = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(files, dict):
            raise UserError("there is no weight_map in it", where=str(path), fix="fetch the model again")
        for file in {str(name) for name in files.values()}:
            if not is_plain_name(file) or not (folder / file).is_file():
                raise UserError(f"the file {file[:100]!r} is not in the folder", where=str(path), fix="fetch it again")


def _check_no_adapter(folder: Path, name: str) -> None:
    """Check that a base's folder contains no adapter, which transformers would attach to it, unasked and unchecked.

    Args:
        folder: The folder.
        name: The base as the recipe names it.

    Raises:
        UserError: It does; the message says whether there is a base beside it.
    """
    if not (folder / _ADAPTER_CONFIG).is_file():
        return
    if (folder / "config.json").is_file() and any(
        path.name != "adapter_model.safetensors" for path in folder.glob("*.safetensors")
    ):
        what = (
            f"this base folder contains an adapter too ({_ADAPTER_CONFIG}), which transformers would attach to the base"
        )
        old, new = shlex.quote(str(folder)), shlex.quote(str(folder / "adapter"))
        separate = f"mkdir {new} && mv {old}/adapter_* {new}"
        fetch = f"hf download {name} --exclude 'adapter_*' --local-dir FOLDER, and set model.base=FOLDER"
        fix = separate if Path(name).expanduser().is_dir() else fetch
        fix += "; the adapter is scored with --models base,NAME=ITS-FOLDER"
        raise UserError(what, where=str(folder), fix=fix)
    what, fix = "it holds an adapter, not a whole model", "give its base, and the adapter with --models NAME=FOLDER"
    raise UserError(what, where=str(folder), fix=fix)


def weights_hash(folder: Path) -> str:
    """Hash over the names and contents of a folder's safetensors files.

    Raises:
        UserError: There are none, as in a folder of pickled weights, which medbench does not load.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = next((path.name for kind in _PICKLED for path in sorted(folder.glob(kind))), None)
        raise UserError(
            f"its weights are pickled ({pickled}), which can run any code when loaded; medbench does not"
            if pickled
            else "there are no safetensors weights in this folder",
            where=str(folder),
            fix="give a model folder; pickled weights that you trust are converted by loading them with transformers"
            " and save_pretrained",
        )
    return sha256_value([[path.name, _content_hash(path)] for path in files])


def config_hash(folder: Path) -> str:
    """Hash of the files that decide what a base computes with its weights, and at which tokens its answers end."""
    paths = [folder / name for name in _CONFIGURATION]
    return sha256_value([[path.name, sha256_file(path)] for path in paths if path.is_file()])


def _content_hash(path: Path) -> str:
    """SHA-256 of a file; the hub's cache, and only it, names large files by their hash."""
    from huggingface_hub.constants import HF_HUB_CACHE

    target = path.resolve()
    is_named_by_it = _SHA256.fullmatch(target.name) and target.is_relative_to(Path(HF_HUB_CACHE).resolve())
    return target.name if is_named_by_it else sha256_file(path)


def small_files(folder: Path) -> list[list[str]]:
    """[name, SHA-256] of configuration, tokenizer and chat template: what is in a model's folder beside weights."""
    files = {path for pattern in _SMALL_FILES for path in folder.glob(pattern) if path.is_file()}
    return [[path.name, sha256_file(path)] for path in sorted(files)]


def model_config(base: Model) -> dict[str, object]:
    """The base's `config.json`.

    Raises:
        UserError: It is no object, asks for code from elsewhere, or for more or larger layers than any model has.
    """
    path = base.folder / "config.json"
    value = read_json(path, _MOST_CONFIG_BYTES)
    if not isinstance(value, dict):
        raise UserError("expected an object", where=str(path), fix="fetch the model again")
    if value.get("transformers_weights") is not None:  # a file that transformers loads instead, also of a folder below
        what = f"it names other weights ({str(value['transformers_weights'])[:60]!r}) than model.safetensors"
        raise UserError(
            what, where=str(path), fix="rename them to model.safetensors, and take out transformers_weights"
        )
    greatest = dict.fromkeys(_MOST, 1)
    for key, setting in config_settings(value):
        if key.endswith("_implementation") and isinstance(setting, str) and not setting.replace("_", "").isalnum():
            what = f"{key} names code from elsewhere ({setting[:60]!r}), which medbench does not run"
            raise UserError(what, where=str(path), fix="take the setting out where you trust the model")
        for word, most in _MOST.items():
            if isinstance(setting, int) and word in key.split("_"):
                greatest[word] = max(greatest[word], setting)
                if setting > most:
                    raise UserError(f"{key} is {setting}"[:200], where=str(path), fix="fetch the model again")
    if greatest["layers"] * greatest["experts"] > _MOST_LAYERS_TIMES_EXPERTS:
        what = f"it has {greatest['layers']} layers of {greatest['experts']} experts"
        raise UserError(what, where=str(path), fix="fetch the model again")
    return value


def configured_ends(folder: Path) -> set[int]:
    """End tokens in a folder's generation settings, or its configuration if it has none."""
    for name in ("generation_config.json", "config.json"):
        if (folder / name).is_file():
            value = read_json(folder / name, _MOST_CONFIG_BYTES)
            ends = value.get("eos_token_id") if isinstance(value, dict) else None
            several = ends if isinstance(ends, list) else [ends]
            return {number for number in several if isinstance(number, int)}
    return set()


def config_settings(value: object) -> Iterator[tuple[str, object]]:
    """(key, value) of all settings, those of parts of the model too."""
    for key, setting in value.items() if isinstance(value, dict) else ():
        yield str(key), setting
        yield from config_settings(setting)
