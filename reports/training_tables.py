"""Tables on training: configuration, speed, memory compared with full fine-tuning, and losses."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from reports.document.schema import Results, Training
from reports.numbers import duration, gib_text, value_text
from reports.tables import Table, metric_title, table_of

MEASURED = (
    "Measured. On a GPU, allocated is the memory of tensors, reserved the memory that the process holds for them; on a"
    " CPU it is the resident set of the whole process, libraries and loading included."
)
COMPUTED = (
    "Computed from the model's shape, the recipe, the batch and the longest rows. Full fine-tuning trains all weights"
    " on the same batches, with weights and gradients in the training's dtype and AdamW's two states in 32 bits; it was"
    " not run."
)
_QUANTISATION = {"nf4": "4-bit NF4", "fp4": "4-bit FP4", "int8": "LLM.int8()", "none": "not quantised"}
_CHECKPOINTING: dict[Any, str] = {
    True: ", gradient checkpointing",
    "offload": ", gradient checkpointing to the machine's memory",
}
_CPU = "cpu"
_PROCESS = "process and libraries"  # a component on a CPU
_SHOWN_STEPS = 8


def training_table(results: Results) -> Table | None:
    """Facts of the training, one per row, or None if nothing was trained."""
    training = results.training
    if training is None:
        return None
    share = 100 * training.trainable_parameters / training.total_parameters
    attention = f"{training.attention} attention" if training.attention else ""
    pace = (
        f"{training.seconds / max(1, training.steps):.2f}, validation included"
        if training.seconds_per_step is None
        else f"{training.seconds_per_step:.2f}"
    )
    rows = [
        ("Backend and device", ", ".join(filter(None, (training.backend, training.device, training.dtype, attention)))),
        *_configuration(results),
        ("Parameters", f"{training.trainable_parameters:,} of {training.total_parameters:,} trained ({share:.2f} %)"),
        ("Rows", _rows(training)),
        ("Tokens with a loss", f"{training.trained_tokens:,} per epoch"),
        *_batch(training, results.recipe),
        ("Steps", f"{training.steps} ({training.epochs:g} epochs)"),
        *_choice(results),
        ("Time", duration(training.seconds) + ("" if training.trained_now else ", in an earlier run")),
        ("Seconds per step", pace),
    ]
    if training.tokens_per_second is not None:
        rows.append(("Tokens per second", f"{training.tokens_per_second:,.0f}, without padding"))
    losses, validation = [*training.loss_by_step("loss").values()], training.loss_by_step("eval_loss")
    if losses:
        rows.append(("First and last loss", f"{losses[0]:.3f} -> {losses[-1]:.3f}"))
    if validation:
        step = min(validation, key=validation.__getitem__)
        rows.append(("Lowest validation loss", f"{validation[step]:.3f} at step {step}"))
    if training.memory is None and training.peak_memory_bytes:
        rows.append(("Peak memory", gib_text(training.peak_memory_bytes)))
    return Table(("Training", "Value"), tuple(rows), figures=False)


def memory_table(results: Results) -> Table | None:
    """The device's memory before, during and after training, or None if it was not measured."""
    training = results.training
    if training is None or training.memory is None:
        return None
    use = training.memory
    before = (use.before_allocated_bytes, use.before_reserved_bytes)
    peak = (use.peak_allocated_bytes, use.peak_reserved_bytes)
    after = (use.after_allocated_bytes, use.after_reserved_bytes)
    taken = tuple(most - least for most, least in zip(peak, before, strict=True))
    on_cpu = training.device == _CPU
    device = "the machine's memory" if on_cpu else "the card"
    lines = [("Before the first step", before), ("Peak during training", peak), ("After", after)]
    rows = [(name, *map(gib_text, sizes)) for name, sizes in lines]
    rows.append(("Used by training itself (peak minus before)", *map(gib_text, taken)))
    shares = [f"{100 * size / use.device_total_bytes:.1f} %" for size in peak]
    rows.append((f"Peak as a share of {device}, {gib_text(use.device_total_bytes)}", *shares))
    if on_cpu:
        return Table(("Memory", "Resident"), tuple(row[:2] for row in rows))
    return Table(("Memory", "Allocated", "Reserved"), tuple(rows))


def full_finetuning_table(results: Results) -> Table | None:
    """Computed memory of this training and of training all weights, by component, next to the measured peak."""
    training = results.training
    if training is None or not training.estimated_memory or not training.full_finetuning_memory:
        return None
    own, full = training.estimated_memory, training.full_finetuning_memory
    share = training.quantized_share
    quantised = _section(results.recipe, "quantization").get("method") != "none" if share is None else share > 0
    sizes = [(name, own.get(name, 0), full.get(name, 0)) for name in {**own, **full}]
    computed = sum(own.values())
    rows = [(name.capitalize(), gib_text(left), gib_text(right)) for name, left, right in sizes]
    rows.append(("Total, computed", gib_text(computed), gib_text(sum(full.values()))))
    measured = training.memory.peak_allocated_bytes if training.memory else training.peak_memory_bytes
    if measured:
        kind = "resident" if training.device == _CPU else "allocated"
        rows.append((f"Peak, measured ({kind})", gib_text(measured), "not run"))
        if training.device != _CPU or _PROCESS in own:  # earlier versions computed it for a GPU
            error = 100 * (computed / measured - 1)
            rows.append(("Computed compared with measured", f"{error:+.0f} %", ""))
    method = "QLoRA" if quantised else "LoRA"
    return Table(("Component", f"{method}, computed", "Full fine-tuning, computed"), tuple(rows))


def losses_table(results: Results) -> Table | None:
    """Losses at a few steps, including the lowest validation loss, or None if none were logged.

    A training loss is the mean over the steps since the previous row; that of a single batch would be noisy.
    """
    if results.training is None:
        return None
    losses, validation = results.training.loss_by_step("loss"), results.training.loss_by_step("eval_loss")
    lowest = min(validation, key=validation.__getitem__) if len(validation) > 1 else None
    shown = _few_steps([*losses], [*validation], lowest)
    rows = []
    for before, step in zip([0, *shown], shown, strict=False):
        since = [loss for at, loss in losses.items() if before < at <= step]
        train = f"{sum(since) / len(since):.3f}" if since else ""
        checked = f"{validation[step]:.3f}" if step in validation else ""
        row = {"Step": str(step), "Training loss (mean since the previous row)": train}
        if validation:
            row["Validation loss"] = checked + (" (lowest)" if step == lowest else "")
        rows.append(row)
    return table_of(rows)


def _configuration(results: Results) -> list[tuple[str, str]]:
    """Base, adapter and optimisation from the recipe; empty if the document's recipe lacks these sections."""
    model, quantization, lora, trainer = (
        _section(results.recipe, name) for name in ("model", "quantization", "lora", "trainer")
    )
    if not (model and quantization and lora and trainer):
        return []
    sources = [model.source for model in results.models if model.kind == "base"]
    base = sources[0] if sources else PurePath(str(model.get("base"))).name  # only the folder's name, not its path
    method = str(quantization.get("method"))
    double = method in ("nf4", "fp4") and quantization.get("double_quant") is not False
    weights = _QUANTISATION.get(method, method) + (" with double quantisation" if double else "")
    actual = results.reproduction.quantization if results.reproduction is not None else ""
    if actual and actual != method + (", double quantisation" if double else ""):
        weights = actual  # such as a part of the weights, or a checkpoint that is quantised already
    adapter = (
        f"LoRA r {lora.get('r')}, alpha {lora.get('alpha', 0):g}, dropout {lora.get('dropout', 0):g}, on"
        f" {', '.join(lora.get('target_modules', []))}"
    )
    checkpointing = _CHECKPOINTING.get(trainer.get("gradient_checkpointing"), "")
    optimisation = (
        f"{trainer.get('optimizer')}, learning rate {trainer.get('learning_rate', 0):g}, {trainer.get('schedule')}"
        f" schedule{_warm_up(trainer)}, rows of up to {trainer.get('max_length')} tokens{checkpointing}"
    )
    return [("Base", f"{base}, {weights}"), ("Adapter", adapter), ("Optimisation", optimisation)]


def _warm_up(trainer: dict[str, Any]) -> str:
    if trainer.get("warmup_steps"):
        return f", {trainer['warmup_steps']} warm-up steps"
    return f", {100 * trainer['warmup_ratio']:g} % of the steps warm-up" if trainer.get("warmup_ratio") else ""


def _section(recipe: dict[str, Any], name: str) -> dict[str, Any]:
    value = recipe.get(name)
    return value if isinstance(value, dict) else {}


def _batch(training: Training, recipe: dict[str, Any]) -> list[tuple[str, str]]:
    """Batch size and gradient accumulation, with the recipe's values if memory did not suffice."""
    if training.batch_size is None or training.gradient_accumulation is None:
        return []
    trainer = _section(recipe, "trainer")
    effective = training.batch_size * training.gradient_accumulation * training.processes
    devices = f" on each of {training.processes} devices" if training.processes > 1 else ""
    text = f"{training.batch_size} x {training.gradient_accumulation}{devices}, {effective} rows per step"
    if trainer.get("batch_size", training.batch_size) != training.batch_size:
        text += (
            f"; the recipe's {trainer['batch_size']} x {trainer.get('gradient_accumulation')} did not fit into memory"
        )
    return [("Batch as used", text)]


def _few_steps(trained: list[int], validated: list[int], lowest: int | None) -> list[int]:
    """First, last and evenly spaced steps, of the validated ones if there are several."""
    steps = sorted({*trained[:1], *trained[-1:], *(validated if len(validated) > 2 else {*trained, *validated})})  # noqa: PLR2004
    if len(steps) > _SHOWN_STEPS:
        last = len(steps) - 1
        steps = [steps[round(number * last / (_SHOWN_STEPS - 1))] for number in range(_SHOWN_STEPS)]
    return sorted({*steps, *([] if lowest is None else [lowest])})


def _choice(results: Results) -> list[tuple[str, str]]:
    """How the checkpoint was chosen, if it was."""
    choice = results.training.choice if results.training else None
    if choice is None:
        return []
    task, metric = results.metrics().get((choice.task, choice.metric), (None, None))
    named = f"{choice.task}/{choice.metric}" if task is None or metric is None else metric_title(task, metric)
    value = f"{choice.score:g}" if metric is None else value_text(choice.score, metric)
    steps = ", ".join(map(str, choice.steps))
    text = (
        f"step {choice.step} of {steps}, by {named} on {choice.items} items that no score in this report rests on"
        f" (there {value}, which as the best of {len(choice.steps)} is too good to report)"
    )
    return [("Checkpoint", text)]


def _rows(training: Training) -> str:
    rows = f"{training.rows} training, {training.validation_rows} validation, {training.truncated_rows} cut"
    if training.dropped_rows:
        rows += f", {training.dropped_rows} dropped (no room for an answer)"
    return rows + (f", {training.altered_turns} earlier answers not learned" if training.altered_turns else "")
