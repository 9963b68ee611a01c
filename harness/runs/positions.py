"""Gold and chosen letters of multiple-choice tasks, for the position effect and the use of labels."""

from __future__ import annotations

from collections.abc import Sequence

from harness.scoring.kept_answers import Scored
from tasks.choice_metrics import LETTERS

_METRIC = "position_spread"  # whose value of an item is the pair of positions


def chosen_letters(scored: Sequence[Scored]) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Gold and chosen letter of each item, by model and task, for tasks whose answers are letters."""
    pairs = {
        (answers.model, answers.task.name): [
            value
            for sample in answers.samples
            if sample.repeat == 0 and isinstance(value := sample.metrics.get(_METRIC), tuple)
        ]
        for answers in scored
        if any(metric.key == _METRIC for metric in answers.metrics)
    }
    return {key: [(LETTERS[int(gold)], LETTERS[int(chosen)]) for gold, chosen in of] for key, of in pairs.items()}
