"""The models of several runs without duplicates, under distinct names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reports.document.reading import read_scored
from reports.document.schema import ModelInfo, Results
from reports.errors import UserError


@dataclass(frozen=True)
class Member:
    """A model of one of the runs, and its name in the comparison.

    Attributes:
        of_recipe: Whether its run's recipe trained it; other adapters were only scored there.
    """

    name: str
    model: ModelInfo
    run: Path
    label: str
    results: Results
    of_recipe: bool

    @property
    def is_trained(self) -> bool:
        """Whether it is not a base model."""
        return self.model.kind != "base"


def members_of(runs: Sequence[Path], own: str) -> list[Member]:
    """List all models; of bases with the same weights and configuration in the same precision only the first.

    Args:
        runs: Run folders.
        own: Name that runs give to the adapter trained by their recipe.

    Raises:
        UserError: A run is missing, is listed twice or has no samples, or two models would have the same name.
    """
    members: list[Member] = []
    bases: set[tuple[str, str | None, str]] = set()
    for run, label in zip(runs, _labels(runs), strict=True):
        results = read_scored(run)
        if not (run / "samples").is_dir():
            raise UserError("the run has no samples to pair", where=str(run), fix="name the whole run folder")
        adapters = [model for model in results.models if model.kind != "base"]
        pooled = {name for model in adapters if model.kind == "pool" for name in (model.name, *model.members)}
        for model in results.models:
            identity = (model.sha256, model.config_sha256, model.weights)
            if model.kind == "base" and identity in bases:
                continue
            if model.kind == "base":
                name = model.name if not bases else f"{label}-{model.name}"
                bases.add(identity)
            else:
                name = label if len(adapters) == 1 else f"{label}-{model.name}"
            members.append(Member(name, model, run, label, results, model.name in {own, *pooled}))
    names = [member.name for member in members]
    if len(set(names)) < len(names):
        raise UserError(
            f"two models would both be named {next(name for name in names if names.count(name) > 1)}",
            where=", ".join(map(str, runs)),
            fix="rename a run folder",
        )
    return members


def _labels(runs: Sequence[Path]) -> list[str]:
    """Each run's folder name, with its parent's if the name is not unique."""
    resolved = [run.resolve() for run in runs]
    if len(set(resolved)) < len(resolved):
        raise UserError("a run is listed twice", where=", ".join(map(str, runs)), fix="list each run once")
    names = [path.name for path in resolved]
    return [
        name if names.count(name) == 1 else f"{path.parent.name}-{name}"
        for path, name in zip(resolved, names, strict=True)
    ]
