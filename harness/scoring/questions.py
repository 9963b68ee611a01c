"""The questions of a task, made once for all models, and lm-eval's evaluation of one model's answers to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lm_eval.evaluator import evaluate

from harness.engines.interface import Answer, Request
from harness.scoring.lm import AnsweredLM, RequestMaker

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

    from harness.planning.lm_tasks import LoadedTask


@dataclass(frozen=True)
class Questions:
    """What one task asks.

    Attributes:
        loaded: The task.
        by_type: The engine's requests by lm-eval's type of request, in lm-eval's order, repeats included.
    """

    loaded: LoadedTask
    by_type: dict[str, list[Request]]

    def requests(self) -> Iterator[Request]:
        """All of them; a request that occurs twice is answered once."""
        return iter(dict.fromkeys(each for requests in self.by_type.values() for each in requests))

    def evaluate(self, answer_to: Callable[[Request], Answer]) -> dict[str, Any]:
        """lm-eval's results and samples for one model's answers."""
        task = self.loaded.task
        for instance in task.instances:
            instance.resps, instance.filtered_resps = [], {}
        evaluated: dict[str, Any] = evaluate(
            AnsweredLM(self.by_type, answer_to),
            {"tasks": {self.loaded.name: task}, "groups": {}, "group_map": {}},
            samples={self.loaded.name: self.loaded.indices},
            bootstrap_iters=0,
        )
        return evaluated


def make_questions(loaded: LoadedTask, maker: RequestMaker, seed: int) -> Questions:
    """Build a task's requests.

    lm-eval builds them anew at each evaluation and draws the few-shot examples anew; then a base and its adapter would
    be asked different questions. So they are drawn once, by seed, and lm-eval is kept from doing it again.
    """
    task = loaded.task
    task.set_fewshot_seed(seed)
    task.build_all_requests(samples=loaded.indices)
    task.build_all_requests = lambda **_: None
    instances: defaultdict[str, list[Instance]] = defaultdict(list)
    for instance in task.instances:
        instances[instance.request_type].extend([instance] * instance.repeats)
    by_type = {kind: getattr(maker, kind)(asked, disable_tqdm=True) for kind, asked in instances.items()}
    return Questions(loaded, by_type)
