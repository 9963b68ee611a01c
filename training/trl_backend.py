"""The TRL backend: its SFTTrainer over rows that are tokenised and masked already, every setting that matters given."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.errors import UserError
from reports.files import read_json
from training.encoding import EncodedRows
from training.loading import quiet_bitsandbytes

if TYPE_CHECKING:
    from datasets import Dataset

    from training.recipe import Recipe

Progress = Callable[[int, int, str], None]
"""(steps done, steps in all, a note); where there are no steps, the note is a message of its own."""

_CHECKPOINTS = "checkpoints"
_STATE = "trainer_state.json"


def make_trainer(
    recipe: Recipe,
    model: Any,
    tokenizer: Any,
    encoded: EncodedRows,
    checked: EncodedRows | None,
    work: Path,
    progress: Progress,
    dtype: str,
) -> Any:
    """A trainer ready to run.

    Args:
        recipe: The resolved recipe, with the batch size to use.
        model: The quantised base.
        tokenizer: The base's tokenizer.
        encoded: Rows to train on.
        checked: Rows to validate on, if any.
        work: Folder for checkpoints.
        progress: Called after each step with (steps done, steps in all, a note such as the loss).
        dtype: Of the computation; 16-bit ones run under autocast with the adapter in float32.
    """
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
        output_dir=str(work / _CHECKPOINTS),
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
        save_strategy="steps",
        save_steps=(settings.eval_steps or 1) if settings.keep_best else settings.save_steps,
        save_total_limit=2,
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


def last_checkpoint(work: Path) -> Path | None:
    """The last whole checkpoint in a work folder; the trainer writes its state as the last of a checkpoint's files."""
    found = {}
    for folder in (work / _CHECKPOINTS).glob("checkpoint-*"):
        with contextlib.suppress(UserError, ValueError):
            read_json(folder / _STATE)
            found[int(folder.name.rpartition("-")[2])] = folder
    return found[max(found)] if found else None


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
            # In float16 a gradient that overflows is expected now and then: that step is skipped and the scale lowered.
            for key in ("loss", "eval_loss", *(() if args.fp16 else ("grad_norm",))):
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


def logged_losses(history: list[dict[str, Any]]) -> list[dict[str, float]]:
    """The losses of a trainer's log, one record for each logged step."""
    keep = ("loss", "eval_loss", "learning_rate", "grad_norm")
    records = [
        {"step": float(each["step"]), **{key: float(each[key]) for key in keep if key in each}} for each in history
    ]
    return [record for record in records if "loss" in record or "eval_loss" in record]
