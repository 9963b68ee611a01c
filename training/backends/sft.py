"""TRL's SFTTrainer over rows that are tokenised and masked already, every setting that matters given, and its run."""

from __future__ import annotations

import math
import statistics
import time
from typing import TYPE_CHECKING, Any

from reports.document.schema import MemoryUse
from training.backends import trackers
from training.backends.job import Done, Job, Progress
from training.backends.packing import pack
from training.backends.watching import CHECKPOINTS, last_checkpoint, watch
from training.models.loading import quiet_bitsandbytes
from training.processes import is_main, local_index, process_count
from training.stopping import finishing_batches

if TYPE_CHECKING:
    from peft import LoraConfig


def lora_config(job: Job) -> LoraConfig:
    """The adapter's configuration."""
    with quiet_bitsandbytes():
        from peft import LoraConfig, TaskType

    lora = job.recipe.lora
    return LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        bias="none",
    )


def sft_settings(job: Job) -> dict[str, Any]:
    """The arguments of TRL's SFTConfig for a job; nothing that decides a number is left to a default."""
    settings = job.recipe.trainer
    validates = job.validation is not None and settings.eval_steps is not None
    return {
        "output_dir": str(job.work / CHECKPOINTS),
        "seed": job.recipe.training_seed,
        "data_seed": job.recipe.training_seed,
        "num_train_epochs": settings.epochs or 1,
        "max_steps": settings.max_steps or -1,
        "per_device_train_batch_size": settings.batch_size,
        "per_device_eval_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.gradient_accumulation,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": settings.warmup_steps if settings.warmup_steps is not None else (settings.warmup_ratio or 0),
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "optim": settings.optimizer,
        "gradient_checkpointing": bool(settings.gradient_checkpointing),
        "use_cpu": job.device == "cpu",
        "bf16": job.dtype == "bfloat16",
        "fp16": job.dtype == "float16",
        "max_length": None,
        "packing": False,  # packed, where it is asked for, before the trainer sees the rows
        "padding_free": settings.packing,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "remove_unused_columns": False,
        "dataloader_pin_memory": job.device == "cuda",
        "ddp_find_unused_parameters": False if process_count() > 1 else None,
        "eval_strategy": "steps" if validates else "no",
        "eval_steps": settings.eval_steps,
        "logging_steps": settings.logging_steps,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": (settings.eval_steps or 1) if settings.keep_best else settings.save_steps,
        "save_total_limit": 2,
        "load_best_model_at_end": settings.keep_best,
        "metric_for_best_model": "eval_loss" if settings.keep_best else None,
        "greater_is_better": False if settings.keep_best else None,
        "report_to": settings.trackers or "none",
        "run_name": job.recipe.name,
        "project": trackers.PROJECT,
        "disable_tqdm": True,
    }


def make_trainer(
    job: Job, model: Any, tokenizer: Any, progress: Progress, lora: LoraConfig | None, **further: object
) -> Any:
    """A trainer ready to run.

    Args:
        job: What to train.
        model: The quantised base, or the same with its adapter.
        tokenizer: The base's tokenizer.
        progress: Called after each step with (steps done, steps in all, a note such as the loss).
        lora: The adapter to make; None where the model has it.
        further: Arguments of SFTConfig that only one backend gives.
    """
    from transformers import EarlyStoppingCallback, PrinterCallback
    from trl import SFTConfig, SFTTrainer

    settings = job.recipe.trainer
    trackers.keep_in(job.work.parent)
    rows = [job.train, job.validation]
    if settings.packing:
        rows = [None if each is None else pack(each, settings.max_length) for each in rows]
    arguments = SFTConfig(**{**sft_settings(job), **further})
    if arguments.n_gpu > 1:
        # Alone on a machine of several cards, transformers would spread each batch over them with DataParallel, which
        # makes the batch larger than the recipe's and adds up the losses.
        arguments._n_gpu = 1  # noqa: SLF001 - there is no public way
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=rows[0],
        eval_dataset=rows[1],
        processing_class=tokenizer,
        peft_config=lora,
        callbacks=[watch(progress)],
    )
    if settings.early_stopping_patience:
        trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=settings.early_stopping_patience))
    trainer.remove_callback(PrinterCallback)
    _hold_adapter_in_float32(trainer.model)
    return trainer


def _hold_adapter_in_float32(model: Any) -> None:
    """Undo TRL's turning of a QLoRA adapter's weights to bfloat16.

    In bfloat16 small updates are lost and float16 cards cannot scale gradients; in float32 under autocast they are what
    PEFT makes by itself. On a CPU PEFT would then turn every input to float32, which autocast turns back.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    for module in model.modules():
        if hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False


def run(trainer: Any, job: Job, progress: Progress, backend: str) -> Done:
    """Train from the first step, or the last checkpoint, to the end; the adapter is saved in `job.made`."""
    before = _memory(job.device)
    if job.device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
    times: list[float] = []
    trainer.add_callback(_clock(times))
    started = time.perf_counter()
    last = last_checkpoint(job.work)
    if last is not None:
        progress(0, 0, f"going on from step {last.name.rpartition('-')[2]}, where an earlier training was stopped")
    with finishing_batches():
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    if job.validation is not None:
        trainer.evaluate()
    seconds = time.perf_counter() - started
    after = _memory(job.device)
    _save(trainer, job)
    trainable, total = trainer.model.get_nb_trainable_parameters()
    losses = logged_losses(trainer.state.log_history)
    steps, epochs = trainer.state.global_step, float(trainer.state.epoch or 0)
    seconds_per_step = statistics.median(times) if times else seconds / max(1, steps)
    tokens_per_step = epochs * sum(map(len, job.train["input_ids"])) / steps
    return Done(
        backend=backend,
        device=_device_name(job.device),
        processes=process_count(),
        dtype=job.dtype,
        attention=str(getattr(trainer.model.config, "_attn_implementation", "unknown")),
        steps=steps,
        epochs=round(epochs, 4),
        trainable_parameters=int(trainable),
        total_parameters=int(total),
        seconds=round(seconds, 3),
        seconds_per_step=round(seconds_per_step, 4),
        tokens_per_second=round(tokens_per_step / seconds_per_step, 1),
        memory=MemoryUse(
            device_total_bytes=_device_total(job.device),
            before_allocated_bytes=before[0],
            before_reserved_bytes=before[1],
            peak_allocated_bytes=after[2],
            peak_reserved_bytes=after[3],
            after_allocated_bytes=after[0],
            after_reserved_bytes=after[1],
        ),
        final_loss=next((each["loss"] for each in reversed(losses) if "loss" in each), None),
        losses=losses,
    )


def _clock(times: list[float]) -> Any:
    """Collects the seconds from the end of one step to the end of the next, where nothing else came in between."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]
        last: float | None = None

        def on_step_end(self, *_: Any, **__: Any) -> None:
            now = time.perf_counter()
            if self.last is not None:
                times.append(now - self.last)
            self.last = now

        def on_evaluate(self, *_: Any, **__: Any) -> None:
            self.last = None

        def on_save(self, *_: Any, **__: Any) -> None:
            self.last = None

    return Clock()


def _save(trainer: Any, job: Job) -> None:
    """Save the adapter's weights and configuration, by the main process; sharded ones are put together first."""
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped) if trainer.is_fsdp_enabled else None
    if not is_main():
        return
    trainer.model.peft_config["default"].base_model_name_or_path = job.base.public_name
    trainer.model.save_pretrained(job.made, state_dict=state, save_embedding_layers=False)


def logged_losses(history: list[dict[str, Any]]) -> list[dict[str, float]]:
    """The losses of a trainer's log, one record for each logged step; what overflowed in float16 is left out."""
    keep = ("step", "loss", "eval_loss", "learning_rate", "grad_norm")
    records = [
        {key: float(each[key]) for key in keep if key in each and math.isfinite(float(each[key]))} for each in history
    ]
    return [record for record in records if "loss" in record or "eval_loss" in record]


def _memory(device: str) -> tuple[int, int, int, int]:
    """(allocated, reserved, peak allocated, peak reserved) bytes; the resident set for each two on a CPU."""
    if device == "cuda":
        from torch import cuda

        now = cuda.memory_allocated(), cuda.memory_reserved()
        return (*now, cuda.max_memory_allocated(), cuda.max_memory_reserved())
    import resource
    import sys

    import psutil

    resident = psutil.Process().memory_info().rss
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return resident, resident, max(peak, resident), max(peak, resident)


def _device_name(device: str) -> str:
    import torch

    return str(torch.cuda.get_device_name()) if device == "cuda" else "cpu"


def _device_total(device: str) -> int:
    if device == "cuda":
        import torch

        return int(torch.cuda.get_device_properties(local_index()).total_memory)
    import psutil

    return int(psutil.virtual_memory().total)
