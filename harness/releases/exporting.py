"""`medbench export`: finds adapter, base and recipe, merges them, and reports how well the result agrees."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.console import Terminal
from harness.folder import RunFolder
from harness.logs import log_to
from reports.errors import UserError
from reports.files import read_json
from reports.strict import checked
from training.exporting.export_log import EXPORT_FILE
from training.models.adapters import CONFIG, find_adapter, locate_adapter, read_settings
from training.models.base_model import config_hash, find_base, weights_hash
from training.models.weight_format import is_quantised
from training.recipes.recipe_file import QUICKSTART, load_recipe

if TYPE_CHECKING:
    from training.exporting.export_log import BaseWeights, ExportLog
    from training.models.device import DTypeName
    from training.recipes.recipe import Recipe

_SIZE = re.compile(r"[1-9]\d*(KB|MB|GB)")


def export(  # noqa: PLR0913 - the options of the command
    source: str | Path,
    out: str | Path | None = None,
    *,
    recipe: str | None = None,
    settings: Sequence[str] = (),
    base: BaseWeights = "as_trained",
    dtype: DTypeName = "bfloat16",
    max_shard_size: str = "5GB",
    gguf: str | None = None,
    quiet: bool = False,
) -> ExportLog:
    """Write an adapter and its base as one plain model folder or GGUF file, checked against the unmerged adapter.

    Args:
        source: A run folder, whose own adapter is taken, or an adapter's folder or hub id; with `gguf` also a folder
            that an export wrote.
        out: The folder to write, which must not exist; `RUN/merged` or `ADAPTER-merged` by default. With `gguf` the
            file, if its name ends in `.gguf`, or the folder to write it into; `RUN/merged-TYPE.gguf` by default.
        recipe: Used instead of the one in the adapter's folder.
        settings: `key.path=value` overrides, such as `model.base=...`.
        base: `as_trained` merges into the base's weights as training saw them, `full` into its own.
        dtype: Data type of the merged weights.
        max_shard_size: Largest size of one file of weights.
        gguf: Type of a GGUF file to write instead of the folder, such as `f16` or `q8_0`.
        quiet: Print nothing.

    Raises:
        UserError: The adapter, its base or its recipe cannot be read, or the merge fails.
    """
    terminal = Terminal(quiet=quiet)
    if not _SIZE.fullmatch(max_shard_size):
        fix = "write a whole number, such as 5GB"
        raise UserError("not a size", where=f"--max-shard-size {max_shard_size}", fix=fix)
    if gguf is not None:
        from training.exporting.gguf_export import check_gguf_type

        check_gguf_type(gguf)
        if (Path(source).expanduser() / EXPORT_FILE).is_file():
            return _export_written(Path(source).expanduser(), out, gguf, terminal)
    run = RunFolder(Path(source).expanduser())
    is_run = run.adapter.is_dir()
    if not is_run and run.recipe.is_file() and not (run.path / CONFIG).is_file():
        fix = "train first: medbench train; a whole model needs no merging: give the adapter's folder or its run"
        raise UserError("it holds no adapter", where=str(source), fix=fix)
    with run.lock() if is_run else contextlib.nullcontext():
        log_to(run.log if is_run else None)
        adapter = str(run.adapter if is_run else source)
        name, folder = locate_adapter(adapter, adapter)
        beside = folder if name == folder.resolve().name else Path(name.rpartition("/")[2])  # not in the hub's cache
        default = run.path / "merged" if is_run else beside.with_name(f"{beside.name}-merged")
        terminal.heading("Export")
        trained_with = _recipe(folder, recipe, settings)
        checkpoint = find_base(trained_with.model, lambda line: terminal.say(f"  {line}"))
        if base == "as_trained" and not is_quantised(checkpoint):
            _check_precision(folder, recipe, settings)

        def merge(target: Path) -> ExportLog:
            from training.exporting.export import export_merged

            return export_merged(
                trained_with,
                checkpoint,
                find_adapter("adapter", adapter, checkpoint),
                target,
                base_weights=base,
                dtype=dtype,
                max_shard_size=max_shard_size,
                say=terminal.say,
            )

        if gguf is not None:
            return _export_gguf(lambda part: (part / "merged", merge(part / "merged")), default, out, gguf, terminal)
        target = Path(out or default)
        log = merge(target)
        _say(log, terminal)
        terminal.say(f"\nmodel: {target}")
    return log


def _export_written(folder: Path, out: str | Path | None, kind: str, terminal: Terminal) -> ExportLog:
    """Write a folder of an earlier export as a GGUF file.

    Raises:
        UserError: Its weights are not those that the export wrote.
    """
    from training.exporting.export_log import ExportLog

    where = str(folder / EXPORT_FILE)
    log = checked(ExportLog, read_json(Path(where)), what="the log of an export", where=where, fix="export it again")
    if (log.weights_sha256, log.config_sha256) != (weights_hash(folder), config_hash(folder)):
        raise UserError("weights or configuration are not those that the export wrote", where=where, fix="export again")
    terminal.heading("Export")
    return _export_gguf(lambda _: (folder, log), folder, out, kind, terminal)


def _export_gguf(
    make_merged: Callable[[Path], tuple[Path, ExportLog]],
    default: Path,
    out: str | Path | None,
    kind: str,
    terminal: Terminal,
) -> ExportLog:
    from training.exporting.gguf_export import export_gguf

    name = f"{default.resolve().name}-{kind}.gguf"
    target = default.with_name(name) if out is None else Path(out).expanduser()
    if target.suffix != ".gguf":
        target /= name
    log = export_gguf(make_merged, target, kind, say=terminal.say)
    if log.gguf is not None:
        _say(log, terminal)
        terminal.say(
            f"  {kind}, {log.gguf.bytes / 1e6:,.0f} MB, written by {log.gguf.written_by}: compared with the merged"
            f" model, {log.gguf.tensors} tensors, {log.gguf.texts:,} tokenised texts, mean KL divergence"
            f" {log.gguf.mean_kl:.2g} nats, same most likely token {log.gguf.same_top_token:.1%}"
        )
    terminal.say(f"\nmodel: {target}")
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


def _say(log: ExportLog, terminal: Terminal) -> None:
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
        terminal.note(note)
