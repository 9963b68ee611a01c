"""Finds a recipe, reads its YAML and applies `--set`; every fault is reported at once, with line and suggestion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from reports.errors import UserError, did_you_mean
from reports.secrets import holds_secret
from reports.text import Place, walk_texts
from training.recipes.recipe import Recipe
from training.recipes.strict_yaml import check, parse_yaml, read_yaml

RECIPES_FOLDER = Path(__file__).resolve().parent
QUICKSTART = "quickstart"
Change = Any  # a value as YAML would give it, or REMOVED
REMOVED = object()


def recipe_names() -> list[str]:
    """Names of the recipes that ship with medbench."""
    return sorted(path.stem for path in RECIPES_FOLDER.glob("*.yaml"))


def _find_recipe(name_or_file: str) -> Path:
    """The file of a recipe given by name or by path.

    Raises:
        UserError: There is none.
    """
    names = recipe_names()
    if name_or_file in names:
        return RECIPES_FOLDER / f"{name_or_file}.yaml"
    path = Path(name_or_file).expanduser()
    if path.is_file():
        return path
    near = did_you_mean(name_or_file, names)
    raise UserError(
        "there is no recipe of that name, nor such a file",
        where=f"--recipe {name_or_file}",
        fix=f"{near} available recipes: {', '.join(names)}; or give the path of a YAML file",
    )


def load_recipe(
    name_or_file: str, overrides: Sequence[str] = (), changes: Mapping[tuple[str, str], Change] | None = None
) -> Recipe:
    """Read a recipe and apply changes, then overrides.

    Args:
        name_or_file: The recipe.
        overrides: `key.path=value`, whose values are YAML.
        changes: New values by (key path, the flag it comes from); `REMOVED` removes the key.

    Raises:
        UserError: The file, a change or an override is at fault; all faults are listed, each with its place.
    """
    path = _find_recipe(name_or_file)
    value, origins = read_yaml(path, "recipe")
    if not isinstance(value, dict):
        raise UserError("a recipe is a mapping of sections", where=str(path), fix="start from the quickstart recipe")
    for (key, flag), changed in (changes or {}).items():
        _set(value, key.split("."), changed, flag, origins)
    for override in overrides:
        _override(value, override, origins)
    return check_recipe(value, str(path), origins)


def check_recipe(value: dict[str, Any], where: str, origins: dict[Place, str] | None = None) -> Recipe:
    """Validate a recipe's mapping; `origins` holds where each key was written.

    Raises:
        UserError: It has faults, or an access token: recipes are kept in runs, results and reports.
    """
    place = next((place for place, text in walk_texts(value) if holds_secret(text)), None)
    if place is not None:
        raise UserError(
            f"{'.'.join(map(str, place)) or 'the recipe'} holds what looks like an access token or a password",
            where=where,
            fix="take it out: tokens come from HF_TOKEN or `hf auth login`; revoke it if others could see the file",
        )
    return check(Recipe, value, where, "recipe", origins)


def recipe_yaml(recipe: Recipe) -> str:
    """A resolved recipe as YAML that `load_recipe` reads back."""
    text: str = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
    return f"# The resolved recipe of a medbench run: every value, as used.\n{text}"


def _override(recipe: dict[str, Any], override: str, origins: dict[Place, str]) -> None:
    """Apply one `key.path=value` in place."""
    key, equals, text = override.partition("=")
    where = f"--set {override}"
    keys = key.strip().split(".")
    if not equals or not all(keys):
        raise UserError("expected key=value, such as lora.r=8", where=where)
    try:
        value, _ = parse_yaml(text, where)
    except UserError as error:
        raise UserError("the value is not YAML", where=where, fix="quote it, such as name='\"a: b\"'") from error
    _set(recipe, keys, value, where, origins)


def _set(recipe: dict[str, Any], keys: Sequence[str], value: Change, where: str, origins: dict[Place, str]) -> None:
    """Set the value of a key path, or remove it, in place."""
    section = recipe
    for inner in keys[:-1]:
        following = section.setdefault(inner, {})
        if not isinstance(following, dict):
            raise UserError(f"{inner} is not a section", where=where, fix=f"set {inner} itself, or a key of a section")
        section = following
    if value is REMOVED:
        section.pop(keys[-1], None)
        return
    section[keys[-1]] = value
    for depth in range(1, len(keys) + 1):
        origins.setdefault(tuple(keys[:depth]), where)
    origins[tuple(keys)] = where
