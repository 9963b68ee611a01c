"""A checkpoint of the base with dequantised weights, for an engine that reads files."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from reports.files import sha256_value

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from harness.planning.run_plan import Plan


def dense_checkpoint(plan: Plan, load: Callable[[], PreTrainedModel]) -> Path:
    """The base's own folder if its weights are dense, else a checkpoint in the run's cache, written once.

    Args:
        plan: The run, with base, quantisation and dtype.
        load: Loads the base with dense weights.
    """
    if not plan.weight_format.is_quantised:
        return plan.base.folder
    mark = sha256_value([plan.base.sha256, plan.base.config_sha256, plan.weights, plan.train_dtype, plan.device.type])
    folder = plan.folder.path / "cache" / f"dense-{mark[:16]}"
    if folder.is_dir():
        return folder
    work = folder.with_suffix(".making")
    shutil.rmtree(work, ignore_errors=True)
    save_dense(load(), work)
    work.replace(folder)
    return folder


def save_dense(model: PreTrainedModel, folder: Path) -> None:
    """Save a model whose weights were dequantised; `save_pretrained` alone would mark it as quantised."""
    import torch

    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.dtype = model.dtype
    with torch.device("meta"):
        plain = type(model)(config)
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.tie_weights()
    plain.generation_config = model.generation_config
    plain.save_pretrained(folder)
