"""The plan of a run: which models, tasks and items, on which device, and what is already there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.folder import RunFolder
from harness.planning.leakage import check_overlap, overlap_lines, trained_rows, unsearched_lines
from harness.planning.lm_tasks import LoadedTask, load_tasks
from harness.planning.model_names import BASE, OWN_ADAPTER, parse_models
from reports.document.evidence import OverlapCheck
from training.backends.choice import check_can_train
from training.finetune import fingerprint, trained_adapter
from training.models.adapters import Adapter, check_target_modules, find_adapter
from training.models.base_model import BaseModel, find_base
from training.models.device import Device, DTypeName, pick_device
from training.models.loading import describe_weights, fits_dense
from training.recipes.recipe import Recipe
from training.splits import TrainingRows, training_rows


@dataclass
class Plan:
    """What a run will do.

    Attributes:
        models: Names in the order given; `base`, `adapter` (the recipe's own) and further adapters.
        adapters: The further adapters by name.
        rows: What the recipe's own adapter is trained on; None where it is not asked for.
        to_train: The same rows where that adapter is not there yet, else None.
        tasks: What is asked of each model.
        warnings: What the user should know before it starts.
        trained_on: Rows by model, as far as they are known.
        overlap: Which items are trained on; None where nothing is known of what was trained on.
        dense: Whether quantised weights are turned back into dense ones, which they are where those fit.
        own_folder: Where the recipe's own adapter is, if not in `folder`.
        is_noise_check: Whether it scores again what was scored already, and must take none of the answers to that.
        pools: Models whose mean is reported as one more model, by its name.
    """

    recipe: Recipe
    folder: RunFolder
    base: BaseModel
    models: list[str]
    adapters: dict[str, Adapter]
    to_train: TrainingRows | None
    tasks: list[LoadedTask]
    device: Device
    train_dtype: DTypeName
    score_dtype: DTypeName
    rows: TrainingRows | None
    dense: bool = True
    warnings: list[str] = field(default_factory=list)
    trained_on: dict[str, TrainingRows] = field(default_factory=dict)
    overlap: OverlapCheck | None = None
    pools: dict[str, list[str]] = field(default_factory=dict)
    own_folder: RunFolder | None = None
    is_noise_check: bool = False

    @property
    def baseline(self) -> str:
        """The model that the others are compared with: the base where it is there, else the first."""
        return BASE if BASE in self.models else self.models[0]

    @property
    def weights(self) -> str:
        """How weights are held while scoring, in words."""
        quantization = self.recipe.quantization if self.recipe.scoring.base == "as_trained" else None
        return describe_weights(quantization, self.score_dtype, dense=self.dense)


def make_plan(
    recipe: Recipe,
    folder: RunFolder,
    models: str,
    tasks: Sequence[str] | None,
    say: Callable[[str], None] | None = None,
) -> Plan:
    """Check everything that can be checked before hours are spent.

    Raises:
        UserError: Anything the user has to mend: models, adapters, data, tasks.
    """
    named = parse_models(models)
    device = pick_device()
    train_dtype = device.default_dtype(recipe.model.dtype)
    score_dtype = device.default_dtype(recipe.model.dtype if recipe.scoring.dtype == "auto" else recipe.scoring.dtype)
    base = find_base(recipe.model, say)
    if OWN_ADAPTER in named:
        check_target_modules(recipe.lora.target_modules, base)
        check_can_train(recipe, base, device)
    rows = training_rows(recipe) if OWN_ADAPTER in named else None
    is_trained = rows is None or trained_adapter(folder.adapter, fingerprint(recipe, base, rows)) is not None
    plan = Plan(
        recipe=recipe,
        folder=folder,
        base=base,
        models=list(named),
        adapters={name: find_adapter(name, source, base) for name, source in named.items() if source},
        to_train=None if is_trained else rows,
        tasks=load_tasks(list(dict.fromkeys(tasks or recipe.scoring.tasks)), recipe, base),
        device=device,
        train_dtype=train_dtype,
        score_dtype=score_dtype,
        rows=rows,
        dense=fits_dense(base, score_dtype, device),
    )
    _look_at_adapters(plan)
    look_for_overlap(plan)
    return plan


def _look_at_adapters(plan: Plan) -> None:
    """Note what each model was trained on, as far as it is known, and warn where an adapter names another base."""
    if plan.rows is not None:
        plan.trained_on[OWN_ADAPTER] = plan.rows
    for adapter in plan.adapters.values():
        if adapter.base_name and _last(adapter.base_name) != _last(plan.base.public_name):
            plan.warnings.append(
                f"{adapter.name} says it was trained on {adapter.base_name}; its layers fit {plan.base.name},"
                " so it is scored on that"
            )
    for adapter in plan.adapters.values():
        known = trained_rows(adapter.folder)
        if known is not None:
            plan.trained_on[adapter.name] = known
        else:
            plan.warnings.append(
                f"what {adapter.name} was trained on is not known here, so it was not looked for among the test items"
            )


def look_for_overlap(plan: Plan) -> None:
    """Hold the items of a plan against all rows that its models are known to be trained on."""
    if plan.trained_on:
        plan.overlap = check_overlap(plan.trained_on, plan.tasks)
        plan.warnings += overlap_lines(plan.overlap) + unsearched_lines(plan.overlap)


def own_adapter(plan: Plan) -> Adapter:
    """The recipe's own adapter once it is trained."""
    return find_adapter(OWN_ADAPTER, str((plan.own_folder or plan.folder).adapter), plan.base)


def _last(name: str) -> str:
    """The last part of a model's name: folders and owners are spelled differently by different people."""
    return name.rstrip("/").rpartition("/")[2].lower()
