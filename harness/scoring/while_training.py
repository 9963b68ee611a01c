"""Scores a model during its training, by log-likelihoods of the items that are set aside."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from harness.engines.causal_model import Budget, CausalModel, EngineStats
from harness.engines.interface import GenerateRequest, PerplexityRequest, Request, Response, ScoreRequest
from harness.engines.likelihoods import log_likelihoods
from harness.engines.rows import ScoringBatch
from harness.planning.validation_items import is_scored_by_likelihood
from harness.scoring.evaluation import Evaluation
from harness.scoring.questions import question_blocks
from reports.errors import UserError
from tasks.rendering import load_tokenizer
from training.models.probes import own_logprobs, probe_tokens

if TYPE_CHECKING:
    from harness.planning.lm_tasks import LoadedTask
    from harness.planning.run_plan import Plan
    from harness.scoring.kept_answers import Scored
    from harness.scoring.questions import Block

_BATCH_TOKENS = 4096  # computed at once at most, beside the memory that the training needs


class WhileTraining:
    """Scores on a plan's items that are set aside; see `training.backends.job.Scorer`.

    Args:
        plan: A plan that trains the recipe's adapter.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._own = next(model.name for model in plan.models if not model.sha256)
        self._tasks = [loaded for loaded in plan.validation if is_scored_by_likelihood(loaded)]
        self._by = plan.recipe.trainer.chooses_by
        dialogues = {self._own: plan.dialogues[self._own]}
        self._blocks = list(question_blocks(self._tasks, dialogues, plan.recipe.seed))
        requests = [request for block in self._blocks for request in _requests(block)]
        self.tokens = sum(len(row.tokens) for row in ScoringBatch(requests, sys.maxsize).rows)
        by = self._by
        self.sign = next((_sign(loaded, by[1]) for loaded in self._tasks if by is not None and loaded.name == by[0]), 1)

    def __call__(self, model: Any) -> dict[str, float]:
        """Scores by TASK/METRIC: the main metrics, and that of `trainer.choose_by`.

        Args:
            model: The PEFT model in evaluation mode.
        """
        tokenizer, device = load_tokenizer(str(self._plan.base.folder)), self._plan.device
        trained = _ModelInTraining(model.get_base_model(), tokenizer, device)
        budget = Budget(min(device.batch_tokens, _BATCH_TOKENS))
        evaluations = {loaded.name: Evaluation(self._own, loaded, None) for loaded in self._tasks}
        for block in self._blocks:
            requests = _requests(block)
            batch = ScoringBatch(requests, trained.max_length)
            responses: dict[Request, Response] = {}
            for part in log_likelihoods(trained, budget, batch.rows):
                if (complete := batch.complete(part)) is not None:
                    responses[requests[complete[0]]] = complete[1]
            for (_, task), questions in block.questions.items():
                evaluations[task].add(questions, responses)
        return dict(self._scores([evaluation.finish() for evaluation in evaluations.values()]))

    def _scores(self, scored: Sequence[Scored]) -> Iterator[tuple[str, float]]:
        for answers in scored:
            name = answers.task.name
            for metric in answers.metrics:
                if (metric.is_main and metric.sign) or (name, metric.key) == self._by:
                    value = answers.score(metric, self._plan.recipe.seed).value
                    if value is not None:
                        yield f"{name}/{metric.key}", value


def _requests(block: Block) -> list[ScoreRequest | PerplexityRequest]:
    """The requests of a block, none of which is a generation."""
    requests = dict.fromkeys(request for questions in block.questions.values() for request in questions.requests())
    return [request for request in requests if not isinstance(request, GenerateRequest)]


def _sign(loaded: LoadedTask, key: str) -> int:
    """1 if a higher value of a metric of the task is better, -1 if a lower one is."""
    metric = next((metric for metric in loaded.info.metrics if metric.key == key), None)
    if metric is not None:
        return metric.sign
    return 1 if loaded.task.higher_is_better().get(key.partition(",")[0]) else -1


class _ModelInTraining(CausalModel):
    """The model as it is trained, whose attention stays its own."""

    def _check(self, tokenizer: Any) -> None:
        tokens = tuple(probe_tokens(self.model, tokenizer))[: self.max_length]
        self.stats = EngineStats(shares_prefixes=False)
        if not self._agrees(tokens, own_logprobs(self.model, tokens)):
            raise UserError(
                f"{type(self.model).__name__} computes its logits otherwise than by its output layer, so it cannot be"
                " scored while it is trained",
                where="trainer.score_steps",
                fix="leave it out; trainer.choose_by works without it",
            )
