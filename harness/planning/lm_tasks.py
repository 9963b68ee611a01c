"""Loads lm-eval tasks for a recipe: ours with its data and format, any other that lm-eval knows by name."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.planning.item_hashes import items_hash, source_hash
from harness.planning.load_task import load_task
from harness.planning.local_data import check_folders
from harness.planning.task_index import Index, find_tasks
from harness.planning.task_infos import examples_setting, task_info
from harness.planning.task_names import lm_eval_tasks, own_task_names
from harness.task_files.item_checks import check_items, examples_hash
from harness.task_files.own_tasks import Definition
from reports.document.row_account import RowAccount
from reports.document.schema import TaskInfo
from reports.errors import UnreachableError, UserError, did_you_mean
from reports.files import sha256_value
from reports.json_text import plain
from tasks import catalog
from tasks.data import DataSource, sample_indices
from tasks.data.cells import short_fields
from tasks.data.documents import account_of
from tasks.data.selection import official_test_ids
from training.models.model import Model
from training.recipes.recipe import Recipe, ScoringSection
from training.splits import example_source, held_out_source

_COUNTED_ITEMS = 64  # whose tokens stand for those of all items of a task


def _cannot_be_remade(indices: list[int]) -> LoadedTask:
    raise NotImplementedError(f"a task that `load_tasks` did not load has no other items than {len(indices)}")


@dataclass(frozen=True)
class LoadedTask:
    """A task ready to be asked.

    Attributes:
        name: The lm-eval task.
        task: lm-eval's own object.
        indices: The items to ask, by their place in the task's documents.
        source: Where the items of one of our tasks come from; None for other people's.
        items_hash: Hash over these items, which decides whether answers given earlier still stand.
        account: What became of the rows of the source; None for other people's tasks.
        file: Name of the user's own file that defines it; empty for tasks by name.
        info: What reports say about it; metrics of other people's tasks are filled in from their results.
        reference: The task as the base is asked it; None for that one.
        own: The task as single models are asked it, by their names: the same items, prompted in the model's own way.
        slices: Columns by which its items are sliced, those of `scoring.slices`.
        set_aside: Number of items that are never reported, see `harness.planning.validation_items`.
        remade: The task with other items, whose hash and description are then theirs.
    """

    name: str
    task: Any
    indices: list[int]
    source: DataSource | None
    items_hash: str
    info: TaskInfo
    account: RowAccount | None = None
    file: str = ""
    reference: LoadedTask | None = None
    own: Mapping[str, LoadedTask] = field(default_factory=dict)
    slices: tuple[str, ...] = ()
    set_aside: int = 0
    remade: Callable[[list[int]], LoadedTask] = field(default=_cannot_be_remade, repr=False, compare=False)

    def asked(self, model: str) -> LoadedTask:
        """The task as one model is asked it."""
        return self.own.get(model, self)

    def at(self, indices: list[int]) -> LoadedTask:
        """The task with other items."""
        own = {model: task.at(indices) for model, task in self.own.items()}
        return replace(self, indices=indices, own=own)

    def item_hash(self, index: int) -> str:
        """Hash of an item of one of our tasks as the base is asked it: the same for all models."""
        item = (self.reference or self).task.eval_docs[index]
        return sha256_value([item["id"], item["prompt"], item["gold"]])

    @property
    def answers(self) -> int:
        """How many answers each item is asked for, a sample each; other people's tasks repeat as they like."""
        return int(self.task.config.repeats) if self.name in catalog.METRICS else 1

    def documents(self, indices: Iterable[int] | None = None) -> Iterator[dict[str, Any]]:
        """The items to ask in order, or those at `indices`; read one by one, since all of them are much text."""
        return _documents(self.task, self.indices if indices is None else indices)

    def fields(self, document: Mapping[str, Any]) -> dict[str, str]:
        """Short further facts of an item by column, such as its speciality."""
        if self.name in catalog.METRICS:
            return dict(json.loads(document["fields"]))
        return short_fields(dict(document))

    def read_tokens(self, count: Callable[[str], int]) -> float:
        """About how many tokens a model reads of all items: prompts, examples before them, and choices.

        Args:
            count: Counts the tokens of a text; called with those of some items, evenly spaced.
        """
        sample = self.indices[:: -(-len(self.indices) // _COUNTED_ITEMS) or 1]
        texts = [self._read(row) for row in self.documents(sample)]
        shots = 0 if self.name in catalog.METRICS else int(self.task.config.num_fewshot or 0)
        return (1 + shots) * len(self.indices) * sum(map(count, texts)) / max(1, len(texts))

    def _read(self, row: dict[str, Any]) -> str:
        """What a model reads of an item, as one text; of choices at most what differs between them."""
        if self.name in catalog.METRICS:
            return str(row["prompt"]) + (str(row["gold"]) if self.name == catalog.PERPLEXITY else "")
        prompt = self.task.doc_to_text(row)
        choices = self.task.doc_to_choice(row) if self.task.OUTPUT_TYPE == "multiple_choice" else []
        whole = [choice for choice in map(str, choices) if len(choice) > 1]  # letters take no tokens of their own
        return "\n".join([prompt if isinstance(prompt, str) else str(row), *whole])

    @functools.cached_property
    def shared_sources(self) -> frozenset[str]:
        """Hashes of the sources that several items share; see `source_hash`."""
        often = Counter(map(source_hash, self.documents()))
        return frozenset(source for source, count in often.items() if source is not None and count > 1)


def load_tasks(
    names: Sequence[str],
    recipe: Recipe,
    base: Model,
    index: Index = lm_eval_tasks,
    tokenizer: str | None = None,
    unreachable: dict[str, UnreachableError] | None = None,
) -> list[LoadedTask]:
    """Load tasks by name, suites and groups taken apart into theirs.

    Args:
        names: Names of tasks, groups and suites, and paths of task files and folders.
        recipe: The recipe.
        base: The base.
        index: Gives lm-eval's own tasks by name.
        tokenizer: Name of the tokenizer that prompts are rendered with, if it is not the base's.
        unreachable: Gets the tasks whose data cannot be fetched from here, by name, instead of an error.

    Raises:
        UserError: A name is unknown to lm-eval, a task file is faulty, or a task's data cannot be had.
    """
    held_out, folders = held_out_source(recipe), check_folders(recipe.data.folders)
    metadata = {  # for our data-set functions, see `tasks.task_settings`
        "pubmedqa": recipe.data.pubmedqa.model_dump(mode="json"),
        "reasoning": held_out.model_dump(mode="json"),
        "questions": None if recipe.data.questions is None else recipe.data.questions.model_dump(mode="json"),
        "format": recipe.format.name,
        **recipe.format.model_dump(mode="json", exclude={"name"}, exclude_none=True),
        "shots": recipe.scoring.num_fewshot or 0,
        "examples": example_source(recipe).model_dump(mode="json"),
        "seed": recipe.seed,
        "tokenizer": str(base.folder),
        "prompt_tokenizer": tokenizer,
        "folders": folders,
    }
    task_index = find_tasks(names, recipe.scoring, index, metadata)
    names, own, manager = task_index.names, task_index.own, task_index.manager
    loaded: dict[str, LoadedTask] = {}
    for name in names:
        try:
            tasks = load_task(manager, name, own, folders)
        except UnreachableError as error:
            if unreachable is None:
                raise
            unreachable[name] = error
            continue
        for task_name, task in tasks.items():
            if task_name not in loaded:
                source = _source(task_name, recipe, held_out)
                loaded[task_name] = _prepare(task_name, task, recipe, source, own.definition(name, task_name))
    single = {*own_task_names(), *own.tasks, *loaded}
    _check_limits(recipe.scoring.limits, [*names, *loaded], single, index)
    return list(loaded.values())


def _check_limits(limits: Iterable[str], chosen: Sequence[str], single: Collection[str], index: Index) -> None:
    """See that limits name tasks; those of tasks that are not asked this time may stay.

    Raises:
        UserError: One is a mistyped name, or that of a group of tasks that is asked.
    """
    for name in limits:
        if name not in single and (name in chosen or name not in index()):
            near = did_you_mean(name, single)
            fix = f"{near} Limits are given for single tasks, such as {', '.join(sorted(single)[:4])}"
            raise UserError(f"lm-eval knows no single task {name!r}", where="scoring.limits", fix=fix)


def _source(name: str, recipe: Recipe, held_out: DataSource) -> DataSource | None:
    """Where a task of ours has its items from, official test ids applied; None for other people's tasks."""
    if name in catalog.PUBMEDQA_LABELS:
        return official_test_ids(recipe.data.pubmedqa)
    if name in catalog.QUESTION_LABELS:
        return recipe.data.questions
    return held_out if name in catalog.HELD_OUT else None


def _prepare(
    name: str, task: Any, recipe: Recipe, source: DataSource | None, definition: Definition | None
) -> LoadedTask:
    if getattr(task, "UNSAFE_CODE", False):
        raise UserError(
            "it runs the code that a model writes, which medbench does not", where=f"task {name}", fix="leave it out"
        )
    shots = _set_fewshot(name, task, recipe.scoring.num_fewshot)
    if not task.config.num_fewshot and hasattr(task, "sampler"):
        task.sampler.replace_df([])  # lm-eval's list of all documents to draw examples from, of which none is drawn
    if name in catalog.METRICS and task.OUTPUT_TYPE == "generate_until":
        _set_sampling(task, recipe.scoring)
    remade = functools.partial(_with_items, name, task, recipe, source, definition, shots)
    return remade(sample_indices(len(task.eval_docs), recipe.scoring.limit_of(name), recipe.seed))


def _with_items(
    name: str,
    task: Any,
    recipe: Recipe,
    source: DataSource | None,
    definition: Definition | None,
    shots: int,
    indices: list[int],
) -> LoadedTask:
    """A task with the items at these places in its documents."""
    info = task_info(name, task, indices, source, file=definition.file if definition else "")
    account = None if source is None else account_of(task.dataset["test"])
    is_text = account is not None and account.kind == "text"
    info.setting += examples_setting(name, shots, is_text=is_text)
    settings = [task.config.generation_kwargs, task.config.repeats] if task.OUTPUT_TYPE == "generate_until" else None
    rest = [info.version, plain(settings), *([shots] if shots else []), *_defined_by(task, indices, definition)]
    hashed = items_hash(_documents(task, indices), rest)
    if name == catalog.GENERATION and is_text:
        others = ",".join(task for task in recipe.scoring.tasks if task != name) or catalog.PERPLEXITY
        raise UserError(
            "plain texts hold no questions to answer, only text for the perplexity",
            where=f"task {name}",
            fix=f"leave it out, such as --set scoring.tasks=[{others}], or give data.reasoning rows with questions",
        )
    file, slices = definition.file if definition else "", tuple(dict.fromkeys(recipe.scoring.slices))
    remade = functools.partial(_with_items, name, task, recipe, source, definition, shots)
    return LoadedTask(name, task, indices, source, hashed, info, account, file, slices=slices, remade=remade)


def _defined_by(task: Any, indices: list[int], definition: Definition | None) -> list[str]:
    """Hashes of what decides the prompts and metrics of a task of a user's own file; its items are checked.

    Raises:
        UserError: An item cannot be scored.
    """
    if definition is None:
        return []
    items = "" if definition.task is None else check_items(task, indices, definition.task)
    return [definition.sha256, items, *([examples_hash(task)] if task.config.num_fewshot else [])]


def _set_fewshot(name: str, task: Any, wanted: int | None) -> int:
    """Give a task the recipe's number of examples, where it takes any; returns the number if it is the recipe's.

    Our own tasks have theirs in their documents. As in lm-eval, a task that sets 0 itself stays without examples.
    """
    if wanted is None or name in catalog.METRICS:
        return wanted or 0
    if task.config.num_fewshot == 0 or task.OUTPUT_TYPE == "loglikelihood_rolling":
        return 0
    task.set_config(key="num_fewshot", value=wanted)
    return wanted


def _documents(task: Any, indices: Iterable[int]) -> Iterator[dict[str, Any]]:
    every = task.eval_docs
    return (every[index] for index in indices)


def _set_sampling(task: Any, scoring: ScoringSection) -> None:
    """Give a generation task of ours the recipe's length, stop strings, sampling and repeats."""
    settings = task.config.generation_kwargs
    settings |= {"max_gen_toks": scoring.max_new_tokens, "until": [*settings["until"], *scoring.stop]}
    if scoring.temperature > 0:
        sampling = {"temperature": scoring.temperature, "top_p": scoring.top_p, "top_k": scoring.top_k}
        task.config.generation_kwargs |= {"do_sample": True, **sampling}
        task.config.repeats = scoring.repeats
