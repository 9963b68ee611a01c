"""Tables of what a fine-tune gains on its target, loses elsewhere, and gains where nothing can be known."""

from __future__ import annotations

from reports.comparison.adapter_cost import Effect, effects, has_cost
from reports.comparison.controls import controlled_gains
from reports.document.schema import Results
from reports.numbers import better_arrow, difference_text, level_text, outcome_text, score_text, value_text
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
        if effect.purpose != "control"
    )


def controls_table(results: Results) -> Table | None:
    """The gain on the target beside the gain on each control; None if no control was scored."""
    scores = results.scores_by_key()

    def gain(effect: Effect) -> str:
        pair = effect.pair
        values = [scores.get((name, pair.task, pair.metric)) for name in (pair.baseline, pair.candidate)]
        before, after = (value_text(score.value if score else None, effect.metric) for score in values)
        return f"{difference_text(pair, effect.metric)} ({before} to {after})"

    return table_of(
        {
            "Model": one.excess.candidate,
            "Target": one.target.title,
            "Control": one.control.title,
            "Gain on the target": gain(one.target),
            "Gain on the control": gain(one.control),
            "Difference of the gains": difference_text(one.excess, one.target.metric, interval=True),
            "Confidence": level_text(one.excess),
            "The gain is": one.conclusion,
        }
        for one in controlled_gains(results)
    )
