"""`medbench export`: finds adapter, base and recipe, merges them, and reports how well the result agrees."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.console import Terminal
from harness.folder import RunFolder
from harness.logs import log_to
from reports.errors import UserError
from training.models.adapters import CONFIG, find_adapter, locate_adapter, read_settings
from training.models.base_model import find_base
from training.models.weight_format import is_quantised
from training.recipes.recipe_file import QUICKSTART, load_recipe

if TYPE_CHECKING:
    from training.exporting.export_log import BaseWeights, ExportLog
    from training.models.device import DTypeName
    from training.recipes.recipe import Recipe

_SIZE = re.compile(r"[1-9]\d*(KB|MB|GB)")


def export(
    source: str | Path,
    out: str | Path | None = None,
    *,
    recipe: str | None = None,
    settings: Sequence[str] = (),
    base: BaseWeights = "as_trained",
    dtype: DTypeName = "bfloat16",
    max_shard_size: str = "5GB",
    quiet: bool = False,
) -> ExportLog:
    """Write an adapter and its base as one plain model folder, checked against the unmerged adapter.

    Args:
        source: A run folder, whose own adapter is taken, or an adapter's folder or hub id.
        out: The folder to write, which must not exist; `RUN/merged` or `ADAPTER-merged` by default.
        recipe: Used instead of the one in the adapter's folder.
        settings: `key.path=value` overrides, such as `model.base=...`.
        base: `as_trained` merges into the base's weights as training saw them, `full` into its own.
        dtype: Data type of the merged weights.
        max_shard_size: Largest size of one file of weights.
        quiet: Print nothing.

    Raises:
        UserError: The adapter, its base or its recipe cannot be read, or the merge fails.
    """
    from training.exporting.export import export_merged

    terminal = Terminal(quiet=quiet)
    if not _SIZE.fullmatch(max_shard_size):
        fix = "write a whole number, such as 5GB"
        raise UserError("not a size", where=f"--max-shard-size {max_shard_size}", fix=fix)
    run = RunFolder(Path(source).expanduser())
    is_run = run.adapter.is_dir()
    if not is_run and run.recipe.is_file() and not (run.path / CONFIG).is_file():
        raise UserError("it holds no adapter yet", where=str(source), fix="train first: medbench train")
    with run.lock() if is_run else contextlib.nullcontext():
        log_to(run.log if is_run else None)
        adapter = str(run.adapter if is_run else source)
        name, folder = locate_adapter(adapter, adapter)
        beside = folder if name == folder.resolve().name else Path(name.rpartition("/")[2])  # not in the hub's cache
        target = Path(out or (run.path / "merged" if is_run else beside.with_name(f"{beside.name}-merged")))
        terminal.heading("Export")
        trained_with = _recipe(folder, recipe, settings)
        checkpoint = find_base(trained_with.model, lambda line: terminal.say(f"  {line}"))
        if base == "as_trained" and not is_quantised(checkpoint):
            _check_precision(folder, recipe, settings)
        log = export_merged(
            trained_with,
            checkpoint,
            find_adapter("adapter", adapter, checkpoint),
            target,
            base_weights=base,
            dtype=dtype,
            max_shard_size=max_shard_size,
            say=terminal.say,
        )
        _say(log, target, terminal)
    return log


def _recipe(folder: Path, recipe: str | None, settings: Sequence[str]) -> Recipe:
    """The recipe that the adapter was trained with, or the quickstart's with the base that the adapter names."""
    adapter, own = read_settings(folder), folder / "recipe.yaml"
    if recipe is None and not own.is_file():
        named = adapter.base_model_name_or_path or ""
        defaults = (f"model.base={json.dumps(named)}", "quantization.double_quant=null")
        return load_recipe(QUICKSTART, [*defaults, *settings])
    return load_recipe(recipe or str(own), settings)


def _check_precision(folder: Path, recipe: str | None, settings: Sequence[str]) -> None:
    """Check that a recipe or a setting says how the base was quantised in training.

    Raises:
        UserError: Neither does.
    """
    is_set = any(setting.strip().startswith("quantization.") for setting in settings)
    if recipe is None and not is_set and not (folder / "recipe.yaml").is_file():
        raise UserError(
            "the adapter does not say in which precision its base was held while it was trained",
            where=str(folder),
            fix="add --set quantization.method=nf4 (or fp4, int8, none), or --base full",
        )


def _say(log: ExportLog, folder: Path, terminal: Terminal) -> None:
    terminal.say(
        f"  {log.files} file{'s' if log.files > 1 else ''} of weights, {log.weight_bytes / 1e6:,.0f} MB, {log.dtype}"
    )
    terminal.say(
        f"  compared with the unmerged adapter on {log.probe_tokens:,} tokens: biggest logit difference"
        f" {log.max_logit_difference:.2g}, mean KL divergence {log.mean_kl:.2g} nats (allowed"
        f" {log.tolerance_kl:.2g}; the adapter itself makes {log.adapter_kl:.2g}), same most likely token"
        f" {log.same_top_token:.1%}"
    )
    for note in log.notes:
        terminal.say(f"  note: {note}", style="yellow")
    terminal.say(f"\nmodel: {folder}")
