"""How far 16-bit arithmetic alone moves the evaluated model's log-likelihoods: some items again, computed another way.

The same weights give other log-likelihoods in other batches, or with an adapter beside the base's weights instead of
merged into them. So does a conversion to f16, which changes bfloat16 weights by at most 3e-8. A deployed model without
a fault differs by that much.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.scoring.noise import other_arithmetic
from harness.scoring.rescoring import score_again
from reports.document.evidence import NOISE_ITEMS
from reports.verification.likelihoods import Explanation

if TYPE_CHECKING:
    from harness.console import Terminal
    from harness.planning.run_plan import Plan
    from reports.verification.likelihoods import Answers
    from training.models.model import Model


def own_arithmetic(plan: Plan, evaluated: Model, answers: Answers, terminal: Terminal) -> Explanation | None:
    """What the arithmetic explains; None in float32, and without tasks by log-likelihood.

    Args:
        plan: The plan that scored the evaluated model.
        evaluated: That model.
        answers: Its answers by task.
        terminal: Says what is scored.
    """
    tasks = [
        loaded for loaded in plan.tasks if loaded.task.OUTPUT_TYPE != "generate_until" and answers.get(loaded.name)
    ]
    if plan.score_dtype == "float32" or not tasks:
        return None
    changed, method = other_arithmetic(replace(plan, models=(evaluated,), tasks=tasks))
    if evaluated.is_adapter:
        scoring = changed.recipe.scoring.model_copy(update={"adapters": "unmerged"})
        recipe = changed.recipe.model_copy(update={"scoring": scoring})
        changed = replace(changed, recipe=recipe, score_dtype=plan.score_dtype)
        method = f"in {plan.score_dtype} with the adapter beside the base's weights"
    items = {loaded.name: min(NOISE_ITEMS, len(loaded.indices)) for loaded in tasks}
    terminal.say(f"  what arithmetic explains: {sum(items.values())} items again, {method}")
    rescored = score_again(changed, items, None, terminal=terminal)
    after = {task: rows for (_, task), rows in rescored.samples.items()}
    description = f"The evaluated model answered {sum(items.values())} of the items again {method}."
    return Explanation("arithmetic", description, before=answers, after=after)
