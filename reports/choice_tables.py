"""Tables of multiple choice: the position effect, log-likelihood beside reasoning, and confidence of answers."""

from __future__ import annotations

from reports.document.answer_confidence import AnswerConfidence
from reports.document.position_effect import PositionEffect
from reports.document.reasoning_effect import ACCURACY, ACCURACY_KEYS, ReasoningEffect
from reports.document.schema import Results
from reports.document.truncation import truncated_share
from reports.numbers import MISSING, interval_text, p_text, percent_text, signed_text, value_text
from reports.tables import Table, table_of

_SOURCES = {"probability": "probability of the choice", "repeats": "agreement of repeats"}


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


def confidence_table(results: Results) -> Table | None:
    """Area under the risk-coverage curve by model, compared with the baseline's; None without any confidence."""
    return table_of(
        {
            "Model and items": _named(one, results),
            "Confidence": _SOURCES[one.source],
            "Area (less is better) [95 % interval]": _area(one.area, one.low, one.high),
            "Difference [interval]": _area(one.difference, one.difference_low, one.difference_high, signed=True),
            "p": MISSING if one.p_adjusted is None else p_text(one.p_adjusted),
            "Outcome": one.outcome or MISSING,
        }
        for one in _shown_confidence(results)
    )


def confident_table(results: Results) -> Table | None:
    """How many of the answers with a confidence of a level or more are right, by model; None without any."""
    shown = _shown_confidence(results)
    levels = sorted({level.least for one in shown for level in one.levels})
    return table_of(
        {"Model and items": _named(one, results), "All answers": f"{percent_text(one.accuracy)} of {one.items:,}"}
        | {f"Confidence from {least:g}": _level_text(one, least) for least in levels}
        for one in shown
    )


def _shown_confidence(results: Results) -> list[AnswerConfidence]:
    return [one for one in results.answer_confidence if one.model in results.shown_models()]


def _named(one: AnswerConfidence, results: Results) -> str:
    titles = {task.name: task.short_title for task in results.tasks}
    return f"{one.model}, {titles.get(one.task, one.task)}"


def _area(value: float | None, low: float | None, high: float | None, *, signed: bool = False) -> str:
    if value is None:
        return MISSING
    sign = "+" if signed else ""
    interval = "" if low is None or high is None else f" [{low:{sign}.3f}, {high:{sign}.3f}]"
    return f"{value:{sign}.3f}{interval}"


def _level_text(one: AnswerConfidence, least: float) -> str:
    level = next((level for level in one.levels if level.least == least), None)
    if level is None or level.accuracy is None:
        return MISSING if level is None else "no answers"
    interval = interval_text(level.low, level.high, ACCURACY)
    return " ".join(filter(None, (percent_text(level.accuracy), interval, f"of {level.items:,}")))
