"""What a repository of the hub holds for a bundle: commit, licence, and the files that a run needs of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

from fsspec.utils import glob_translate

from harness.planning.needs import Need
from reports.bundles.data_card import CARD, file_patterns
from reports.bundles.manifest import NOT_STATED, is_harmless
from reports.errors import UserError
from reports.hub_access import hub_error
from training.models.adapters import CONFIG, WEIGHTS
from training.models.base_model import HUB_FILES

_DATA_SET_FILES = (CARD, "dataset_infos.json")  # that `datasets` reads beside the rows
_NON_COMMERCIAL = re.compile(r"(?:^|[^a-z])nc(?:$|[^a-z])|non-?commercial", re.IGNORECASE)
_NAMED = 5  # files in a message


@dataclass(frozen=True)
class HubFiles:
    """A repository as a bundle takes it.

    Attributes:
        need: What it is needed for.
        commit: Its commit.
        files: Sizes in bytes by path, of the files to take.
        configs: Configurations whose files these are; None for the whole repository.
        card_licence: Licence in the front matter of its README.md; empty if it states none.
        gated: Whether its owner gives access only to those who ask.
        left_out: Files that a bundle does not hold.
    """

    need: Need
    commit: str
    files: Mapping[str, int]
    configs: list[str] | None = None
    card_licence: str = ""
    gated: bool = False
    left_out: list[str] = field(default_factory=list)

    @property
    def licence(self) -> str:
        """Licence by the catalogue of benchmarks, else by its card."""
        stated = self.need.catalogue_licence
        return self.card_licence or NOT_STATED if stated == NOT_STATED else stated

    @property
    def is_non_commercial(self) -> bool:
        """Whether a licence that is stated forbids commercial use."""
        return any(map(_NON_COMMERCIAL.search, (self.licence, self.card_licence)))


def hub_files(need: Need, commit: str | None) -> HubFiles:
    """Ask the hub what a repository holds; nothing of it is fetched.

    Args:
        need: The data set or model.
        commit: The commit to look at; the pinned revision, else the newest one, if None.

    Raises:
        UserError: The hub cannot be reached or has no such repository, or it holds nothing that a bundle may hold.
    """
    from huggingface_hub import HfApi

    revision = commit or need.revision
    try:
        ask = HfApi().dataset_info if need.kind == "data set" else HfApi().model_info
        info: Any = ask(need.id, revision=revision, files_metadata=True)
    except Exception as error:
        refusal = hub_error(error, need.kind, need.id, revision=revision)
        if refusal is None:
            raise
        raise refusal from error
    sizes = {file.rfilename: int(file.size or 0) for file in info.siblings or ()}
    card = {} if info.card_data is None else info.card_data.to_dict()
    paths, configs = _model_files(need, sizes), None
    if need.kind == "data set":
        paths, configs = _data_set_files(need, sizes, card)
    left_out = sorted(path for path in sizes if _is_left_out(path))
    files = {path: sizes[path] for path in sorted(paths) if path not in left_out}
    _check(need, files, left_out)
    return HubFiles(need, str(info.sha), files, configs, _licence(card), bool(info.gated), left_out)


def _licence(card: Mapping[str, Any]) -> str:
    """The licence in a card; for `other`, the name that is given to it."""
    stated = card.get("license_name") if card.get("license") in (None, "other") else card["license"]
    stated = stated or card.get("license") or ""
    return ", ".join(map(str, stated)) if isinstance(stated, list) else str(stated)


def _is_left_out(path: str) -> bool:
    is_hidden = any(part.startswith(".") for part in path.split("/"))
    return is_hidden or (not is_harmless(path) and is_harmless(f"{path}.txt"))


def _check(need: Need, files: Mapping[str, int], left_out: Sequence[str]) -> None:
    """Check that what is left of a repository can be used.

    Raises:
        UserError: There is no data beside code or pickles, no safetensors, or a name that is no path of a bundle.
    """
    where = f"hub {need.kind} {need.id}"
    odd = [path for path in files if not is_harmless(path)]
    if odd:
        fix = f"leave out {', '.join(need.wanted_by)}"
        raise UserError(f"its file {odd[0][:80]!r} has a name that not every system allows", where=where, fix=fix)
    script = f"{need.id.rpartition('/')[2]}.py"
    if need.kind == "data set" and script in left_out:
        what = f"it is a loading script ({script}), which neither `datasets` nor medbench runs"
        raise UserError(what, where=where, fix=f"leave out {', '.join(need.wanted_by)}")
    if need.kind == "data set" and not files.keys() - {*_DATA_SET_FILES}:
        what = f"it has no data files that a bundle may hold; left out: {_some(left_out) or 'nothing'}"
        raise UserError(what, where=where, fix=f"leave out {', '.join(need.wanted_by)}")
    if need.kind == "model" and not any(path.endswith(".safetensors") for path in files):
        pickled = [path for path in left_out if "/" not in path and not path.endswith(".py")]
        what = f"it has no safetensors weights{f' but pickled ones ({_some(pickled)})' if pickled else ''}"
        fix = "convert it where you trust it: load it and save it with save_pretrained; or leave it out"
        raise UserError(what, where=where, fix=fix)


def _model_files(need: Need, paths: Iterable[str]) -> list[str]:
    """The files that medbench loads of a model or adapter: those of the uppermost folder, and chat templates."""
    names = [path for path in paths if "/" not in path or path.endswith(".jinja")]
    if CONFIG in names and WEIGHTS not in names and "config.json" not in names:
        fix = "convert it where you trust it: load it with PEFT and save it with save_pretrained; or leave it out"
        raise UserError(f"the adapter has no {WEIGHTS}", where=f"hub model {need.id}", fix=fix)
    return [name for name in names if any(fnmatch(name, pattern) for pattern in HUB_FILES) or name == CARD]


def _data_set_files(need: Need, paths: Iterable[str], card: Mapping[str, Any]) -> tuple[list[str], list[str] | None]:
    """(the files of the configurations that are needed, these); of all files, None, if the card does not say which.

    `datasets` looks at the files of the first configuration whichever is loaded.
    """
    names = list(paths)
    listed = card.get("configs")
    configs = {str(one.get("config_name") or "default"): one for one in listed or () if isinstance(one, dict)}
    wanted = None if need.configs is None else [_config_name(name, configs) for name in sorted(need.configs)]
    if not configs or wanted is None or not all(name in configs for name in wanted):
        return names, None
    first = next(iter(configs))
    chosen: set[str] = set()
    for name in dict.fromkeys([first, *filter(None, wanted)]):
        patterns = file_patterns(configs[name].get("data_files"))
        if not patterns or configs[name].get("data_dir"):
            return names, None
        regexes = [re.compile(glob_translate(pattern.removeprefix("./"))) for pattern in patterns]
        chosen.update(path for path in names if any(regex.fullmatch(path) for regex in regexes))
    return [*chosen, *(name for name in _DATA_SET_FILES if name in names)], sorted(need.configs or ())


def _config_name(name: str, configs: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The configuration that a name means, "" being the default one; None if the card does not say which that is."""
    if name:
        return name
    default = [config for config, settings in configs.items() if settings.get("default")]
    if default or "default" in configs:
        return default[0] if default else "default"
    return next(iter(configs)) if len(configs) == 1 else None


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
