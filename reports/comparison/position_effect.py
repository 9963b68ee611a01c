"""Position effect of multiple choice: whether a model chooses positions as often as they are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from reports.comparison.multiplicity import holm
from reports.document.label_use import NO_LABEL
from reports.document.position_effect import PositionCount, PositionEffect

if TYPE_CHECKING:
    from numpy.typing import NDArray

Letters = Sequence[tuple[str, str]]  # gold and chosen letter of each question


def position_effects(answers: Mapping[tuple[str, str], Letters]) -> list[PositionEffect]:
    """The position effect of every model on every task.

    Args:
        answers: Gold and chosen letters by model and task; a question without a chosen letter is left out.
    """
    effects = [_effect(model, task, letters) for (model, task), letters in answers.items()]
    adjusted = holm([effect.p_value for effect in effects])
    return [effect.model_copy(update={"p_adjusted": value}) for effect, value in zip(effects, adjusted, strict=True)]


def _effect(model: str, task: str, letters: Letters) -> PositionEffect:
    pairs = [pair for pair in letters if pair[1] != NO_LABEL]
    names = sorted({letter for pair in pairs for letter in pair})
    table = np.zeros((len(names), len(names)))
    for gold, chosen in pairs:
        table[names.index(gold), names.index(chosen)] += 1
    statistic, degrees, p_value = marginal_homogeneity(table)
    counts = [
        PositionCount(
            letter=name,
            gold=int(table[place].sum()),
            chosen=int(table[:, place].sum()),
            correct=int(table[place, place]),
        )
        for place, name in enumerate(names)
    ]
    return PositionEffect(
        model=model,
        task=task,
        items=len(pairs),
        counts=counts,
        statistic=statistic,
        degrees_of_freedom=degrees,
        p_value=p_value,
        p_adjusted=p_value,
    )


def marginal_homogeneity(table: NDArray[np.float64]) -> tuple[float, int, float]:
    """The Stuart-Maxwell test that rows and columns of a square table have the same distribution.

    Gold and chosen position are of the same question, so their distributions are not independent, which a chi-square
    test of two samples would take them to be (Stuart 1955, Maxwell 1970). For two positions it is McNemar's test.

    Args:
        table: Counts of gold positions in rows and chosen positions in columns, shape [positions, positions].

    Returns:
        (chi-square statistic, degrees of freedom, p-value); (0, 0, 1) if every choice is right.
    """
    from scipy import special

    difference = table.sum(1) - table.sum(0)
    covariance = np.diag(table.sum(1) + table.sum(0)) - table - table.T
    degrees = int(np.linalg.matrix_rank(covariance)) if table.size else 0
    if not degrees:
        return 0.0, 0, 1.0
    statistic = float(difference @ np.linalg.pinv(covariance) @ difference)
    return statistic, degrees, float(special.chdtrc(degrees, statistic))
