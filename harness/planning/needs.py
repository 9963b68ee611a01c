"""What a run reads that is not on this machine: data sets and models of the hub, which a bundle has to hold."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.planning.leaf_tasks import leaf_tasks
from harness.planning.model_names import parse_models
from harness.planning.task_index import Index, find_tasks
from harness.planning.task_names import lm_eval_tasks, own_task_names
from reports.bundles.active import Bundle
from reports.bundles.manifest import NOT_STATED, PieceKind
from reports.errors import UnreachableError, UserError
from reports.names import is_hub_id
from reports.numbers import file_size
from tasks import catalog
from tasks.benchmarks import BENCHMARKS
from tasks.data import DataSource
from training.recipes.recipe import QUICKSTART_MODEL, Recipe
from training.recipes.recipe_file import recipe_names

_NAMED = 5  # configurations in a message
_ROWS = ("train", "validation", "reasoning", "pubmedqa", "questions")  # under `data`


@dataclass(frozen=True)
class Need:
    """A data set or model that a run needs.

    Attributes:
        kind: What it is.
        id: Its id on the hub, or the name of the built-in model.
        wanted_by: Tasks, flags and recipe keys that name it.
        revision: The branch, tag or commit that one of them pins; None if none does.
        configs: Configurations of the data set, "" being the default one; None if all its files are needed.
        is_named: Whether the user named it or a task that reads it, rather than a suite or group.
    """

    kind: PieceKind
    id: str
    wanted_by: tuple[str, ...]
    revision: str | None = None
    configs: frozenset[str] | None = None
    is_named: bool = True

    @property
    def benchmarks(self) -> list[str]:
        """Names of the benchmarks of the catalogue that read it."""
        return [] if self.kind == "model" else [name for name, one in BENCHMARKS.items() if one.source_id == self.id]

    @property
    def catalogue_licence(self) -> str:
        """Its licence by the catalogue; `not stated` if it is not there."""
        return next((BENCHMARKS[name].licence for name in self.benchmarks), NOT_STATED)

    def with_configs(self, configs: frozenset[str] | None) -> Need:
        """The need with more configurations of the data set; None is all files."""
        return replace(self, configs=None if self.configs is None or configs is None else self.configs | configs)

    @property
    def items(self) -> int | None:
        """Number of items of the tasks that want it, by the catalogue; None if it says nothing of them."""
        wanted = [BENCHMARKS[name].items for name in self.benchmarks if f"task {name}" in self.wanted_by]
        return sum(filter(None, wanted)) or None

    def __str__(self) -> str:
        """Kind, id and configurations."""
        configs = sorted(filter(None, self.configs or ()))
        more = f" and {len(configs) - _NAMED} more" if len(configs) > _NAMED else ""
        names = f" ({', '.join(configs[:_NAMED])}{more})" if configs else ""
        return f"{self.kind} {self.id}{names}"


@dataclass
class Needs:
    """All that a run needs.

    Attributes:
        pieces: Data sets and models of the hub, each once.
        local: What the run reads from this machine or a server, with the flag or key that names it.
        unknown: Tasks whose own code or addresses bring their data.
    """

    pieces: list[Need] = field(default_factory=list)
    local: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def add(self, need: Need) -> None:
        """Add a data set or model, or what is new about it.

        Raises:
            UserError: Two revisions of it are pinned.
        """
        for place, other in enumerate(self.pieces):
            if (other.kind, other.id) == (need.kind, need.id):
                self.pieces[place] = _joined(other, need)
                return
        self.pieces.append(need)


def _joined(first: Need, second: Need) -> Need:
    revisions = {need.revision for need in (first, second)} - {None}
    if len(revisions) > 1:
        what = f"{first.id} is needed at {first.revision} by {', '.join(first.wanted_by)}, and at {second.revision}"
        fix = "make a bundle of its own for one of them"
        raise UserError(what, where=", ".join(second.wanted_by), fix=fix)
    wanted_by = tuple(dict.fromkeys((*first.wanted_by, *second.wanted_by)))
    named = first.is_named or second.is_named
    joined = first.with_configs(second.configs)
    return replace(joined, wanted_by=wanted_by, revision=next(iter(revisions), None), is_named=named)


def run_needs(
    recipe: Recipe, models: str, tasks: Sequence[str], index: Index = lm_eval_tasks, *, trains_only: bool = False
) -> Needs:
    """What a run with these models and tasks reads.

    Args:
        recipe: The recipe; all its data sources count, whichever tasks read them.
        models: As in `--models`.
        tasks: Names and paths of tasks to score.
        index: Gives lm-eval's own tasks by name.
        trains_only: Whether rows that are only scored are left out.

    Raises:
        UserError: A name is wrong, or two revisions of a data set are pinned.
    """
    needs = Needs()
    _add_model(needs, recipe.model.base, recipe.model.revision, "model.base")
    for argument in parse_models(models):
        if argument.source is not None:
            _add_model(needs, argument.source, None, f"--models {argument.name}")
    for key, source in _sources(recipe, ("train", "validation") if trains_only else _ROWS):
        if isinstance(source.source, str) and not source.is_sample and not source.files():
            config = frozenset({source.config or ""})
            needs.add(Need("data set", source.source, (key,), configs=config))
        elif not source.is_sample:
            needs.local.append(f"{key}: {source.label}")
    if tasks:
        _add_tasks(needs, recipe, tasks, index)
    return needs


def _add_model(needs: Needs, source: str, revision: str | None, where: str) -> None:
    is_here = Path(source).expanduser().exists()
    if source == QUICKSTART_MODEL or (is_hub_id(source) and not is_here):
        needs.add(Need("model", source, (where,), revision=revision))
    else:
        needs.local.append(f"{where}: {source}")


def _sources(recipe: Recipe, keys: Sequence[str]) -> Iterator[tuple[str, DataSource]]:
    """(key in the recipe, source) of rows under `data`, and of the training data of models from elsewhere."""
    for key in keys:
        source = getattr(recipe.data, key)
        if source is not None:
            yield f"data.{key}", source
    for name, source in recipe.trained_on.items():
        yield f"trained_on.{name}", source


def _add_tasks(needs: Needs, recipe: Recipe, tasks: Sequence[str], index: Index) -> None:
    ours, folders = set(own_task_names()), recipe.data.folders
    task_index = find_tasks(tasks, recipe.scoring, index)
    needs.local += [f"data.folders: {name}: {folder}" for name, folder in folders.items()]
    needs.local += [f"--tasks {word}" for word in tasks if Path(word).suffix in (".yaml", ".yml") or "/" in word]
    needs.local += [f"scoring.task_paths: {path}" for path in recipe.scoring.task_paths]
    for name in task_index.names:
        for leaf in leaf_tasks(name, task_index.entries):
            where = f"task {leaf.name}"
            data = BENCHMARKS[leaf.name].source_id if catalog.reads_hub(leaf.name) else leaf.hub_data
            if data is None and leaf.name not in ours and leaf.name not in task_index.own.tasks:
                needs.unknown.append(leaf.name)
            if data is None or data in folders:
                continue
            config = leaf.dataset_config
            configs = None if config is None else frozenset({config})
            pinned = BENCHMARKS[leaf.name].revision if leaf.name in BENCHMARKS else ""
            is_named = leaf.name in tasks or leaf.name in task_index.own.tasks
            needs.add(Need("data set", data, (where,), leaf.revision or pinned or None, configs, is_named))


def check_bundle(bundle: Bundle, needs: Needs, recipe: Recipe, models: str, tasks: Sequence[str]) -> None:
    """Check that a bundle holds all that a run needs, before anything of it is loaded.

    Raises:
        UnreachableError: It does not; all missing pieces are named with size, licence and the command that adds them.
    """
    lines = [f"{need}: {_size(bundle, need)}, licence: {_licence(bundle, need)}" for need in _missing(bundle, needs)]
    if lines:
        name = recipe.name if recipe.name in recipe_names() else "RECIPE.yaml"
        command = ["medbench", "bundle", "--recipe", name, "--models", models]
        command += ["--tasks", ",".join(tasks)] if tasks else []
        what = "the bundle lacks " + (lines[0] if len(lines) == 1 else "".join(f"\n  - {line}" for line in lines))
        fix = f"on a connected machine: {shlex.join([*command, '--out', bundle.path.name])}; then copy the bundle again"
        raise UnreachableError(what, where=f"bundle {bundle.path}", fix=fix)


def _missing(bundle: Bundle, needs: Needs) -> Iterator[Need]:
    for need in needs.pieces:
        piece = bundle.manifest.piece(need.kind, need.id)
        if piece is None:
            yield need
        elif need.kind == "data set" and not piece.holds(need.configs):
            missing = None if need.configs is None else need.configs - {*(piece.configs or ())}
            yield replace(need, configs=missing)


def _size(bundle: Bundle, need: Need) -> str:
    """Size of a missing piece: by the manifest if it was planned, else the number of items by the catalogue."""
    sizes = [one.size for one in bundle.manifest.pending if (one.kind, one.id) == (need.kind, need.id)]
    if sizes:
        return file_size(sizes[0])
    return "size not stated" if need.items is None else f"{need.items:,} items"


def _licence(bundle: Bundle, need: Need) -> str:
    pieces = [(one.kind, one.id, one.licence) for one in bundle.manifest.pieces]
    pending = [(one.kind, one.id, one.licence) for one in bundle.manifest.pending]
    stated = [licence for kind, name, licence in (*pieces, *pending) if (kind, name) == (need.kind, need.id)]
    return next((text for text in (need.catalogue_licence, *stated) if text != NOT_STATED), NOT_STATED)
