"""The plan of a run: which models, tasks and items, on which device, and what is there already."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from harness.folder import RunFolder
from harness.planning.dialogues import Dialogue, read_dialogues, with_own_prompts
from harness.planning.find_models import find_model, find_recipe_base, with_kinds
from harness.planning.leakage import check_overlap, overlap_lines, unsearched_lines
from harness.planning.lm_tasks import LoadedTask
from harness.planning.model_names import parse_models
from harness.planning.needs import check_bundle, run_needs
from harness.planning.own_training import OwnTraining, with_weights
from harness.planning.row_accounts import remarks
from harness.planning.slice_columns import check_slices
from harness.planning.validation_items import check_scored_while_training, choosing_items, load_with_validation
from reports.bundles.active import active_bundle
from reports.document.evidence import OverlapCheck
from reports.errors import UnreachableError, UserError
from reports.names import last_part
from tasks.suites import Suite, named_suites
from training.backends.choice import check_can_train
from training.exporting.provenance import combined
from training.models.adapters import check_target_modules
from training.models.device import Device, DTypeName, pick_device
from training.models.loading import fits_dense
from training.models.model import Model
from training.models.weight_format import WeightFormat, weight_format
from training.recipes.recipe import Recipe
from training.splits import TrainingRows


@dataclass(frozen=True)
class Plan:
    """What a run will do; `dataclasses.replace` makes another one.

    Attributes:
        base: The recipe's base, which adapters are scored on, also if it is not among `models`; in the part of another
            whole model that model.
        models: The models to score, in the order given.
        tasks: The tasks to score each model on.
        validation: The tasks with the items that are set aside, see `harness.planning.validation_items`.
        dense: Whether quantised weights are dequantised once, which they are if they fit into the device's memory.
        warnings: What the user should know before it starts.
        overlap: The items that are trained on; None if no training data is known.
        suites: The suites that named tasks.
        is_noise_check: Whether it scores again what was scored already, without the stored answers to that.
        dialogues: How the base and each model are prompted, by name.
        awaits_checkpoints: Whether the own adapter, which is still to be trained, also stands for checkpoints of its
            training, so that the run is planned again after it.
        pools: Members of the models that are reported as a mean, by the name of the mean.
    """

    recipe: Recipe
    folder: RunFolder
    base: Model
    models: tuple[Model, ...]
    tasks: list[LoadedTask]
    device: Device
    train_dtype: DTypeName
    score_dtype: DTypeName
    validation: tuple[LoadedTask, ...] = ()
    dense: bool = True
    warnings: tuple[str, ...] = ()
    overlap: OverlapCheck | None = None
    dialogues: Mapping[str, Dialogue] = field(default_factory=dict)
    pools: Mapping[str, tuple[Model, ...]] = field(default_factory=dict)
    suites: tuple[Suite, ...] = ()
    is_noise_check: bool = False
    awaits_checkpoints: bool = False

    @property
    def baseline(self) -> Model:
        """The model that the others are compared with: the base if it is scored, else the first."""
        return next((model for model in self.models if model.is_base), self.models[0])

    @property
    def parts(self) -> list[Plan]:
        """The plan divided into what one engine holds: the base and its adapters, each whole model, all served ones."""
        parts = [self.part_of(model) for model in self.models]
        return list({tuple(model.name for model in part.models): part for part in parts}.values())

    def model(self, name: str) -> Model:
        """The model to score that has a name."""
        return next(model for model in self.models if model.name == name)

    def part_of(self, model: Model) -> Plan:
        """The part in which a model is scored; a whole model is the base of its own."""
        if model.has_own_weights:
            dense = fits_dense(model, self.score_dtype, self.device)
            return replace(self, base=model, models=(model,), dense=dense)
        alike = (m for m in self.models if not m.has_own_weights and m.is_served == model.is_served)
        return replace(self, models=tuple(alike))

    @property
    def is_served(self) -> bool:
        """Whether servers answer for all models."""
        return all(model.is_served for model in self.models)

    @property
    def loads_base(self) -> bool:
        """Whether the base or an adapter on it is scored."""
        return any(model.is_base or model.is_adapter for model in self.models)

    @property
    def adapters(self) -> dict[str, Path]:
        """Folders of the adapters to score, by name."""
        return {model.name: model.folder for model in self.models if model.is_adapter}

    @property
    def asked_dialogues(self) -> dict[str, Dialogue]:
        """How each model that is scored is prompted, by name."""
        return {model.name: self.dialogues[model.name] for model in self.models}

    @property
    def own_adapter(self) -> Model | None:
        """The adapter that the recipe trains, or its first checkpoint or seed; None if none of them is scored."""
        members = [model for pool in self.pools.values() for model in pool]
        return next((model for model in [*self.models, *members] if model.trained_here or model in members), None)

    @property
    def to_train(self) -> TrainingRows | None:
        """The rows to train the recipe's own adapter on; None if it is there already or not scored."""
        return next((model.rows for model in self.models if not model.sha256), None)

    def without(self, name: str) -> Plan:
        """The plan without a model that answers with NaN or infinity, and a warning that says so.

        Raises:
            UserError: No model is left.
        """
        failed = next(model for model in self.models if model.name == name)
        left = tuple(model for model in self.models if model is not failed)
        what = f"{name} answers with NaN or infinity in {self.score_dtype}"
        if not left:
            fix = "train it again with a lower learning rate, or score in another dtype: --set scoring.dtype=float32"
            raise UserError(what, where=str(failed.folder), fix=fix)
        pools = {pool: members for pool, members in self.pools.items() if failed not in members}
        return replace(self, models=left, pools=pools, warnings=(*self.warnings, f"{what}; it is left out"))

    def training_data(self, name: str) -> Literal["known", "declared", "unknown"]:
        """How the training data of a model or pool is known, with that of a fine-tuned base under an adapter."""
        scored = (self.base, *self.models)
        models = [*self.pools.get(name, ()), *(model for model in scored if model.name == name)]
        if self.base.is_fine_tuned and any(model.is_adapter for model in models):
            models.append(self.base)
        if not models or any(model.rows is None for model in models):
            return "unknown"
        return "declared" if any(model.has_declared_rows for model in models) else "known"

    @property
    def weight_format(self) -> WeightFormat:
        """How the base's weights are quantised while scoring."""
        return weight_format(self.base, self.base.quantization)

    @property
    def weights(self) -> str:
        """How weights are held while scoring, in words."""
        if self.is_served:
            return "by the server, which may not say how"
        return self.weight_format.in_scoring(self.score_dtype, dense=self.dense)


def make_plan(
    recipe: Recipe,
    folder: RunFolder,
    models: str,
    tasks: Sequence[str] | None,
    say: Callable[[str], None] | None = None,
    *,
    trains_only: bool = False,
) -> Plan:
    """Check everything that can be checked before hours are spent.

    Args:
        recipe: The recipe.
        folder: The run folder.
        models: The models as in `--models`.
        tasks: Tasks instead of the recipe's.
        say: Called with a line for each step that takes long.
        trains_only: Whether nothing is scored, so that tasks whose data cannot be fetched from here are a warning.

    Raises:
        UserError: Models, adapters, data or tasks that the user has to fix.
    """
    names = list(dict.fromkeys(tasks or recipe.scoring.tasks))
    _check_bundle(recipe, models, recipe.needed_tasks(names), trains_only=trains_only)
    arguments = with_kinds(parse_models(models), say)
    device = pick_device()
    train_dtype = device.default_dtype(recipe.model.dtype)
    score_dtype = device.default_dtype(recipe.model.dtype if recipe.scoring.dtype == "auto" else recipe.scoring.dtype)
    base = find_recipe_base(recipe, arguments, say)
    unreachable: dict[str, UnreachableError] = {}
    load = functools.cache(lambda: load_with_validation(names, recipe, base, unreachable))
    own = OwnTraining(recipe, folder, base, score_dtype, lambda: choosing_items(load()[1], recipe))
    named, arguments = arguments, own.expand(arguments)
    if any(argument.is_own_adapter or argument.is_checkpoint for argument in arguments):
        check_target_modules(recipe.lora.target_modules, base)
        check_can_train(recipe, base, device)
    chosen = tuple(find_model(argument, recipe, own, base, score_dtype, say) for argument in arguments)
    dialogues, notes = read_dialogues(chosen, base, recipe)
    loaded, validation = load()
    if any(not model.sha256 for model in chosen):
        check_scored_while_training(validation, recipe)
    if unreachable and not trains_only:
        raise _unreachable_items(unreachable, trains=any(not model.sha256 for model in chosen))
    if not unreachable:
        check_slices(recipe.scoring.slices, loaded)
    different = {name: own.tokenizer for name, own in dialogues.items() if own.tokenizer != str(base.tokenizer)}
    loaded = with_own_prompts(loaded, recipe, base, different)
    overlap = find_overlap(chosen, loaded, base)
    rows = next((model.rows for model in chosen if model.trained_here), None)
    return Plan(
        recipe=recipe,
        folder=folder,
        base=base,
        models=chosen,
        tasks=loaded,
        validation=tuple(validation),
        device=device,
        train_dtype=train_dtype,
        score_dtype=score_dtype,
        dense=fits_dense(base, score_dtype, device),
        warnings=(
            *unchecked_lines(unreachable),
            *notes,
            *own.notes(chosen),
            *_warnings(chosen, base, overlap, recipe),
            *remarks(recipe, rows, loaded),
        ),
        dialogues=dialogues,
        overlap=overlap,
        suites=tuple(named_suites(names)),
        awaits_checkpoints=any(one.is_checkpoint for one in named) and own.log is None,
    )


def _check_bundle(recipe: Recipe, models: str, names: Sequence[str], *, trains_only: bool) -> None:
    """Check that the bundle in use holds everything; a training does without the items that are scored later."""
    bundle = active_bundle()
    if bundle is not None:
        needs = run_needs(recipe, models, [] if trains_only else names, trains_only=trains_only)
        check_bundle(bundle, needs, recipe, models, [] if trains_only else names)


def unchecked_lines(unreachable: Mapping[str, UnreachableError]) -> list[str]:
    """A warning that training rows were not compared with the items of tasks that cannot be fetched, or none."""
    if not unreachable:
        return []
    reasons = "; ".join(dict.fromkeys(error.what for error in unreachable.values()))
    line = f"the items of {', '.join(unreachable)} are out of reach, so whether they are among the training rows could"
    return [f"{line} not be checked ({reasons}); `medbench score` checks it before it scores"]


def _unreachable_items(unreachable: Mapping[str, UnreachableError], *, trains: bool) -> UserError:
    """The error for tasks whose data cannot be fetched; if an adapter is to be trained, with the way to do so."""
    first, *others = unreachable.values()
    more = "".join(f"\n{error.where}: {error.what}" for error in others)
    train = "; or train without the items: `medbench train`, then `medbench score` where they can be fetched"
    return UnreachableError(f"{first.what}{more}", where=first.where, fix=f"{first.fix}{train if trains else ''}")


def with_trained_adapter(plan: Plan) -> Plan:
    """The plan once the recipe's own adapter is trained.

    Raises:
        UserError: The adapter is not there or broken.
    """
    models = (with_weights(m, plan.base, plan.score_dtype) if m.trained_here else m for m in plan.models)
    return replace(plan, models=tuple(models))


def find_overlap(
    models: Sequence[Model],
    tasks: Sequence[LoadedTask],
    base: Model,
    pools: Mapping[str, Sequence[Model]] | None = None,
) -> OverlapCheck | None:
    """Compare the items of tasks with the training data of models and pools; None if none of it is known."""
    named = {**{model.name: model for model in models}, **{name: pool[0] for name, pool in (pools or {}).items()}}
    rows = {name: _all_rows(model, base) for name, model in named.items()}
    known_rows = {name: value for name, value in rows.items() if value is not None}
    return check_overlap(known_rows, tasks) if known_rows else None


def _all_rows(model: Model, base: Model) -> TrainingRows | None:
    """What is known of the training data of a model, and of its base's under an adapter; None if nothing is."""
    parts = [part.rows for part in ((base, model) if model.is_adapter else (model,)) if part.rows is not None]
    return combined(parts) if parts else None


def _warnings(models: Sequence[Model], base: Model, overlap: OverlapCheck | None, recipe: Recipe) -> list[str]:
    """Warn of dense weights, adapters that name another base, two engines, unknown training data, and leakage."""
    trains = any(model.trained_here for model in models)
    held = weight_format(base, recipe.quantization if trains else base.quantization).warning
    others = [model for model in models if not model.is_base and not model.trained_here]
    unused = sorted({*recipe.trained_on} - {base.name, *(model.name for model in others)})
    bases = [
        f"{model.name} says it was trained on {model.base_name}; its layers fit {base.source}, so it is scored on that"
        for model in others
        if model.base_name and last_part(model.base_name) != last_part(base.public_name)
    ]
    unknown = [
        f"what {model.name} was trained on is unknown ({model.unknown_rows}), so it was not compared with the test"
        f" items; declare its data with --set trained_on.{model.name}=FILE"
        for model in dict.fromkeys((base, *models))
        if model.unknown_rows
    ]
    unknown += [f"trained_on names {name}, which is not a model from elsewhere in this run" for name in unused]
    served = [model.name for model in models if model.is_served]
    engines = f"{', '.join(served)} answered from a server and the others on this machine (scoring.across), so their"
    engines += " differences are also those of two engines"
    return (
        [held] * bool(held)
        + [engines] * (0 < len(served) < len(models))
        + bases
        + unknown
        + ([] if overlap is None else overlap_lines(overlap) + unsearched_lines(overlap))
    )
