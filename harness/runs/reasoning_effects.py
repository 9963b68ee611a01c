"""Finds the tasks that score the same items by log-likelihood and with reasoning, and which items are the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.planning.lm_tasks import LoadedTask
from harness.scoring.kept_answers import Scored
from reports.comparison.reasoning_effect import reasoning_effect
from reports.document.reasoning_effect import ReasoningEffect
from tasks import catalog


def reasoning_effects(scored: Sequence[Scored], *, seed: int) -> list[ReasoningEffect]:
    """Accuracy with reasoning minus that by log-likelihood, for each model and pair of tasks that the run scored."""
    answers = {(one.model, one.task.name): one for one in scored}
    same: dict[str, dict[str, str]] = {}
    effects = []
    for reasoned in scored:
        by_likelihood = answers.get((reasoned.model, reasoned.task.info.by_likelihood))
        if by_likelihood is None:
            continue
        if reasoned.task.name not in same:
            same[reasoned.task.name] = same_items(by_likelihood.task, reasoned.task)
        effects.append(reasoning_effect(by_likelihood.samples, reasoned.samples, same[reasoned.task.name], seed=seed))
    return effects


def same_items(by_likelihood: LoadedTask, reasoned: LoadedTask) -> dict[str, str]:
    """Names of the items that both tasks score: that of the first task by that of the second.

    Items have the same name in both, which is their place in the split where one task is another's. They are the same
    only if the prompt by log-likelihood holds the question and the options in their order, and the answers agree.
    """
    documents = dict(_named_documents(by_likelihood))
    return {
        name: name
        for name, document in _named_documents(reasoned)
        if name in documents and _is_same(by_likelihood.task, documents[name], document)
    }


def _named_documents(loaded: LoadedTask) -> list[tuple[str, dict[str, Any]]]:
    """The scored items by the names that their samples have."""
    is_ours = loaded.name in catalog.METRICS
    return [
        (str(document["id"]) if is_ours else str(index), document)
        for index, document in zip(loaded.indices, loaded.documents(), strict=True)
    ]


def _is_same(task: Any, document: dict[str, Any], reasoned: dict[str, Any]) -> bool:
    target, choices = task.doc_to_target(document), task.doc_to_choice(document)
    gold = choices[target] if isinstance(target, int) else target
    if str(gold).strip() != reasoned["label"]:
        return False
    prompt, start = _plain(task.doc_to_text(document)), 0
    for part in (reasoned.get("stem") or reasoned["question"], *reasoned.get("options", ())):
        place = prompt.find(_plain(part), start)
        if place < 0:
            return False
        start = place + len(_plain(part))
    return True


def _plain(text: Any) -> str:
    return " ".join(str(text).split())
