"""Tables of what a fine-tune gains on its target and loses elsewhere."""

from __future__ import annotations

from reports.comparison.adapter_cost import effects, has_cost
from reports.document.schema import Results
from reports.numbers import better_arrow, difference_text, level_text, outcome_text, score_text
from reports.tables import Table, table_of


def cost_table(results: Results) -> Table | None:
    """Gain on the target beside the loss on retention and languages; None if neither of these was scored."""
    scores = results.scores_by_key()
    return table_of(
        {
            "Model": model.name,
            "Measured on": effect.title + better_arrow(effect.metric),
            "Purpose": "general knowledge" if effect.purpose == "retention" else effect.purpose,
            "Baseline": score_text(scores.get((results.baseline, effect.pair.task, effect.pair.metric)), effect.metric),
            "Fine-tuned": score_text(scores.get((model.name, effect.pair.task, effect.pair.metric)), effect.metric),
            "Difference": difference_text(effect.pair, effect.metric, interval=True),
            "Confidence": level_text(effect.pair),
            "Outcome": outcome_text(effect.pair) if effect.purpose == "target" else effect.loss_text,
        }
        for model in results.models
        if model.name != results.baseline and has_cost(results, model.name)
        for effect in effects(results, model.name)
    )
