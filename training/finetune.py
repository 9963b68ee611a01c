"""The QLoRA fine-tune with TRL and PEFT: rows in, an adapter folder out, whole or not at all."""

from __future__ import annotations

import importlib.metadata
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.errors import UserError
from reports.files import sha256_value, write_text
from reports.model_card import adapter_card
from tasks.formats import get_format
from tasks.rendering import load_tokenizer
from training.base_model import BaseModel
from training.division import TrainingRows
from training.encoding import EncodedRows, encode_rows
from training.loading import load_for_training, pick_device, pick_dtype, quiet_bitsandbytes
from training.log import TrainingLog, read_log, write_log
from training.recipe import Recipe
from training.recipe_file import recipe_yaml

if TYPE_CHECKING:
    from datasets import Dataset

    from tasks.data import ReasoningRow

Progress = Callable[[int, int, str], None]
_WORK = ".training-"
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

    An adapter of another recipe that is already there is moved aside, never overwritten.

    Args:
        recipe: The resolved recipe.
        base: Its base model.
        rows: What to train and to validate on.
        folder: Where the adapter goes.
        progress: Called after each step with (steps done, steps in all, a note such as the loss).

    Raises:
        UserError: The data cannot be used, or the loss became NaN or infinite; no adapter is left behind then.
    """
    import torch
    from transformers import set_seed

    device = pick_device()
    dtype = pick_dtype(recipe.model.dtype, device)
    tokenizer = load_tokenizer(str(base.folder))
    shape = get_format(recipe.format.name)
    encode = {"chat": recipe.format.chat_template, "max_length": recipe.trainer.max_length}
    encoded = encode_rows(tokenizer, shape, rows.train, **encode)  # type: ignore[arg-type]
    checked = encode_rows(tokenizer, shape, rows.validation, **encode) if rows.validation else None  # type: ignore[arg-type]

    set_seed(recipe.seed)
    model = load_for_training(base, recipe.quantization, dtype=dtype, device=device)
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left_over in folder.parent.glob(f"{_WORK}*"):  # by a training that was killed
        shutil.rmtree(left_over, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=_WORK) as name:
        work = Path(name)
        trainer = _trainer(recipe, model, tokenizer, encoded, checked, work, progress, dtype)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        trainer.train()
        if checked is not None:
            trainer.evaluate()
        seconds = time.perf_counter() - started
        trainable, total = _count_parameters(trainer.model)
        losses = _losses(trainer.state.log_history)
        log = TrainingLog(
            fingerprint=fingerprint(recipe, base, rows),
            backend="trl",
            device=torch.cuda.get_device_name() if device == "cuda" else "cpu",
            dtype=dtype,
            base=base.name,
            base_sha256=base.sha256,
            data_sha256=rows_hash(rows.train),
            steps=trainer.state.global_step,
            epochs=round(float(trainer.state.epoch or 0), 4),
            rows=len(encoded.rows),
            validation_rows=len(rows.validation),
            truncated_rows=encoded.truncated,
            dropped_rows=encoded.dropped,
            trained_tokens=encoded.trained_tokens,
            trainable_parameters=trainable,
            total_parameters=total,
            seconds=round(seconds, 3),
            peak_memory_bytes=_peak_memory(device),
            final_loss=next((each["loss"] for each in reversed(losses) if "loss" in each), None),
            losses=losses,
            settings=recipe.training_part(),
            versions={package: importlib.metadata.version(package) for package in _VERSIONS},
        )
        made = work / "adapter"
        trainer.model.peft_config["default"].base_model_name_or_path = base.public_name
        trainer.model.save_pretrained(made, save_embedding_layers=False)
        tokenizer.save_pretrained(made)
        write_text(made / "recipe.yaml", recipe_yaml(recipe))
        write_text(made / "README.md", _card(recipe, base, len(encoded.rows)))
        write_log(made, log)
        _put(made, folder)
    return log


def _trainer(
    recipe: Recipe,
    model: Any,
    tokenizer: Any,
    encoded: EncodedRows,
    checked: EncodedRows | None,
    work: Path,
    progress: Progress,
    dtype: str,
) -> Any:
    """TRL's trainer over rows that are tokenised and masked already, every setting that matters given."""
    with quiet_bitsandbytes():
        from peft import LoraConfig, TaskType
        from trl import SFTConfig, SFTTrainer

    settings = recipe.trainer
    lora = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=recipe.lora.r,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=recipe.lora.dropout,
        target_modules=recipe.lora.target_modules,
        bias="none",
    )
    arguments = SFTConfig(
        output_dir=str(work / "checkpoints"),
        seed=recipe.seed,
        data_seed=recipe.seed,
        num_train_epochs=settings.epochs or 1,
        max_steps=settings.max_steps or -1,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup_steps if settings.warmup_steps is not None else (settings.warmup_ratio or 0),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim=settings.optimizer,
        gradient_checkpointing=settings.gradient_checkpointing,
        use_cpu=model.device.type == "cpu",
        bf16=dtype == "bfloat16",
        fp16=dtype == "float16",
        max_length=None,
        packing=False,
        padding_free=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        eval_strategy="steps" if checked is not None and settings.eval_steps else "no",
        eval_steps=settings.eval_steps,
        logging_steps=settings.logging_steps,
        logging_nan_inf_filter=False,
        save_strategy="steps" if settings.keep_best else "no",
        save_steps=settings.eval_steps or 1,
        save_total_limit=1,
        load_best_model_at_end=settings.keep_best,
        metric_for_best_model="eval_loss" if settings.keep_best else None,
        greater_is_better=False if settings.keep_best else None,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=_dataset(encoded),
        eval_dataset=_dataset(checked) if checked is not None else None,
        processing_class=tokenizer,
        peft_config=lora,
        callbacks=[_callback(progress)],
    )
    from transformers import EarlyStoppingCallback, PrinterCallback

    if settings.early_stopping_patience:
        trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=settings.early_stopping_patience))
    trainer.remove_callback(PrinterCallback)
    # TRL turns a QLoRA adapter's weights to bfloat16, in which small updates are lost and float16 cards cannot scale
    # gradients; in float32 under autocast they are what PEFT makes by itself.
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return trainer


def _dataset(encoded: EncodedRows) -> Dataset:
    from datasets import Dataset

    return Dataset.from_list([{"input_ids": row.input_ids, "labels": row.labels} for row in encoded.rows])


def _callback(progress: Progress) -> Any:
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]
        """Reports progress, and stops a training whose loss is no number."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            progress(0, state.max_steps, "")

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
            values = logs or {}
            for key in ("loss", "eval_loss", "grad_norm"):
                if key in values and not math.isfinite(float(values[key])):
                    raise UserError(
                        f"the {key} became {values[key]} at step {state.global_step}; the training stopped and nothing"
                        " was saved",
                        where="trainer",
                        fix="lower trainer.learning_rate, add warm-up, or use dtype bfloat16 or float32",
                    )
            if "loss" in values:
                progress(state.global_step, state.max_steps, f"loss {float(values['loss']):.3f}")

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            progress(state.global_step, state.max_steps, "")

    return Watch()


def _losses(history: list[dict[str, Any]]) -> list[dict[str, float]]:
    keep = ("loss", "eval_loss", "learning_rate", "grad_norm")
    records = [
        {"step": float(each["step"]), **{key: float(each[key]) for key in keep if key in each}} for each in history
    ]
    return [record for record in records if "loss" in record or "eval_loss" in record]


def _count_parameters(model: Any) -> tuple[int, int]:
    """(trainable, all) parameters; a 4-bit parameter stores two in a byte."""
    trainable, total = model.get_nb_trainable_parameters()
    return int(trainable), int(total)


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
