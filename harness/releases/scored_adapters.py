"""Compares the adapters in a run folder with those that were scored and those that were trained."""

from __future__ import annotations

from pathlib import Path

from harness.folder import RunFolder
from harness.planning.model_names import checkpoint_name
from harness.runs.pooling import seed_name
from reports.document.schema import ModelInfo, Results
from reports.errors import UserError
from training.checkpoints import SEEDS, checkpoint_folder
from training.log import check_hashes
from training.models.adapters import adapter_hashes, read_settings
from training.models.model import OWN_ADAPTER

_FIX = "restore it, or score what is there: medbench run, or medbench score --models base,NAME=FOLDER"


def check_adapters(folder: RunFolder, results: Results, name: str) -> bool:
    """Compare the adapters of a model, or of all members of a pool, with those that were scored.

    Returns:
        Whether all of them are in the run folder. Adapters from elsewhere are not, nor those of a run folder without
        its adapter, such as an artifact of CI.

    Raises:
        UserError: An adapter was changed, replaced by something else, or cannot be read any more.
    """
    models = {info.name: info for info in results.models}
    own, kept = own_adapters(results), checkpoints(results)
    are_here = []
    for member in models[name].members or [name]:
        if member not in models:
            raise UserError(f"the results lack {member[:60]} of {name}", where=str(folder.path), fix="run it again")
        if member in own:
            here = folder.adapter
        elif member in kept:
            here = checkpoint_folder(folder.checkpoints, kept[member])
        else:
            here = _folder_of_seed(folder, models[member])
        are_here.append(here.exists() or here.is_symlink())
        if are_here[-1]:
            _check_adapter(here, models[member])
    return all(are_here)


def _folder_of_seed(folder: RunFolder, model: ModelInfo) -> Path:
    """Where the adapter of a seed or one of its checkpoints is; for other models a folder that does not exist."""
    if model.seed is None:  # in results of earlier versions
        return folder.path / SEEDS / model.name.removeprefix("seed-") / "adapter"
    of_seed = folder.of_seed(model.seed)
    if model.step is None or model.name == seed_name(model.seed):
        return of_seed.adapter
    return checkpoint_folder(of_seed.checkpoints, model.step)


def _check_adapter(folder: Path, scored: ModelInfo) -> None:
    try:
        read_settings(folder)
        sha256, config_sha256 = adapter_hashes(folder)
    except UserError as error:
        what = f"the adapter that was scored is not there any more: {error.what}"
        fix = f"{_FIX}; or remove the folder {folder.name} to gate the scores without the weights"
        raise UserError(what, where=error.where or str(folder), fix=fix) from error
    if scored.config_sha256 is None:
        what = "results of an earlier version do not record the settings of the adapter that was scored"
        raise UserError(what, where=str(folder), fix="score it again: medbench run")
    compared = {"weights": (sha256, scored.sha256), "settings or tokenizer": (config_sha256, scored.config_sha256)}
    for what, (current, judged) in compared.items():
        if current != judged:
            raise UserError(
                f"its {what} (SHA-256 {current[:12]}...) are not those that were scored ({judged[:12]}...)",
                where=str(folder),
                fix=_FIX,
            )
    check_hashes(folder, sha256, config_sha256)


def own_adapters(results: Results) -> list[str]:
    """Name of the adapter that the run's recipe trains, if it was scored; its checkpoints do not count."""
    return [
        model.name
        for model in results.models
        if (model.name == OWN_ADAPTER if model.trained_here is None else model.trained_here)
        and model.name not in checkpoints(results)
    ]


def checkpoints(results: Results) -> dict[str, int]:
    """Steps of the scored checkpoints of the run's own training, by the name of the model."""
    steps = {model.name: model.step for model in results.models if model.trained_here and model.step is not None}
    return {name: step for name, step in steps.items() if name == checkpoint_name(step)}
