"""Tables of multiple choice: the position effect, and log-likelihood beside reasoning."""

from __future__ import annotations

from reports.document.position_effect import PositionEffect
from reports.document.schema import Results
from reports.document.truncation import truncated_share
from reports.numbers import MISSING, p_text, percent_text
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
    """Accuracy by log-likelihood and with reasoning on the same items, by model; None if no pair was scored."""
    tasks = {task.name: task for task in results.tasks}
    pairs = [(tasks[task.by_likelihood], task) for task in results.tasks if task.by_likelihood in tasks]
    scores = results.scores_by_key()
    rows = []
    for by_likelihood, reasoned in pairs:
        for model in results.models:
            values = [scores.get((model.name, task.name, "accuracy")) for task in (by_likelihood, reasoned)]
            first, second = (None if score is None else score.value for score in values)
            known = first is not None and second is not None
            cut = truncated_share(results, reasoned, model.name)
            rows.append(
                {
                    "Model and items": f"{model.name}, {by_likelihood.short_title}",
                    "Accuracy by log-likelihood": MISSING if first is None else percent_text(first),
                    "Accuracy with reasoning": MISSING if second is None else percent_text(second),
                    "Difference": f"{100 * (second - first):+.1f} pp" if known else MISSING,  # type: ignore[operator]
                    "Cut by the token limit": MISSING if cut is None else percent_text(cut),
                }
            )
    return table_of(rows)
