"""`medbench plan`: prints what a recipe's training will do, before anything is loaded or spent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.engines import estimate
from harness.planning.dialogues import read_dialogues
from harness.planning.leakage import check_overlap, overlap_lines, unsearched_lines
from harness.planning.row_accounts import altered_line, source_accounts
from harness.planning.run_plan import unchecked_lines
from harness.planning.validation_items import check_scored_while_training, load_with_validation, validation_lines
from harness.runs.power_plan import Assumptions, say_power
from reports.errors import UnreachableError
from reports.numbers import GIB, duration
from training.backends.choice import check_can_train, unsloth_unsupported
from training.backends.packing import packs_fast
from training.models.adapters import check_target_modules
from training.models.base_model import find_base_config
from training.models.device import pick_device
from training.models.model import OWN_ADAPTER
from training.models.weight_format import weight_format
from training.preflight import Preflight, preflight
from training.splits import training_rows

if TYPE_CHECKING:
    from harness.console import Terminal
    from harness.folder import RunFolder
    from harness.planning.lm_tasks import LoadedTask
    from training.models.device import Device, DTypeName
    from training.models.model import Model
    from training.recipes.recipe import Recipe
    from training.splits import TrainingRows


def print_plan(recipe: Recipe, terminal: Terminal, folder: RunFolder, power: Assumptions | None = None) -> Preflight:
    """Print the plan of a recipe and return what it rests on.

    Args:
        recipe: The recipe.
        terminal: Where to print.
        folder: The run folder, whose earlier answers say how much models differ.
        power: What the table of `--power` is computed for; None for one line.

    Raises:
        UserError: The data, the base's configuration or the recipe cannot be used.
    """
    if power is not None:
        power.check()
    device = pick_device()
    dtype = device.default_dtype(recipe.model.dtype)
    base = find_base_config(recipe.model, terminal.say)
    check_target_modules(recipe.lora.target_modules, base)
    backend = check_can_train(recipe, base, device)
    rows = training_rows(recipe)
    _, notes = read_dialogues([], base, recipe)
    held = weight_format(base, recipe.quantization)
    facts = preflight(recipe, base, rows, device)
    terminal.say(f"recipe {recipe.name}: {recipe.description}")
    terminal.say(f"base: {base.source}, {facts.total:,} parameters, {held.summary}, {dtype} on {device}")
    if held.warning:
        terminal.say(f"note: {held.warning}", style="yellow")
    terminal.say(f"backend: {backend}{_why(recipe, base, device)}")
    share = 100 * facts.trainable / (facts.total + facts.trainable)  # as PEFT counts it, with the adapter's own
    terminal.say(
        f"adapter: {facts.trainable:,} trainable parameters ({share:.2f} %), LoRA r {recipe.lora.r}, alpha"
        f" {recipe.lora.alpha:g}, on {', '.join(recipe.lora.target_modules)}"
    )
    unreachable: dict[str, UnreachableError] = {}
    tasks, validation = load_with_validation(recipe.scoring.tasks, recipe, base, unreachable)
    check_scored_while_training(validation, recipe)
    _say_data(recipe, rows, tasks, terminal)
    terminal.say(
        f"rows: {facts.rows} trained on, {len(rows.validation)} to validate, {len(facts.dropped)} dropped (their prompt"
        f" alone is longer than {recipe.trainer.max_length} tokens)"
    )
    low, middle, high, longest = facts.lengths.values()
    terminal.say(f"tokens per row: median {middle}, 5 % below {low}, 5 % above {high}, longest {longest}")
    for line in validation_lines(validation, recipe):
        terminal.say(line)
    cut = 100 * facts.truncated / facts.rows
    terminal.say(f"cut at {recipe.trainer.max_length} tokens: {facts.truncated} rows ({cut:.1f} %)")
    if facts.altered_turns:
        terminal.say(altered_line(facts.altered_turns), style="yellow")
    terminal.say(f"end token learned: in {facts.ended} of {facts.rows} rows")
    for note in (*unchecked_lines(unreachable), *notes):
        terminal.say(f"note: {note}", style="yellow")
    if tasks:
        _say_overlap(rows, tasks, terminal)
    for text, is_learned in facts.example:
        terminal.say(f"first row, {'trained' if is_learned else 'masked'} part:\n" + _indent(text))
    _say_memory(facts, device, terminal)
    _say_times(recipe, base, rows, tasks, device, dtype, terminal)
    say_power(tasks, recipe.scoring.tasks, folder, power, terminal)
    return facts


def _why(recipe: Recipe, base: Model, device: Device) -> str:
    """Why this backend, where the recipe left it open."""
    if recipe.trainer.backend != "auto":
        return ""
    if packs_fast(recipe, base, device):
        return " (packed rows, faster than Unsloth)"
    unsupported = unsloth_unsupported(recipe, device)
    return f" ({unsupported[0]})" if unsupported else ""


def _say_times(
    recipe: Recipe,
    base: Model,
    rows: TrainingRows,
    tasks: Sequence[LoadedTask],
    device: Device,
    dtype: DTypeName,
    terminal: Terminal,
) -> None:
    """The estimated times of training and of scoring a model."""
    seconds = estimate.train_seconds(recipe, base, rows, device, dtype)
    terminal.say(f"estimated time on this machine: {duration(seconds)}")
    score_dtype = dtype if recipe.scoring.dtype == "auto" else device.default_dtype(recipe.scoring.dtype)
    works = (estimate.work_of(loaded, base) for loaded in tasks)
    seconds = sum(estimate.task_seconds(work, base, device, score_dtype) for work in works)
    terminal.say(f"then to score each model on {len(tasks)} tasks: {duration(seconds)}")


def _say_memory(facts: Preflight, device: Device, terminal: Terminal) -> None:
    """The estimated memory by component, beside what fine-tuning all weights would take."""
    place = "this CPU (of the whole process)" if device.type == "cpu" else device.name()
    terminal.say(f"estimated memory while training on {place}, beside fine-tuning all weights on the same batches:")
    sizes = [(name, size, facts.full_memory[name]) for name, size in facts.memory.items()]
    sizes.append(("total", facts.memory_bytes, sum(facts.full_memory.values())))
    rows = [(name, f"{size / GIB:.2f}", f"{full / GIB:.2f}") for name, size, full in sizes]
    terminal.table(("component", "this recipe, GiB", "all weights, GiB"), rows)
    terminal.say("  (computed; all weights: weights and gradients in the training's dtype, AdamW states in 32 bits)")
    size = device.total_memory()
    share = 100 * facts.memory_bytes / size
    whole = "this machine" if device.type == "cpu" else device.name()
    terminal.say(f"{whole}: {size / GIB:.1f} GiB, the estimate is {share:.0f} % of it")


def _say_data(recipe: Recipe, rows: TrainingRows, tasks: Sequence[LoadedTask], terminal: Terminal) -> None:
    """How the rows of each source are read, how many are left out or faulty, and what to do about it."""
    for account in source_accounts(recipe, rows, tasks):
        terminal.say(f"{account.role}: {account.source}, {account.account.summary()}")
        for remark in account.remarks():
            terminal.say(f"  {remark}", style="yellow")


def _say_overlap(rows: TrainingRows, tasks: Sequence[LoadedTask], terminal: Terminal) -> None:
    """Compare the rows with the items of every task that the recipe scores."""
    check = check_overlap({OWN_ADAPTER: rows}, tasks)
    for line in overlap_lines(check):
        terminal.say(f"test items are trained on: {line}", style="yellow")
    unsearched = unsearched_lines(check)
    for line in unsearched:
        terminal.say(line, style="yellow")
    if not check.matches and not unsearched:
        items = sum(check.items.values())
        terminal.say(f"test items among the {check.rows} rows: none of {items} ({', '.join(check.items)})")


def _indent(text: str) -> str:
    return "\n".join(f"  | {line}" for line in text.splitlines())
