"""Loads lm-eval tasks for a recipe: ours with its data and format, any other that lm-eval knows by name."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.planning.task_infos import examples_setting, task_info
from reports.document.row_account import RowAccount
from reports.document.schema import TaskInfo
from reports.errors import UserError, did_you_mean, first_line
from reports.files import sha256_value
from reports.names import is_plain_name
from tasks import catalog
from tasks.data import DataSource, sample_indices
from tasks.data.documents import account_of
from tasks.data.selection import official_test_ids
from training.models.model import Model
from training.recipes.recipe import Recipe, ScoringSection
from training.splits import example_source, held_out_source

_OURS = "medbench_"
_Index = Callable[[], Mapping[str, Any]]
_SOURCES = ("context", "contexts", "passage", "article", "story", "document", "abstract", "support", "question")


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
        info: What reports say about it; metrics of other people's tasks are filled in from their results.
        reference: The task as the base is asked it; None for that one.
        own: The task as single models are asked it, by their names: the same items, prompted in the model's own way.
    """

    name: str
    task: Any
    indices: list[int]
    source: DataSource | None
    items_hash: str
    info: TaskInfo
    account: RowAccount | None = None
    reference: LoadedTask | None = None
    own: Mapping[str, LoadedTask] = field(default_factory=dict)

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

    @functools.cached_property
    def letters(self) -> int:
        """About how many characters a model reads of all items."""
        also = "gold" if self.name == catalog.PERPLEXITY else None
        return sum(len(str(row.get("prompt", row))) + (len(row[also]) if also else 0) for row in self.documents())

    @functools.cached_property
    def shared_sources(self) -> frozenset[str]:
        """Hashes of the sources that several items share; see `source_hash`."""
        often = Counter(map(source_hash, self.documents()))
        return frozenset(source for source, count in often.items() if source is not None and count > 1)


def source_hash(document: dict[str, Any]) -> str | None:
    """Hash of the text that an item may share with others: its context, or the question itself; None if unknown."""
    named = {str(key).lower(): value for key, value in document.items()}
    source = next((named[name] for name in _SOURCES if named.get(name)), None)
    return None if source is None else sha256_value(source if isinstance(source, str) else repr(source))[:16]


def own_task_names() -> list[str]:
    """Names of medbench's own tasks."""
    return sorted(path.stem for path in catalog.CONFIG_FOLDER.glob("*.yaml"))


@functools.cache
def lm_eval_tasks() -> dict[str, Any]:
    """The tasks that come with lm-eval by name, found once a process: it reads 14,000 files for that."""
    from lm_eval.tasks import TaskManager

    return dict(TaskManager().task_index)


def load_tasks(
    names: Sequence[str], recipe: Recipe, base: Model, index: _Index = lm_eval_tasks, tokenizer: str | None = None
) -> list[LoadedTask]:
    """Load tasks by name, groups taken apart into theirs.

    Args:
        names: The names.
        recipe: The recipe.
        base: The base.
        index: Gives lm-eval's own tasks by name.
        tokenizer: Name of the tokenizer that prompts are rendered with, if it is not the base's.

    Raises:
        UserError: A name is unknown to lm-eval, or a task's data cannot be had.
    """
    from lm_eval.tasks import TaskManager

    ours = set(own_task_names())
    foreign = [name for name in names if name not in ours]
    odd = next((name for name in foreign if not is_plain_name(name)), None)
    if odd is not None:
        raise UserError(f"lm-eval knows no task {odd[:80]!r}", where="--tasks", fix="see `medbench list tasks`")
    held_out = held_out_source(recipe)
    manager = TaskManager(
        include_path=str(catalog.CONFIG_FOLDER),
        include_defaults=False,
        metadata={  # for our data-set functions, see `tasks.task_settings`
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
        },
    )
    available = manager.task_index
    if foreign:
        available |= {name: entry for name, entry in index().items() if name not in available}
    for name in names:
        if name not in available:
            near = did_you_mean(name, available, most=3)
            fix = f"{near} medbench's own: {', '.join(sorted(ours))}; see `medbench list tasks`"
            raise UserError(f"lm-eval knows no task {name!r}", where="--tasks", fix=fix)
    loaded: dict[str, LoadedTask] = {}
    for name in names:
        for task_name, task in _load(manager, name).items():
            loaded.setdefault(task_name, _prepare(task_name, task, recipe, _source(task_name, recipe, held_out)))
    _check_limits(recipe.scoring.limits, [*names, *loaded], {*ours, *loaded}, index)
    return list(loaded.values())


def _check_limits(limits: Iterable[str], chosen: Sequence[str], single: Collection[str], index: _Index) -> None:
    """See that limits name tasks; those of tasks that are not asked this time may stay.

    Raises:
        UserError: One is a mistyped name, or that of a group of tasks that is asked.
    """
    for name in limits:
        if name not in single and (name in chosen or name not in index()):
            near = did_you_mean(name, single)
            fix = f"{near} Limits are given for single tasks, such as {', '.join(sorted(single)[:4])}"
            raise UserError(f"lm-eval knows no single task {name!r}", where="scoring.limits", fix=fix)


def _load(manager: Any, name: str) -> dict[str, Any]:
    try:
        return dict(manager.load([name])["tasks"])
    except UserError:
        raise
    except Exception as error:  # a task may fetch its data set, run its own code, or need a package that is not there
        if name.startswith(_OURS):
            raise
        raise UserError(
            f"lm-eval could not load it: {first_line(error)}",
            where=f"task {name}",
            fix="its data comes from the hub: check the network, or leave the task out",
        ) from error


def _source(name: str, recipe: Recipe, held_out: DataSource) -> DataSource | None:
    """Where a task of ours has its items from, official test ids applied; None for other people's tasks."""
    if name in catalog.PUBMEDQA_LABELS:
        return official_test_ids(recipe.data.pubmedqa)
    if name in catalog.QUESTION_LABELS:
        return recipe.data.questions
    return held_out if name in catalog.METRICS else None


def _prepare(name: str, task: Any, recipe: Recipe, source: DataSource | None) -> LoadedTask:
    if getattr(task, "UNSAFE_CODE", False):
        raise UserError(
            "it runs the code that a model writes, which medbench does not", where=f"task {name}", fix="leave it out"
        )
    shots = _set_fewshot(name, task, recipe.scoring.num_fewshot)
    if not task.config.num_fewshot and hasattr(task, "sampler"):
        task.sampler.replace_df([])  # lm-eval's list of all documents to draw examples from, of which none is drawn
    total = len(task.eval_docs)
    indices = sample_indices(total, recipe.scoring.limit_of(name), recipe.seed)
    if name in catalog.METRICS and task.OUTPUT_TYPE == "generate_until":
        _set_sampling(task, recipe.scoring)
    info = task_info(name, task, indices, source)
    account = None if source is None else account_of(task.dataset["test"])
    is_text = account is not None and account.kind == "text"
    info.setting += examples_setting(name, shots, is_text=is_text)
    settings = [task.config.generation_kwargs, task.config.repeats] if task.OUTPUT_TYPE == "generate_until" else None
    rest = [info.version, _plain(settings), *([shots] if shots else [])]
    items_hash = _items_hash(_documents(task, indices), rest)
    if name == catalog.GENERATION and is_text:
        others = ",".join(task for task in recipe.scoring.tasks if task != name) or catalog.PERPLEXITY
        raise UserError(
            "plain texts hold no questions to answer, only text for the perplexity",
            where=f"task {name}",
            fix=f"leave it out, such as --set scoring.tasks=[{others}], or give data.reasoning rows with questions",
        )
    return LoadedTask(name, task, indices, source, items_hash, info, account)


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


def _items_hash(documents: Iterable[dict[str, Any]], rest: Any) -> str:
    """Hash over items, one after another so that their text is not held twice, and what else decides the answers."""
    digest = hashlib.sha256()
    for row in documents:
        item = {key: value for key, value in row.items() if key != "tokenizer"}
        digest.update(sha256_value(_plain(item)).encode())
    return sha256_value([digest.hexdigest(), rest])


def _plain(value: Any) -> Any:
    """JSON-able form of whatever a task's documents hold."""
    if isinstance(value, dict):
        return {str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
