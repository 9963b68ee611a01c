"""`medbench export`: finds adapter, base and recipe, has them merged, and says how well the result agrees."""

from __future__ import annotations

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
from training.models.loading import is_quantised
from training.recipes.recipe_file import QUICKSTART, load_recipe

if TYPE_CHECKING:
    from training.exporting.export_log import BaseWeights, ExportLog
    from training.models.adapter_config import LoraSettings
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
        out: The folder to write, never one that is there; `RUN/merged` or `ADAPTER-merged` where it is not given.
        recipe: Instead of the one that lies in the adapter's folder.
        settings: `key.path=value` overrides, such as `model.base=...`.
        base: `as_trained` merges into the base's weights as training saw them, `full` into its own.
        dtype: Of the merged weights.
        max_shard_size: Of one file of weights.
        quiet: Print nothing.

    Raises:
        UserError: The adapter, its base or its recipe cannot be had, or the merge fails.
    """
    terminal = Terminal(quiet=quiet)
    if not _SIZE.fullmatch(max_shard_size):
        raise UserError(
            "not a size", where=f"--max-shard-size {max_shard_size}", fix="write a whole number, such as 5GB"
        )
    run = RunFolder(Path(source).expanduser())
    if not run.adapter.is_dir():
        if run.recipe.is_file() and not (run.path / CONFIG).is_file():
            raise UserError("it holds no adapter yet", where=str(source), fix="train first: medbench train")
        log_to(None)
        name, folder = locate_adapter(str(source), str(source))
        beside = (
            folder if name == folder.resolve().name else Path(name.rpartition("/")[2])
        )  # not beside the hub's cache
        target = beside.with_name(f"{beside.name}-merged")
        return _export(str(source), Path(out or target), recipe, settings, base, dtype, max_shard_size, terminal)
    with run.lock():
        log_to(run.log)
        target = Path(out or run.path / "merged")
        return _export(str(run.adapter), target, recipe, settings, base, dtype, max_shard_size, terminal)


def _export(
    source: str,
    out: Path,
    recipe: str | None,
    settings: Sequence[str],
    base_weights: BaseWeights,
    dtype: DTypeName,
    max_shard_size: str,
    terminal: Terminal,
) -> ExportLog:
    """Export an adapter given by folder or hub id."""
    from training.exporting.export import export_merged

    _, folder = locate_adapter(source, source)
    terminal.heading("Export")
    trained_with = _recipe(folder, read_settings(folder), recipe, settings)
    base = find_base(trained_with.model, lambda line: terminal.say(f"  {line}"))
    if base_weights == "as_trained" and not _is_told(folder, recipe, settings) and not is_quantised(base):
        raise UserError(
            "the adapter does not say in which precision its base was held while it was trained",
            where=str(folder),
            fix="add --set quantization.method=nf4 (or fp4, int8, none), or --base full",
        )
    log = export_merged(
        trained_with,
        base,
        find_adapter("adapter", source, base),
        out,
        base_weights=base_weights,
        dtype=dtype,
        max_shard_size=max_shard_size,
        say=terminal.say,
    )
    _say(log, out, terminal)
    return log


def _recipe(folder: Path, adapter: LoraSettings, recipe: str | None, settings: Sequence[str]) -> Recipe:
    """The recipe that the adapter was trained with; where it has none, its base is the one that it names."""
    own = folder / "recipe.yaml"
    if recipe is None and not own.is_file():
        named = adapter.base_model_name_or_path or ""
        defaults = (f"model.base={json.dumps(named)}", "quantization.double_quant=null")
        return load_recipe(QUICKSTART, [*defaults, *settings])
    return load_recipe(recipe or str(own), settings)


def _is_told(folder: Path, recipe: str | None, settings: Sequence[str]) -> bool:
    """Whether anything says how the base was quantised in training."""
    given = any(setting.strip().startswith("quantization.") for setting in settings)
    return given or recipe is not None or (folder / "recipe.yaml").is_file()


def _say(log: ExportLog, folder: Path, terminal: Terminal) -> None:
    terminal.say(
        f"  {log.files} file{'s' if log.files > 1 else ''} of weights, {log.weight_bytes / 1e6:,.0f} MB, {log.dtype}"
    )
    terminal.say(
        f"  against the unmerged adapter on {log.probe_tokens:,} tokens: biggest logit difference"
        f" {log.max_logit_difference:.2g}, mean KL divergence {log.mean_kl:.2g} nats (allowed"
        f" {log.tolerance_kl:.2g}; the adapter itself makes {log.adapter_kl:.2g}), same likeliest token"
        f" {log.same_top_token:.1%}"
    )
    for note in log.notes:
        terminal.say(f"  note: {note}", style="yellow")
    terminal.say(f"\nmodel: {folder}")
