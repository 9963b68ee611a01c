"""TRL's SFTTrainer on rows that are tokenised and masked already; no setting that matters is left to a default."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from reports.errors import UserError, first_line
from tasks.chat import turn_end
from training.backends import trackers
from training.backends.job import Job, Progress
from training.backends.packing import packing_trainer
from training.backends.tracked_runs import follow_runs
from training.backends.watching import CHECKPOINTS, watch
from training.machine_failures import is_out_of_memory
from training.models.architecture import architecture
from training.models.loading import quiet_bitsandbytes
from training.models.probes import agree, own_logprobs, probe_tokens
from training.models.weight_format import quantised_weights
from training.processes import is_sharded, process_count

if TYPE_CHECKING:
    from peft import LoraConfig

    from training.models.device import Device, DTypeName
    from training.models.model import Model


def lora_config(job: Job) -> LoraConfig:
    """PEFT's configuration of the adapter."""
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


def _sft_settings(job: Job, *, joins_step: bool) -> dict[str, Any]:
    """The arguments of TRL's SFTConfig for a job; nothing that affects results is left to a default.

    Args:
        job: The job.
        joins_step: Whether the trainer gets all rows of an optimizer step as one batch.
    """
    settings = job.recipe.trainer
    accumulation = settings.gradient_accumulation
    validates = job.validation is not None and settings.eval_steps is not None
    return {
        "output_dir": str(job.work / CHECKPOINTS),
        "seed": job.recipe.training_seed,
        "data_seed": job.recipe.training_seed,
        "num_train_epochs": settings.epochs or 1,
        "max_steps": settings.max_steps or -1,
        "per_device_train_batch_size": settings.batch_size * (accumulation if joins_step else 1),
        "per_device_eval_batch_size": settings.batch_size,
        "gradient_accumulation_steps": 1 if joins_step else accumulation,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": settings.warmup_steps if settings.warmup_steps is not None else (settings.warmup_ratio or 0),
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "optim": settings.optimizer,
        "gradient_checkpointing": bool(settings.gradient_checkpointing),
        "use_cpu": job.device.type == "cpu",
        "bf16": job.dtype == "bfloat16",
        "fp16": job.dtype == "float16",
        "max_length": None,
        "packing": False,  # by `packing_trainer`, if at all
        "padding_free": False,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "remove_unused_columns": False,
        "dataloader_pin_memory": job.device.supports_pinned_memory,
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
        "run_name": trackers.run_name(job.recipe),
        "project": trackers.PROJECT,
        "disable_tqdm": True,
    }


def pick_attention(wanted: str, base: Model, *, dtype: DTypeName, device: Device) -> str | None:
    """Attention implementation for training; None leaves it to transformers.

    Raises:
        UserError: The recipe asks for FlashAttention, which cannot run here.
    """
    from transformers.utils import is_flash_attn_2_available

    runs = device.supports_kernel_packages and dtype != "float32" and is_flash_attn_2_available()
    if wanted == "flash_attention_2" and not runs:
        raise UserError(
            "FlashAttention 2 needs an NVIDIA or AMD GPU, 16-bit weights and the package flash-attn",
            where="trainer.attention",
            fix="run `pip install flash-attn`, or set trainer.attention=auto",
        )
    if wanted != "auto":
        return wanted
    return "flash_attention_2" if runs and architecture(base).flash_attention else None


def pick_loss(model: Any, tokenizer: Any) -> str:
    """TRL's `loss_type`: the loss in chunks, which spares memory, where its logits are the model's own.

    TRL computes them from the output layer by itself, and does not know every way of scaling them, such as Granite's.

    Raises:
        UserError: The model cannot compute with its quantised weights.
    """
    import torch

    config = model.config.get_text_config()
    if is_sharded():  # weights are not in place yet
        return "nll" if getattr(config, "logits_scaling", None) not in (None, 1) else "chunked_nll"
    tokens = probe_tokens(model, tokenizer)
    try:
        expected = own_logprobs(model, tokens)
    except RuntimeError as error:
        if not quantised_weights(model) or is_out_of_memory(error):
            raise
        what = f"{type(model).__name__} does not compute with quantised weights: {first_line(error)[:300]}"
        raise UserError(what, where="quantization.method", fix="set quantization.method=none") from error
    with torch.inference_mode():
        states = model.base_model(torch.tensor([tokens], device=model.device)).last_hidden_state[0]
        logits = model.get_output_embeddings()(states).float()
    scale = getattr(config, "logit_scale", None) or getattr(config, "output_multiplier", None) or 1.0
    cap = getattr(config, "final_logit_softcapping", None)
    logits = logits * scale if cap is None else cap * (logits * scale / cap).tanh()
    return "chunked_nll" if agree(model, logits.log_softmax(-1), expected) else "nll"


def balancing(model: Any) -> dict[str, float]:
    """TRL's setting that leaves out the loss that balances experts, of models whose experts it cannot count."""
    config = model.config.get_text_config()
    balances = getattr(config, "output_router_logits", None) is not None
    return {"router_aux_loss_coef": 0.0} if balances and not hasattr(config, "num_experts") else {}


def make_trainer(
    job: Job,
    model: Any,
    tokenizer: Any,
    progress: Progress,
    lora: LoraConfig | None,
    *,
    budget: int | None = None,
    **further: object,
) -> Any:
    """Create a trainer that is ready to run.

    Args:
        job: What to train.
        model: The quantised base, with or without its adapter.
        tokenizer: The base's tokenizer.
        progress: Called after each step with (steps done, number of steps, a note such as the loss).
        lora: Configuration of a new adapter; None if the model has one.
        budget: Most tokens of a sequence of joined rows; rows are padded if None.
        further: Arguments of SFTConfig that only one backend sets.
    """
    from transformers import EarlyStoppingCallback, PrinterCallback
    from trl import SFTConfig, SFTTrainer

    settings = job.recipe.trainer
    trackers.keep_in(job.work.parent)
    # Several processes exchange their gradients after each batch.
    joins_step = budget is not None and process_count() == 1
    arguments = SFTConfig(**{**_sft_settings(job, joins_step=joins_step), **further})
    if arguments.n_gpu > 1:
        # With one process and several GPUs, transformers would spread each batch over them with DataParallel, which
        # makes the batch larger than the recipe's and adds up the losses.
        arguments._n_gpu = 1  # noqa: SLF001 - no public attribute
    make = SFTTrainer if budget is None else packing_trainer(budget)
    trainer = make(
        model=model,
        args=arguments,
        train_dataset=job.train,
        eval_dataset=job.validation,
        processing_class=_with_pad_token(job, model, tokenizer),
        peft_config=lora,
        callbacks=[watch(progress), *([follow_runs(settings.trackers)] if settings.trackers else [])],
    )
    if settings.early_stopping_patience and settings.keep_best:
        trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=settings.early_stopping_patience))
    trainer.remove_callback(PrinterCallback)
    _hold_adapter_in_float32(trainer.model)
    if trainer.is_fsdp_enabled:
        _gather_bytes(trainer)
    return trainer


def _with_pad_token(job: Job, model: Any, tokenizer: Any) -> Any:
    """The tokenizer, padding with a token that ends answers if the model has no embedding for its own pad token."""
    rows = model.get_input_embeddings().weight.shape[0]
    own = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    if own is not None and own < rows:
        return tokenizer
    changed = copy.deepcopy(tokenizer)
    end = turn_end(tokenizer, job.recipe.format.chat).tokens[0]
    changed.pad_token = str(tokenizer.convert_ids_to_tokens(end))
    return changed


def _gather_bytes(trainer: Any) -> None:
    """Let FSDP gather weights as bytes, and compute under autocast as without FSDP.

    Its mixed precision gathers a layer in 16-bit numbers. Packed 4-bit weights are no numbers: if their bits happen
    to be a NaN, copying on a GPU can change it to another NaN, which changes weights (issue 1945 of bitsandbytes; about
    2 % more loss). A layer of several dtypes, here packed weights and a float32 adapter, is gathered as bytes.
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy

    trainer.accelerator.state.fsdp_plugin.mixed_precision_policy = MixedPrecisionPolicy()
    trainer.compute_loss_context_manager = trainer.accelerator.autocast


def _hold_adapter_in_float32(model: Any) -> None:
    """Undo TRL's conversion of a QLoRA adapter's weights to bfloat16.

    In bfloat16 small updates are lost, and GPUs that compute in float16 cannot scale gradients; float32 under autocast
    is PEFT's own default. On a CPU PEFT would then convert every input to float32, which autocast converts back.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    for module in model.modules():
        if hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False
