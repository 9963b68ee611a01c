"""The QLoRA fine-tune: rows in, an adapter folder out, whole or not at all, whichever backend trains."""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from reports.errors import MachineError, UserError
from reports.files import sha256_value, sync_folder, write_json, write_text
from reports.readmes.model_card import adapter_card
from tasks.rendering import load_tokenizer
from training.backends.choice import BACKENDS, PACKAGES, check_can_train
from training.backends.job import ADAPTER, KEPT_MEANWHILE, Backend, Job, Progress, Scorer, TrainingResult, as_dataset
from training.checkpoints import KEPT, checkpoint_fingerprint, checkpoint_folders, last_kept
from training.encoding import EncodedRows, check_vocabulary, encode_rows
from training.log import FILE, TrainingLog, check_hashes, read_log
from training.machine_failures import is_out_of_memory, raise_machine_errors
from training.memory_estimate import Training, estimated_memory, full_finetuning_memory
from training.models.adapters import WEIGHTS, adapter_hashes, read_settings
from training.models.architecture import embedding_rows
from training.models.base_model import small_files
from training.models.device import pick_device
from training.models.model import Model
from training.processes import is_main, process_count, share_of_one, wait_for_all
from training.recipes.recipe import Recipe, TrainerSection
from training.recipes.recipe_file import recipe_yaml
from training.splits import TrainingRows

if TYPE_CHECKING:
    from reports.document.learning_curve import CheckpointChoice
    from tasks.data import ReasoningRow

_WORK = ".training-"


def _weights_fingerprint(recipe: Recipe, base: Model, rows: TrainingRows, wanted: str) -> str:
    """The fingerprint without what only chooses one of the steps, unless it also ends the training early."""
    if recipe.trainer.choose_by is None or recipe.trainer.early_stopping_patience is not None:
        return wanted
    unset = dict.fromkeys(("choose_by", "score_steps", "validation_items"))
    return fingerprint(recipe.model_copy(update={"trainer": recipe.trainer.model_copy(update=unset)}), base, rows)


def rows_hash(rows: Sequence[ReasoningRow]) -> str:
    """Hash over the contents of rows in their order."""
    return sha256_value([[row.id, *row.contents] for row in rows])


@dataclass(frozen=True)
class Selection:
    """Scoring during a training and the choice of its checkpoint, on items that are set aside; made by the caller.

    Attributes:
        items: Hash of the items that choose; empty if none do.
        scorer: Scores the adapter while it is trained; None without `trainer.score_steps`.
        choose: Chooses one of the adapters in these folders, by step, and may write into a work folder that survives a
            kill; None without `trainer.choose_by`.
    """

    items: str = ""
    scorer: Scorer | None = None
    choose: Callable[[Mapping[int, Path], Path], CheckpointChoice] | None = None


NO_SELECTION = Selection()


def fingerprint(recipe: Recipe, base: Model, rows: TrainingRows, choosing: str = "") -> str:
    """What an adapter is the result of: two trainings with the same fingerprint are the same training.

    Args:
        recipe: The recipe.
        base: Its base.
        rows: The rows.
        choosing: Hash of the items that choose a checkpoint; empty if none do.
    """
    model = [base.sha256, small_files(base.folder)]
    parts = [recipe.training_part(), model, rows_hash(rows.train), rows_hash(rows.validation)]
    return sha256_value([*parts, *([choosing] if choosing else [])])


def trained_adapter(folder: Path, wanted: str) -> TrainingLog | None:
    """The log of the adapter in `folder` if it is whole and has the wanted fingerprint, else None.

    Raises:
        UserError: The fingerprint is the wanted one, but the adapter is not the one that this training produced.
    """
    if not (folder / WEIGHTS).is_file():
        return None
    log = read_log(folder)
    if log is None or log.fingerprint != wanted:
        return None
    read_settings(folder)
    return check_hashes(folder, *adapter_hashes(folder))


def kept_steps(folder: Path, training: str) -> dict[int, Path]:
    """The checkpoints, by step, that the training with a fingerprint has kept beside its adapter in `folder`.

    Raises:
        UserError: One of them is not as the training left it.
    """
    kept = checkpoint_folders(folder.parent / KEPT)
    return {
        step: path
        for step, path in kept.items()
        if trained_adapter(path, checkpoint_fingerprint(training, step)) is not None
    }


def finetune(
    recipe: Recipe,
    base: Model,
    rows: TrainingRows,
    folder: Path,
    progress: Progress,
    train: Backend | None = None,
    selection: Selection = NO_SELECTION,
) -> TrainingLog:
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
        train: Trains the job; the backend that suits recipe and machine if None.
        selection: Scores it while it runs and chooses its checkpoint.

    Raises:
        UserError: The data cannot be used, one row at a time does not fit into memory, or the loss became NaN or
            infinite; no adapter is left behind then.
    """
    device = pick_device()
    backend = check_can_train(recipe, base, device)
    tokenizer = load_tokenizer(str(base.folder))
    encoded = encode_rows(tokenizer, recipe, rows.train)
    validating = encode_rows(tokenizer, recipe, rows.validation) if rows.validation else None
    for part in (encoded, validating):
        if part is not None:
            check_vocabulary(part.token_ids(), tokenizer, embedding_rows(base))
    wanted = fingerprint(recipe, base, rows, selection.items)
    with _work_folder(folder, wanted, _weights_fingerprint(recipe, base, rows, wanted)) as work:
        job = Job(
            recipe=share_of_one(recipe),
            base=base,
            train=as_dataset(encoded),
            validation=None if validating is None else as_dataset(validating),
            work=work,
            device=device,
            dtype=device.default_dtype(recipe.model.dtype),
            scorer=selection.scorer,
        )
        with raise_machine_errors():
            done, used = _train_in_memory(job, train or BACKENDS[backend], progress)
        log = _log(wanted, recipe, job, rows, encoded, done, used)
        if is_main():
            for step, path in checkpoint_folders(job.kept).items():
                _complete(path, recipe, base, tokenizer, _log_of_step(log, step))
        if selection.choose is not None:
            wait_for_all()
            with raise_machine_errors():
                choice = selection.choose(checkpoint_folders(job.kept), work)
            log = log.model_copy(update={"step": choice.step, "choice": choice})
        if is_main():
            if log.choice is not None:
                shutil.rmtree(job.made)
                shutil.copytree(checkpoint_folders(job.kept)[log.choice.step], job.made)
            log = _complete(job.made, recipe, base, tokenizer, log)
            kept = folder.parent / KEPT
            if kept.exists():
                _move_aside(kept)
            if recipe.trainer.keep_checkpoints is not None and job.kept.is_dir():
                _put(job.kept, kept)
            _put(job.made, folder)  # this says that the training is finished
            _remove_others(kept, recipe.trainer.keep_checkpoints)  # all of them choose again if it was not
        wait_for_all()
    return log


def _remove_others(kept: Path, keep: int | Literal["all"] | None) -> None:
    """Remove the checkpoints that were candidates only, and that the recipe does not keep."""
    folders = checkpoint_folders(kept)
    for step in {*folders} - {*last_kept([*folders], keep)}:
        shutil.rmtree(folders[step])


def _complete(folder: Path, recipe: Recipe, base: Model, tokenizer: Any, log: TrainingLog) -> TrainingLog:
    """Write all that an adapter folder has beside weights and configuration; returns the log with their hashes."""
    tokenizer.save_pretrained(folder)
    write_text(folder / "recipe.yaml", recipe_yaml(recipe))
    write_text(folder / "README.md", _card(recipe, base, log.rows))
    sha256, config_sha256 = adapter_hashes(folder)
    log = log.model_copy(update={"weights_sha256": sha256, "config_sha256": config_sha256})
    write_json(folder / FILE, log.model_dump(mode="json"))
    return log


def _log_of_step(log: TrainingLog, step: int) -> TrainingLog:
    """The log of a training as far as one of its steps."""
    losses = [record for record in log.losses if record["step"] <= step]
    return log.model_copy(
        update={
            "fingerprint": checkpoint_fingerprint(log.fingerprint, step),
            "steps": step,
            "step": step,
            "epochs": round(log.epochs * step / log.steps, 4),
            "losses": losses,
            "final_loss": next((record["loss"] for record in reversed(losses) if "loss" in record), None),
        }
    )


def _log(
    wanted: str,
    recipe: Recipe,
    job: Job,
    rows: TrainingRows,
    encoded: EncodedRows,
    done: TrainingResult,
    used: TrainerSection,
) -> TrainingLog:
    """What was done, and how: as the recipe says, but for the batch where memory ran out."""
    lengths = [len(row.input_ids) for row in encoded.rows]
    fitted = job.recipe.model_copy(update={"trainer": used})
    training = Training(fitted, job.base, lengths, job.device, done.backend)
    return TrainingLog(
        fingerprint=wanted,
        base=job.base.source,
        base_sha256=job.base.sha256,
        data_sha256=rows_hash(rows.train),
        rows=len(encoded.rows),
        validation_rows=0 if job.validation is None else len(job.validation),
        truncated_rows=encoded.truncated,
        dropped_rows=encoded.dropped,
        altered_turns=encoded.altered_turns,
        sources=rows.accounts,
        trained_tokens=encoded.trained_tokens,
        batch_size=used.batch_size,
        gradient_accumulation=used.gradient_accumulation,
        estimated_memory=estimated_memory(training, done.trainable_parameters),
        full_finetuning_memory=full_finetuning_memory(training),
        settings=recipe.training_part(),
        versions={package: importlib.metadata.version(package) for package in PACKAGES[done.backend]},
        **done.model_dump(),
    )


@contextlib.contextmanager
def _work_folder(folder: Path, wanted: str, weights: str) -> Iterator[Path]:
    """A folder for one training beside the adapter's; what a killed training of the same weights left is in it.

    It is removed when the training ends, also by an error of the user's. It stays when the process is killed or the
    machine fails, or when only the choice of its checkpoint fails, for the next training to go on from.

    Args:
        folder: Where the adapter goes.
        wanted: Fingerprint of the training.
        weights: Fingerprint of all that decides the weights of its steps.
    """
    work = folder.parent / f"{_WORK}{weights[:16]}"
    if not is_main():
        wait_for_all()
        yield work
        return
    for left_over in folder.parent.glob(f"{_WORK}*"):
        if left_over != work:
            shutil.rmtree(left_over, ignore_errors=True)
    shutil.rmtree(work / ADAPTER, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    if kept_steps(folder, wanted):  # the training was killed after it had put them there, and before the adapter
        (folder.parent / KEPT).replace(work / KEPT_MEANWHILE)
    wait_for_all()
    try:
        yield work
    except MachineError:
        raise
    except UserError:
        if not (work / ADAPTER).is_dir():
            shutil.rmtree(work, ignore_errors=True)
        raise
    shutil.rmtree(work, ignore_errors=True)


def _train_in_memory(job: Job, backend: Backend, progress: Progress) -> tuple[TrainingResult, TrainerSection]:
    """Train with the largest batch that fits: (what the training did, the trainer's settings as used)."""
    while True:
        try:
            return backend(job, progress), job.recipe.trainer
        except RuntimeError as error:  # which torch.OutOfMemoryError is, too
            if not is_out_of_memory(error):
                raise
            job = replace(job, recipe=_halved(job.recipe))
        finally:
            job.device.release_memory()
        batch = f"{job.recipe.trainer.batch_size} x {job.recipe.trainer.gradient_accumulation}"
        progress(0, 0, f"out of memory: starting again with batch {batch}")


def _halved(recipe: Recipe) -> Recipe:
    """The recipe with a smaller batch and the same effective one.

    Raises:
        UserError: The batch is one row already.
    """
    trainer = recipe.trainer
    if process_count() > 1:
        raise UserError(
            "a card ran out of memory; with several processes the batch is not halved by itself",
            where="trainer.batch_size",
            fix=f"halve it from {trainer.batch_size} and double trainer.gradient_accumulation",
        )
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


def _card(recipe: Recipe, base: Model, rows: int) -> str:
    """The adapter's README.md; PEFT's own would name folders of this machine."""
    source = recipe.data.train
    return adapter_card(
        name=recipe.name,
        base=base.public_name,
        data=source.public_name,
        datasets=[source.label] if not source.files() else [],
        rows=rows,
        answer_format=recipe.format.name,
        synthetic=source.is_sample,
    )


def _put(made: Path, folder: Path) -> None:
    """Move a folder that is complete to its place; one that is there already is kept under another name."""
    sync_folder(made, files=True)
    if folder.exists():
        _move_aside(folder)
    made.replace(folder)
    sync_folder(folder.parent)


def _move_aside(folder: Path) -> None:
    """Keep a folder under another name."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}.old-{number}")).exists():
        number += 1
    folder.replace(aside)
