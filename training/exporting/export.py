"""Merges an adapter into its base as a plain model folder, which is compared with the two before it gets its name."""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.errors import UserError
from reports.files import PART, part_of, remove_parts, write_json, write_text
from reports.readmes.model_card import merged_card
from tasks.chat import turn_end
from tasks.rendering import adapter_tokenizer, load_tokenizer
from training.exporting.agreement import ARITHMETIC_KL, Agreement, compare, logits, probe_tokens, rounding_tolerance
from training.exporting.export_log import EXPORT_FILE, BaseWeights, ExportLog
from training.exporting.merging import add_turn_end, load_written, merge, one_message, write_model
from training.exporting.provenance import records
from training.log import TrainedOn, check_hashes, read_log
from training.models.adapters import load_adapter
from training.models.base_model import config_hash, model_config, weights_hash
from training.models.device import DTypeName, pick_device
from training.models.loading import load_for_scoring
from training.models.model import Model
from training.models.weight_format import has_dense_form, is_quantised, weight_format

if TYPE_CHECKING:
    from training.recipes.recipe import Recipe

_RECIPE = "recipe.yaml"
_WEAK = 0.1  # a larger effect of rounding, as a share of the adapter's own, is a warning
_LOST = 0.9  # at this share the adapter counts as lost in rounding, or in a faulty merge
_VERSIONS = ("torch", "transformers", "peft", "bitsandbytes")


@dataclass(frozen=True)
class _Check:
    """The written model compared with base and unmerged adapter.

    Attributes:
        agreement: Its divergence from them.
        effect: Divergence of the base alone from them: what the adapter changes.
        tolerance: Largest `mean_kl` allowed.
    """

    agreement: Agreement
    effect: Agreement
    tolerance: float


def export_merged(  # noqa: PLR0913 - the last is for tests of what fails while it writes
    recipe: Recipe,
    base: Model,
    adapter: Model,
    folder: Path,
    *,
    base_weights: BaseWeights,
    dtype: DTypeName,
    max_shard_size: str,
    say: Callable[[str], None],
    write: Callable[[Any, Model, Path, str], None] = write_model,
) -> ExportLog:
    """Write base and adapter as one model, which `AutoModelForCausalLM.from_pretrained(folder)` loads.

    The update is added in float32 and the sum rounded once. The folder is made under another name beside its own,
    loaded again and compared with base and unmerged adapter; only then is it renamed into place.

    Args:
        recipe: The adapter's recipe: quantisation, dtype and answer format.
        base: The base model.
        adapter: The adapter of this base.
        folder: The folder to write, which must not exist.
        base_weights: `as_trained` merges into the values that training used, 4-bit ones dequantised; `full` into the
            base's own weights, on which an adapter of a 4-bit base was not trained.
        dtype: Of the merged weights.
        max_shard_size: Largest size of a file, such as `5GB`.
        say: Called with a line for each step.
        write: Saves the merged model.

    Raises:
        UserError: The folder exists, the adapter is not the one that its training produced, the model
            cannot be merged, written or loaded, does not fit into memory or on the disk, or the merged model disagrees
            with the adapter on its base by more than rounding explains, or by as much as the adapter itself changes.
    """
    check_hashes(adapter.folder, adapter.sha256, adapter.config_sha256)
    kept, weights = _kept_weights(recipe, base, adapter, base_weights)
    tokenizer = load_tokenizer(adapter_tokenizer(adapter.folder, base.folder))
    probes = probe_tokens(tokenizer, recipe.format)
    device = pick_device()
    with partial(folder) as part, one_message(base, device):
        say(f"  the adapter on {base.source} ({weights}), run on {len(probes)} texts for comparison")
        model = load_for_scoring(
            base,
            recipe.quantization if base_weights == "as_trained" else None,
            train_dtype=kept,
            dtype=kept,
            device=device,
        )
        wrapped = load_adapter(model, adapter.folder)
        wanted = logits(wrapped, probes)
        with wrapped.disable_adapter():
            effect = compare(wanted, logits(wrapped, probes))
        say(f"  merging in float32, rounding once to {dtype}")
        merged = merge(wrapped, dtype)
        tolerance = _tolerance(effect, merged, dtype)
        write(merged, base, part, max_shard_size)
        tokenizer.save_pretrained(part)
        add_turn_end(part, turn_end(tokenizer, recipe.format.chat))
        del model, wrapped, merged
        device.release_memory()
        say("  loading the written folder and comparing")
        check = _Check(compare(wanted, logits(load_written(part, device), probes)), effect, tolerance)
        _judge(check, dtype)
        log = _log(base, adapter, part, base_weights, weights, dtype, probes, check)
        _describe(recipe, adapter, part, log)
        part.replace(folder)
    return log


def _kept_weights(recipe: Recipe, base: Model, adapter: Model, base_weights: BaseWeights) -> tuple[DTypeName, str]:
    """(dtype of the base's weights before the merge, description of it)."""
    config = model_config(base)
    if not has_dense_form(base):
        raise UserError(
            "its weights are quantised by a method that cannot be dequantised here, so nothing can be merged into them",
            where=base.source,
            fix="use the adapter without merging, or name the unquantised model: --set model.base=... --base full",
        )
    if base_weights == "full":
        if is_quantised(base):
            raise UserError(
                "its checkpoint is quantised, so there are no full-precision weights to merge into",
                where=base.source,
                fix="leave --base full out, or name the unquantised model with --set model.base=...",
            )
        own = str(config.get("dtype") or config.get("torch_dtype"))
        kept: DTypeName = own if own in ("bfloat16", "float16") else "float32"  # type: ignore[assignment]
        return kept, f"its own weights in {kept}"
    log = read_log(adapter.folder)
    kept = log.dtype if log is not None else pick_device().default_dtype(recipe.model.dtype)  # type: ignore[assignment]
    if is_quantised(base):
        return kept, f"its own quantised checkpoint, dequantised once to {kept}"
    return kept, weight_format(base, recipe.quantization).in_scoring(kept, dense=True)


def _tolerance(effect: Agreement, merged: Any, dtype: DTypeName) -> float:
    """Divergence that rounding explains, but less than the adapter's own: a merge without the adapter must fail."""
    matrices = sum(parameter.ndim > 1 for parameter in merged.parameters())
    explained = rounding_tolerance(effect.spread, matrices, dtype)
    return min(explained, max(_LOST * effect.mean_kl, ARITHMETIC_KL))


def _judge(check: _Check, dtype: DTypeName) -> None:
    if not check.agreement.mean_kl <= check.tolerance:  # also true for NaN
        raise UserError(
            f"the merged model does not predict what the adapter on its base predicts: mean KL divergence"
            f" {check.agreement.mean_kl:.2g} nats, where rounding to {dtype} and the adapter's own effect allow"
            f" {check.tolerance:.2g}; nothing was saved",
            fix="try --dtype float32, which preserves weak adapters too, or use the adapter on its base",
        )


def _log(
    base: Model,
    adapter: Model,
    part: Path,
    base_weights: BaseWeights,
    weights: str,
    dtype: DTypeName,
    probes: Sequence[Sequence[int]],
    check: _Check,
) -> ExportLog:
    files = sorted(part.glob("*.safetensors"))
    return ExportLog(
        base=base.public_name,
        base_sha256=base.sha256,
        base_weights=base_weights,
        weights=weights,
        adapter=adapter.source,
        adapter_sha256=adapter.sha256,
        adapter_config_sha256=adapter.config_sha256,
        dtype=dtype,
        files=len(files),
        weight_bytes=sum(file.stat().st_size for file in files),
        probes=len(probes),
        probe_tokens=sum(map(len, probes)),
        max_logit_difference=check.agreement.max_difference,
        mean_kl=check.agreement.mean_kl,
        same_top_token=check.agreement.same_top,
        tolerance_kl=check.tolerance,
        adapter_kl=check.effect.mean_kl,
        notes=_notes(base, adapter, check, dtype),
        versions={package: importlib.metadata.version(package) for package in _VERSIONS},
        weights_sha256=weights_hash(part),
        config_sha256=config_hash(part),
        trained_on=_trained_on(base, adapter),
    )


def _trained_on(base: Model, adapter: Model) -> list[TrainedOn] | None:
    """Recorded fine-tunes of base and adapter, or None if those of either are unknown."""
    try:
        return [*records(base), *records(adapter)]
    except UserError:
        return None


def _notes(base: Model, adapter: Model, check: _Check, dtype: DTypeName) -> list[str]:
    notes = []
    log = read_log(adapter.folder)
    if log is not None and log.base_sha256 != base.sha256:
        notes.append(f"the adapter was trained on other weights than those of {base.source}")
    rounding, effect = check.agreement.mean_kl, check.effect.mean_kl
    if rounding > _WEAK * effect and dtype != "float32":
        notes.append(
            f"the adapter is so weak that rounding to {dtype} changes the predictions"
            f" {rounding / effect if effect else math.inf:.0%} as much as the adapter does; --dtype float32 avoids that"
        )
    return notes


def _describe(recipe: Recipe, adapter: Model, part: Path, log: ExportLog) -> None:
    """Write the card, the adapter's recipe and the export's log."""
    own = adapter.folder / _RECIPE
    source = recipe.data.train if own.is_file() else None
    card = merged_card(
        name=recipe.name if own.is_file() else adapter.source,
        base=log.base,
        weights=log.weights,
        dtype=log.dtype,
        data=source.public_name if source else None,
        datasets=[source.label] if source and not source.files() else [],
        synthetic=source is not None and source.is_sample,
        agreement=f"{log.same_top_token:.1%} equal argmax tokens, mean KL divergence {log.mean_kl:.2g} nats",
    )
    write_text(part / "README.md", card)
    if own.is_file():
        shutil.copyfile(own, part / _RECIPE)
    write_json(part / EXPORT_FILE, log.model_dump(mode="json"))


@contextlib.contextmanager
def partial(folder: Path) -> Iterator[Path]:
    """A temporary folder beside the final folder or file, on the same disk; removed afterwards unless it was renamed.

    Raises:
        UserError: The final one exists, or cannot be created.
    """
    if folder.exists():
        raise UserError(
            "it is there already, and an export never overwrites", where=str(folder), fix="choose another with --out"
        )
    part = folder.with_name(f"{part_of(folder)}{PART}")
    try:
        part.mkdir(parents=True)
        remove_parts(
            path for path in folder.parent.iterdir() if path.suffix == PART and path.name.startswith(f".{folder.name}.")
        )
        yield part
    except OSError as error:
        raise UserError(
            f"cannot write the model ({error.strerror or type(error).__name__})",
            where=str(folder),
            fix="check its folder's rights and the free disk space",
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
