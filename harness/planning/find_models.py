"""Finds the models that `--models` names, checked and with the rows that they were trained on if these are known."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

from harness.planning.leakage import with_rows
from harness.planning.model_names import ModelArgument
from harness.planning.own_training import OwnTraining
from training.exporting.provenance import unrecorded_base
from training.models.adapters import find_adapter
from training.models.base_model import find_base, find_base_config, find_full
from training.models.device import DTypeName
from training.models.loading import check_weights
from training.models.model import Model
from training.models.source_kind import find_gguf, hub_kind, served_model
from training.recipes.recipe import Recipe

Say = Callable[[str], None] | None


def with_kinds(arguments: Sequence[ModelArgument], say: Say) -> list[ModelArgument]:
    """The arguments with the kinds of models on the hub."""
    return [
        replace(argument, kind=hub_kind(str(argument.source), say)) if argument.kind is None else argument
        for argument in arguments
    ]


def find_recipe_base(recipe: Recipe, arguments: Sequence[ModelArgument], say: Say) -> Model:
    """The recipe's base; without its weights if neither it nor an adapter on it is scored.

    Its hash is then that of its configuration, and it only says how the other models' items are rendered.
    """
    if not any(argument.kind in ("base", "adapter") for argument in arguments):
        return find_base_config(recipe.model, say)
    quantization = recipe.quantization if recipe.scoring.base == "as_trained" else None
    base = replace(find_base(recipe.model, say), quantization=quantization)
    check_weights(base)
    return with_rows(base, recipe.trained_on)


def find_model(
    argument: ModelArgument, recipe: Recipe, own: OwnTraining, base: Model, dtype: DTypeName, say: Say
) -> Model:
    """The model that an argument means.

    Raises:
        UserError: It cannot be found or used.
    """
    if argument.kind == "base":
        return base
    if argument.source is None:
        return own.model(argument)
    if argument.kind == "adapter":
        return with_rows(find_adapter(argument.name, argument.source, base, dtype), recipe.trained_on)
    model = find_whole(argument, base, say)
    if not model.is_served:
        model = replace(model, unrecorded_base=unrecorded_base(model))
    return with_rows(model, recipe.trained_on)


def find_whole(argument: ModelArgument, base: Model, say: Say) -> Model:
    """A model from elsewhere with all its weights, or one behind a server; its training data is not looked up.

    Raises:
        UserError: It cannot be found or used.
    """
    name, source = argument.name, str(argument.source)
    if argument.kind == "served":
        return served_model(name, source, base)
    whole = functools.partial(find_full, say=say)
    model = find_gguf(name, source, whole, say) if argument.kind == "gguf" else whole(name, source)
    check_weights(model)
    return model
