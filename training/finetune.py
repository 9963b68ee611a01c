"""The QLoRA fine-tune with TRL and PEFT: rows in, an adapter folder out, whole or not at all."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.errors import UserError
from reports.files import sha256_value, write_text
from reports.model_card import adapter_card
from tasks.formats import get_format
from tasks.rendering import load_tokenizer
from training import trl_backend
from training.base_model import BaseModel
from training.division import TrainingRows
from training.encoding import EncodedRows, encode_rows
from training.loading import load_for_training, pick_device, pick_dtype
from training.log import TrainingLog, read_log, write_log
from training.recipe import Recipe, TrainerSection
from training.recipe_file import recipe_yaml
from training.trl_backend import Progress

if TYPE_CHECKING:
    from tasks.data import ReasoningRow

_WORK = ".training-"
_MADE = "adapter"
_VERSIONS = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate")


def rows_hash(rows: Sequence[ReasoningRow]) -> str:
    """Hash over the contents of rows in their order."""
    return sha256_value([[row.id, row.question, row.reasoning, row.response] for row in rows])


def fingerprint(recipe: Recipe, base: BaseModel, rows: TrainingRows) -> str:
    """What an adapter is the result of: two trainings with the same fingerprint are the same training."""
    return sha256_value([recipe.training_part(), base.sha256, rows_hash(rows.train), rows_hash(rows.validation)])


def trained_adapter(folder: Path, wanted: str) -> TrainingLog | None:
    """The log of the adapter in `folder` if it is whole and has the wanted fingerprint, else None."""
    if not (folder / "adapter_model.safetensors").is_file():
        return None
    log = read_log(folder)
    return log if log is not None and log.fingerprint == wanted else None


def finetune(recipe: Recipe, base: BaseModel, rows: TrainingRows, folder: Path, progress: Progress) -> TrainingLog:
    """Train the recipe's adapter and put it into `folder`.

    An adapter of another recipe that is already there is moved aside, never overwritten. A training that was killed
    goes on from its last checkpoint, with the same order of rows, and ends with the adapter it would have had. When
    memory runs out, training starts again with half the batch and twice the accumulation, so that the effective batch
    stays what the recipe says.

    Args:
        recipe: The resolved recipe.
        base: Its base model.
        rows: What to train and to validate on.
        folder: Where the adapter goes.
        progress: Called after each step with (steps done, steps in all, a note such as the loss).

    Raises:
        UserError: The data cannot be used, one row at a time does not fit into memory, or the loss became NaN or
            infinite; no adapter is left behind then.
    """
    tokenizer = load_tokenizer(str(base.folder))
    shape = get_format(recipe.format.name)
    encode = functools.partial(
        encode_rows, tokenizer, shape, chat=recipe.format.chat_template, max_length=recipe.trainer.max_length
    )
    encoded = encode(rows.train)
    checked = encode(rows.validation) if rows.validation else None
    wanted = fingerprint(recipe, base, rows)
    with _work_folder(folder, wanted) as work:
        done, used = _train_in_memory(recipe, base, encoded, checked, work, progress)
        log = TrainingLog(
            fingerprint=wanted,
            base=base.name,
            base_sha256=base.sha256,
            data_sha256=rows_hash(rows.train),
            rows=len(encoded.rows),
            validation_rows=len(rows.validation),
            truncated_rows=encoded.truncated,
            dropped_rows=encoded.dropped,
            trained_tokens=encoded.trained_tokens,
            batch_size=used.batch_size,
            gradient_accumulation=used.gradient_accumulation,
            settings=recipe.training_part(),
            versions={package: importlib.metadata.version(package) for package in _VERSIONS},
            **done,
        )
        made = work / _MADE
        tokenizer.save_pretrained(made)
        write_text(made / "recipe.yaml", recipe_yaml(recipe))
        write_text(made / "README.md", _card(recipe, base, len(encoded.rows)))
        write_log(made, log)
        _put(made, folder)
    return log


@contextlib.contextmanager
def _work_folder(folder: Path, wanted: str) -> Iterator[Path]:
    """A folder for one training beside the adapter's; what a killed training of the same fingerprint left is in it.

    It is removed when the training ends, also by an error of the user's; it stays when the process is killed.
    """
    work = folder.parent / f"{_WORK}{wanted[:16]}"
    for left_over in folder.parent.glob(f"{_WORK}*"):
        if left_over != work:
            shutil.rmtree(left_over, ignore_errors=True)
    shutil.rmtree(work / _MADE, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    try:
        yield work
    except UserError:
        shutil.rmtree(work, ignore_errors=True)
        raise
    shutil.rmtree(work, ignore_errors=True)


def _train_in_memory(
    recipe: Recipe, base: BaseModel, encoded: EncodedRows, checked: EncodedRows | None, work: Path, progress: Progress
) -> tuple[dict[str, Any], TrainerSection]:
    """Train with the largest batch that fits: (what the training did, the trainer's settings as used)."""
    import torch

    while True:
        try:
            return _train(recipe, base, encoded, checked, work, progress), recipe.trainer
        except torch.OutOfMemoryError:
            recipe = _halved(recipe)
        batch = f"{recipe.trainer.batch_size} x {recipe.trainer.gradient_accumulation}"
        progress(0, 0, f"out of memory: starting again with batch {batch}")
        torch.cuda.empty_cache()


def _train(
    recipe: Recipe,
    base: BaseModel,
    encoded: EncodedRows,
    checked: EncodedRows | None,
    work: Path,
    progress: Progress,
) -> dict[str, Any]:
    """One training from the first step to the last, its adapter saved in `work`; what it did, for the log."""
    import torch
    from transformers import set_seed

    device = pick_device()
    dtype = pick_dtype(recipe.model.dtype, device)
    set_seed(recipe.seed)
    model = load_for_training(base, recipe.quantization, dtype=dtype, device=device)
    tokenizer = load_tokenizer(str(base.folder))
    trainer = trl_backend.make_trainer(recipe, model, tokenizer, encoded, checked, work, progress, dtype)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    last = trl_backend.last_checkpoint(work)
    if last is not None:
        progress(0, 0, f"going on from step {last.name.rpartition('-')[2]}, where an earlier training was stopped")
    trainer.train(resume_from_checkpoint=None if last is None else str(last))
    if checked is not None:
        trainer.evaluate()
    seconds = time.perf_counter() - started
    trainer.model.peft_config["default"].base_model_name_or_path = base.public_name
    trainer.model.save_pretrained(work / _MADE, save_embedding_layers=False)
    trainable, total = trainer.model.get_nb_trainable_parameters()
    losses = trl_backend.logged_losses(trainer.state.log_history)
    return {
        "backend": "trl",
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "dtype": dtype,
        "steps": trainer.state.global_step,
        "epochs": round(float(trainer.state.epoch or 0), 4),
        "trainable_parameters": int(trainable),
        "total_parameters": int(total),
        "seconds": round(seconds, 3),
        "peak_memory_bytes": _peak_memory(device),
        "final_loss": next((each["loss"] for each in reversed(losses) if "loss" in each), None),
        "losses": losses,
    }


def _halved(recipe: Recipe) -> Recipe:
    """The recipe with a smaller batch and the same effective one.

    Raises:
        UserError: The batch is one row already.
    """
    trainer = recipe.trainer
    if trainer.batch_size == 1:
        raise UserError(
            "one row at a time does not fit into memory",
            where="trainer",
            fix="lower trainer.max_length, set trainer.gradient_checkpointing=true, or take a smaller base",
        )
    batch = trainer.batch_size // 2 if trainer.batch_size % 2 == 0 else 1
    accumulation = trainer.batch_size * trainer.gradient_accumulation // batch
    smaller = trainer.model_copy(update={"batch_size": batch, "gradient_accumulation": accumulation})
    return recipe.model_copy(update={"trainer": smaller})


def _peak_memory(device: str) -> int | None:
    import torch

    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def _card(recipe: Recipe, base: BaseModel, rows: int) -> str:
    """The adapter's README.md; PEFT's own would name folders of this machine."""
    source = recipe.data.train
    return adapter_card(
        name=recipe.name,
        base=base.public_name,
        data=source.public_name,
        datasets=[source.source] if source.file() is None else [],
        rows=rows,
        answer_format=recipe.format.name,
        synthetic=source.is_sample,
    )


def _put(made: Path, folder: Path) -> None:
    """Move a finished adapter to its place; one that is there already is kept under another name."""
    if folder.exists():
        number = 1
        while (aside := folder.with_name(f"{folder.name}.old-{number}")).exists():
            number += 1
        folder.replace(aside)
    made.replace(folder)
    shutil.rmtree(made, ignore_errors=True)
