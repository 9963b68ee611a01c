"""What to change so that the rules of a policy that are not decided get a decision, with the names of the settings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from reports.document.schema import TaskInfo
from reports.gate.inputs import GateInput
from reports.gate.mean_difference import MIN_ITEMS
from reports.gate.outcome import RuleResult
from reports.gate.policy import Policy
from reports.numbers import join_words

_TOLERANCE = {"superiority": "detect", "bound": "confidence", "change": "confidence"}  # by rule; the others: margin


def advice(rules: Sequence[RuleResult], policy: Policy, candidate: GateInput) -> list[str]:
    """One sentence for each task and each other rule that is not decided; empty if all are.

    Args:
        rules: All results.
        policy: The policy, whose power the numbers of items are planned with.
        candidate: The candidate, whose recipe has the settings.
    """
    undecided = [rule for rule in rules if rule.verdict == "inconclusive" and not rule.advisory]
    needed: dict[str, list[RuleResult]] = defaultdict(list)
    others = []
    for rule in undecided:
        if rule.items_needed and rule.task:
            needed[rule.task].append(rule)
        else:
            others.append(rule)
    more = [_more_items(task, needing, policy, candidate) for task, needing in needed.items()]
    return [*more, *dict.fromkeys(_otherwise(rule) for rule in others)]


def _more_items(name: str, rules: Sequence[RuleResult], policy: Policy, candidate: GateInput) -> str:
    """How many questions of a task decide its rules, and the setting that scores so many."""
    items, here = max(rule.items_needed or 0 for rule in rules), max(rule.n for rule in rules)
    task = candidate.task(name)
    decides = join_words(list(dict.fromkeys(rule.subject or rule.name for rule in rules)))
    chance = f"which decides {decides} with a probability of about {100 * policy.power:g} %"
    if task is None:  # the row of a suite
        return (
            f"Score about {items:,} questions of the suite {name} instead of {here:,}, {chance}: raise scoring.limit"
            f" and scoring.limits in the recipe, or a margin in the policy where its tasks have no more."
        )
    available = next((data.available for data in candidate.results.data if data.role == name), None)
    title = task.short_title
    if available is None or items <= available:
        what = f"Score about {items:,} questions of {title} instead of {here:,}, {chance}"
        return f"{what}: {_setting(task, items, candidate)}."
    keys = join_words(list(dict.fromkeys(_TOLERANCE.get(rule.rule, "margin") for rule in rules)))
    source = _source(name, candidate)
    add = f"add questions to {source}" if source else "score a larger data set"
    all_of_them = "" if here >= available else f"; until then {_setting(task, available, candidate)}"
    return (
        f"{title} has {available:,} questions, and about {items:,} are needed, {chance}: {add}, or loosen {keys} of"
        f" these rules in the policy{all_of_them}."
    )


def _setting(task: TaskInfo, items: int, candidate: GateInput) -> str:
    """The settings of the recipe that score so many questions of a task."""
    scoring = candidate.results.recipe.get("scoring")
    limit, limits = (scoring.get("limit"), scoring.get("limits")) if isinstance(scoring, dict) else (None, None)
    own = limits.get(task.name) if isinstance(limits, dict) else None
    settings = []
    if isinstance(limit, int) and limit < items:
        settings.append(f"scoring.limit: {items} ({limit} now)")
    if not settings or (isinstance(own, int) and own < items):
        now = f" ({own} now)" if isinstance(own, int) else ""
        settings.append(f"scoring.limits: {{{task.name}: {items}}}{now}")
    return f"set {' and '.join(settings)} in the recipe"


def _source(task: str, candidate: GateInput) -> str:
    """The setting of the recipe that names a task's questions; empty if it names none."""
    source = next((data.source for data in candidate.results.data if data.role == task), None)
    return next((f"data.{key} ({value})" for key, value in _sources(candidate.results.recipe) if value == source), "")


def _sources(recipe: dict[str, Any]) -> Iterator[tuple[str, str]]:
    data = recipe.get("data")
    for key, value in data.items() if isinstance(data, dict) else ():
        if key not in ("train", "validation") and isinstance(value, dict) and isinstance(value.get("source"), str):
            yield key, value["source"]


def _otherwise(rule: RuleResult) -> str:
    """What decides a rule for which no number of items is known."""
    name = rule.subject or rule.name
    if rule.rule == "deployed_equals":
        return "Repeat medbench verify with more items (--limit): the certificate does not decide yet."
    if rule.rule == "no_bad_slice":
        return (
            "Score more questions (scoring.limit, scoring.limits), or name columns with fewer values in by of the rule:"
            f" no slice of {name} has {MIN_ITEMS} questions."
        )
    key = _TOLERANCE.get(rule.rule, "margin")
    return (
        f"{name}: no number of questions is expected to decide it. Train the candidate further if it is near the limit,"
        f" score questions of every class if some are rare, or change {key} of the rule in the policy."
    )
