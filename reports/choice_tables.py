"""Tables of multiple choice: the position effect, and log-likelihood beside reasoning."""

from __future__ import annotations

from reports.document.position_effect import PositionEffect
from reports.document.reasoning_effect import ACCURACY, ACCURACY_KEYS, ReasoningEffect
from reports.document.schema import Results
from reports.document.truncation import truncated_share
from reports.numbers import MISSING, interval_text, p_text, percent_text, signed_text, value_text
from reports.tables import Table, table_of


def positions_table(results: Results) -> Table | None:
    """Accuracy by position of the gold option, and how often each position is chosen and right; None without any."""
    titles = {task.name: task.short_title for task in results.tasks}
    return table_of(
        {
            "Model and items": f"{effect.model}, {titles.get(effect.task, effect.task)}",
            "Accuracy by position of the gold option": ", ".join(
                f"{count.letter} {percent_text(count.correct / count.gold)}" for count in effect.counts if count.gold
            ),
            "Chosen (gold)": _shares(effect),
            "n": f"{effect.items:,}",
            "p": p_text(effect.p_adjusted),
        }
        for effect in results.positions
        if effect.items
    )


def _shares(effect: PositionEffect) -> str:
    chosen = [percent_text(count.chosen / effect.items) for count in effect.counts]
    gold = [percent_text(count.gold / effect.items) for count in effect.counts]
    letters = [count.letter for count in effect.counts]
    return ", ".join(f"{letter} {one} ({other})" for letter, one, other in zip(letters, chosen, gold, strict=True))


def reasoned_table(results: Results) -> Table | None:
    """Accuracy by log-likelihood and with reasoning, by model; None if no pair of tasks was scored.

    Where both tasks have the same items, the accuracies are over these, and their difference has an interval.
    """
    tasks = {task.name: task for task in results.tasks}
    pairs = [(tasks[task.by_likelihood], task) for task in results.tasks if task.by_likelihood in tasks]
    effects = {(effect.model, effect.task): effect for effect in results.reasoning if effect.items}
    rows = []
    for by_likelihood, reasoned in pairs:
        for model in results.models:
            effect = effects.get((model.name, reasoned.name))
            if effect is not None:
                first, second = effect.likelihood_accuracy, effect.reasoned_accuracy
            else:
                first, second = (_accuracy(results, model.name, task.name) for task in (by_likelihood, reasoned))
            cut = truncated_share(results, reasoned, model.name)
            rows.append(
                {
                    "Model and items": f"{model.name}, {by_likelihood.short_title}",
                    "Accuracy by log-likelihood": value_text(first, ACCURACY),
                    "Accuracy with reasoning": value_text(second, ACCURACY),
                    "Difference [95 % interval]": _difference(first, second, effect),
                    "n": MISSING if effect is None else _items(effect),
                    "Cut by the token limit": MISSING if cut is None else percent_text(cut),
                }
            )
    return table_of(rows)


def _accuracy(results: Results, model: str, task: str) -> float | None:
    scores = results.scores_by_key()
    accuracies = (scores.get((model, task, key)) for key in ACCURACY_KEYS)
    return next((score.value for score in accuracies if score is not None), None)


def _difference(first: float | None, second: float | None, effect: ReasoningEffect | None) -> str:
    if first is None or second is None:
        return MISSING
    interval = "" if effect is None else interval_text(effect.low, effect.high, ACCURACY, signed=True)
    return f"{signed_text(second - first, ACCURACY)} {interval}".strip()


def _items(effect: ReasoningEffect) -> str:
    return f"{effect.items:,}" + (f" (without {effect.unpaired:,} that only one has)" if effect.unpaired else "")
