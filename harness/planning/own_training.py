"""The recipe's own training in a run folder: its adapter, and the checkpoints that it has kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from harness.folder import RunFolder
from harness.planning.model_names import ALL_STEPS, ModelArgument, checkpoint_name
from reports.errors import UserError
from training.checkpoints import steps_to_keep
from training.finetune import fingerprint, kept_steps, trained_adapter
from training.log import FILE, TrainingLog, read_log
from training.models.adapters import find_adapter
from training.models.device import DTypeName
from training.models.model import OWN_ADAPTER, Model
from training.recipes.recipe import Recipe
from training.splits import TrainingRows, training_rows

_NAMED = 12  # steps in a message


@dataclass(frozen=True)
class OwnTraining:
    """The training of a recipe, done or not.

    Attributes:
        dtype: What its adapters are scored in.
        choosing: Returns the hash of the items that choose its checkpoint; empty if none does.
    """

    recipe: Recipe
    folder: RunFolder
    base: Model
    dtype: DTypeName
    choosing: Callable[[], str]

    @cached_property
    def rows(self) -> TrainingRows:
        """What it trains on."""
        return training_rows(self.recipe)

    @cached_property
    def fingerprint(self) -> str:
        """See `training.finetune.fingerprint`."""
        return fingerprint(self.recipe, self.base, self.rows, self.choosing())

    @cached_property
    def log(self) -> TrainingLog | None:
        """Its log; None if it is still to be done."""
        return trained_adapter(self.folder.adapter, self.fingerprint)

    @cached_property
    def checkpoints(self) -> dict[int, Path]:
        """Folders of the adapters that it has kept, by step."""
        return {} if self.log is None else kept_steps(self.folder.adapter, self.fingerprint)

    def model(self, argument: ModelArgument) -> Model:
        """Its adapter or one of its checkpoints, with weights if it is done."""
        own = Model(
            name=argument.name,
            kind="adapter",
            source=f"trained by this recipe on {self.base.source}",
            folder=self.checkpoints[int(argument.step)] if argument.is_checkpoint else self.folder.adapter,
            sha256="",
            tokenizer=self.base.tokenizer,
            public_name=argument.name,
            quantization=self.base.quantization,
            rows=self.rows,
            trained_here=True,
        )
        if self.log is None:
            return own
        if self.log.choice is not None:
            own = replace(own, rows=replace(self.rows, choosing=frozenset(self.log.choice.sources)))
        if self.log.weights_sha256 is None:
            own = replace(own, rows=None, unknown_rows=f"{FILE} does not record the hash of its weights")
        return with_weights(own, self.base, self.dtype)

    def expand(self, arguments: Sequence[ModelArgument]) -> list[ModelArgument]:
        """The arguments with one for each checkpoint that they mean.

        `adapter@*` leaves out the step whose weights `adapter` has if that is named too. Before the training is done,
        its adapter stands for its checkpoints.

        Raises:
            UserError: The training keeps no adapter of a step.
        """
        wanted = [argument for argument in arguments if argument.is_checkpoint]
        if not wanted:
            return list(arguments)
        others = {argument.name: argument for argument in arguments if not argument.is_checkpoint}
        where = f"--models {','.join(map(str, wanted))}"
        if self.log is None:
            self._check_before_training(wanted, where)
            adapter = ModelArgument(OWN_ADAPTER, "adapter", None)
            standing = {OWN_ADAPTER if argument.is_checkpoint else argument.name: argument for argument in arguments}
            return [others.get(name, adapter) for name in standing]
        if not self.checkpoints:
            raise UserError(
                f"the adapter in {self.folder.adapter} was trained without keeping checkpoints",
                where=where,
                fix=f"set trainer.keep_checkpoints=all and train into another folder with --out, or move"
                f" {self.folder.adapter} away to train again",
            )
        _check_steps(wanted, [*self.checkpoints], where, "was kept", f"or all of them: {OWN_ADAPTER}@{ALL_STEPS}")
        same = self.log.step if OWN_ADAPTER in others else None
        named = {argument.name for argument in wanted}
        every = [
            replace(argument, name=checkpoint_name(step), step=str(step))
            for argument in wanted
            for step in self.checkpoints
            if argument.step == ALL_STEPS and step != same and checkpoint_name(step) not in named
        ]
        expanded: list[ModelArgument] = []
        for argument in arguments:
            expanded += every if argument.step == ALL_STEPS else [argument]
        return expanded

    def notes(self, models: Sequence[Model]) -> list[str]:
        """A note if the recipe keeps checkpoints, but its adapter was trained before it did."""
        if self.recipe.trainer.keep_checkpoints is None or not any(model.trained_here for model in models):
            return []
        if self.log is None or self.checkpoints:
            return []
        what = f"trainer.keep_checkpoints has no effect: the adapter in {self.folder.adapter} was trained without it"
        return [f"{what} and is used again; to keep checkpoints, train into another folder with --out"]

    def _check_before_training(self, wanted: Sequence[ModelArgument], where: str) -> None:
        """Check what is known of the steps before hours are spent: all if the recipe says how many there are."""
        trainer = self.recipe.trainer
        if trainer.keep_checkpoints is None:
            fix = "add --set trainer.keep_checkpoints=all"
            raise UserError("the recipe's training keeps no checkpoints", where=where, fix=fix)
        steps = steps_to_keep(trainer, trainer.max_steps)
        if steps:
            _check_steps(wanted, steps, where, "will be kept", "or set trainer.save_steps or trainer.keep_checkpoints")


def _check_steps(wanted: Sequence[ModelArgument], steps: Sequence[int], where: str, will: str, other_fix: str) -> None:
    missing = next((one for one in wanted if one.step != ALL_STEPS and int(one.step) not in steps), None)
    if missing is None:
        return
    more = f" and {len(steps) - _NAMED} more" if len(steps) > _NAMED else ""
    there = f"{', '.join(map(str, steps[:_NAMED]))}{more}"
    raise UserError(
        f"no checkpoint of step {missing.step} {will}; the steps are {there}",
        where=where,
        fix=f"name one of them, such as {OWN_ADAPTER}@{steps[-1]}, {other_fix}",
    )


def with_weights(own: Model, base: Model, dtype: DTypeName) -> Model:
    """The recipe's own adapter with the weights that training has written, checked and hashed."""
    adapter, log = find_adapter(own.name, str(own.folder), base, dtype), read_log(own.folder)
    return replace(
        own,
        sha256=adapter.sha256,
        base_name=adapter.base_name,
        config_sha256=adapter.config_sha256,
        step=None if log is None else log.step,
    )
