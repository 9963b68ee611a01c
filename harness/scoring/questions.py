"""The questions of tasks, some thousand items at a time, and lm-eval's evaluation of one model's answers to them."""

from __future__ import annotations

import copy
import functools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lm_eval.evaluator import evaluate
from lm_eval.filters.custom import CustomFilter

from harness.engines.interface import Request, Response
from harness.scoring.lm import AnsweredLM, RequestMaker
from tasks.rendering import load_tokenizer
from tasks.same_reading import check_own_reading, check_reading

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

    from harness.planning.dialogues import Dialogue
    from harness.planning.lm_tasks import LoadedTask

BLOCK_SAMPLES = 4096  # held at once: some tens of megabytes; a block's last long answers are alone in their batches


@dataclass(frozen=True)
class Questions:
    """What one task asks about its items, or a part of them.

    Attributes:
        loaded: The task.
        indices: The items, by their place in the task's documents.
        task: lm-eval's own object with the requests for these items.
        by_type: The engine's requests by lm-eval's type of request, in lm-eval's order, repeats included.
    """

    loaded: LoadedTask
    indices: list[int]
    task: Any
    by_type: dict[str, list[Request]]

    def requests(self) -> Iterator[Request]:
        """All of them; a request that occurs twice is answered once."""
        return iter(dict.fromkeys(request for requests in self.by_type.values() for request in requests))

    def evaluate(self, answer_to: Callable[[Request], Response]) -> dict[str, Any]:
        """lm-eval's results and samples for one model's answers; with the items' values in place of scores."""
        for instance in self.task.instances:
            instance.resps, instance.filtered_resps = [], {}
        evaluated: dict[str, Any] = evaluate(
            AnsweredLM(self.by_type, answer_to),
            {"tasks": {self.loaded.name: self.task}, "groups": {}, "group_map": {}},
            samples={self.loaded.name: self.indices},
            bootstrap_iters=0,
        )
        return evaluated


@dataclass(frozen=True)
class Block:
    """Items that are asked together, of as many tasks as there is room for.

    Attributes:
        number: Its place among the blocks, from 1.
        count: How many blocks there are.
        questions: By model and task.
    """

    number: int
    count: int
    questions: dict[tuple[str, str], Questions]


def question_blocks(tasks: Sequence[LoadedTask], dialogues: Mapping[str, Dialogue], seed: int) -> Iterator[Block]:
    """All questions of tasks in blocks of equal size, one task after another.

    However many items there are, no more than a block's documents, questions and answers need be in memory.

    Args:
        tasks: The tasks.
        dialogues: How each model is prompted; those that are prompted alike share their questions.
        seed: Seed of few-shot examples and sampled answers.
    """
    blocks = list(_divided(tasks))
    models = {dialogue: model for model, dialogue in dialogues.items()}
    parts = {
        (dialogue, loaded.name): _parts(
            loaded.asked(model),
            _request_maker(dialogue, seed),
            seed,
            [block[loaded.name] for block in blocks if loaded.name in block],
        )
        for dialogue, model in models.items()
        for loaded in tasks
    }
    for number, block in enumerate(blocks, 1):
        made = {(dialogue, name): next(parts[dialogue, name]) for name in block for dialogue in models}
        questions = {(model, name): made[dialogue, name] for name in block for model, dialogue in dialogues.items()}
        yield Block(number, len(blocks), questions)


def _request_maker(dialogue: Dialogue, seed: int) -> RequestMaker:
    own, check = load_tokenizer(dialogue.tokenizer), None
    if dialogue.is_whole:
        check = functools.partial(check_own_reading, own)
    elif dialogue.base_tokenizer:
        check = functools.partial(check_reading, own, load_tokenizer(dialogue.base_tokenizer))
    return RequestMaker(own, seed, dialogue.stop, check)


def make_questions(loaded: LoadedTask, maker: RequestMaker, seed: int) -> Questions:
    """All questions of a task at once."""
    return next(_parts(loaded, maker, seed, [loaded.indices]))


def _divided(tasks: Sequence[LoadedTask]) -> Iterator[dict[str, list[int]]]:
    """The items of each block by task."""
    total = sum(len(loaded.indices) * loaded.answers for loaded in tasks)
    size = math.ceil(total / math.ceil(total / BLOCK_SAMPLES))
    block: dict[str, list[int]] = {}
    room = size
    for loaded in tasks:
        left = loaded.indices
        while left:
            fitting = math.ceil(room / loaded.answers) if _can_be_divided(loaded.task) else len(left)
            block[loaded.name], left = left[:fitting], left[fitting:]
            room -= len(block[loaded.name]) * loaded.answers
            if room <= 0:
                yield block
                block, room = {}, size
    if block:
        yield block


def _can_be_divided(task: Any) -> bool:
    """Whether a part of the items can be evaluated by itself: lm-eval's own filters look at one item at a time.

    A filter that a task brings itself gets the answers to all items and may compare them, so it is given all at once.
    """
    filters = [getattr(step, "func", step) for ensemble in getattr(task, "_filters", ()) for step in ensemble.filters]
    return all(step.__module__.startswith("lm_eval.filters.") and step is not CustomFilter for step in filters)


def _parts(loaded: LoadedTask, maker: RequestMaker, seed: int, parts: Iterable[list[int]]) -> Iterator[Questions]:
    """The questions about each part of a task's items.

    lm-eval builds requests and draws few-shot examples again at each evaluation, so a base and its adapter would get
    different questions. Here they are drawn once, by seed and in the order of the items, with a sampler that is not
    shared with another call, and lm-eval is kept from doing it again.
    """
    whole = copy.copy(loaded.task)
    if hasattr(whole, "sampler"):
        whole.sampler = copy.copy(whole.sampler)
    whole.set_fewshot_seed(seed)
    for indices in parts:
        yield _questions(loaded, copy.copy(whole), maker, indices)


def _questions(loaded: LoadedTask, task: Any, maker: RequestMaker, indices: list[int]) -> Questions:
    """The questions about some items; `task` is lm-eval's object of these questions alone."""
    task.doc_iterator = lambda **_: enumerate(loaded.documents(indices))
    task.build_all_requests(samples=indices)
    task.build_all_requests = lambda **_: None
    task.aggregation = _Values
    instances: defaultdict[str, list[Instance]] = defaultdict(list)
    for instance in task.instances:
        instances[instance.request_type].extend([instance] * instance.repeats)
    by_type = {kind: getattr(maker, kind)(group, disable_tqdm=True) for kind, group in instances.items()}
    return Questions(loaded, indices, task, by_type)


class _Values(dict[str, Any]):
    """Replaces a task's aggregation functions and returns the values; they are aggregated over all parts later."""

    def __missing__(self, metric: str) -> Callable[[list[Any]], list[Any]]:
        return lambda values: values
