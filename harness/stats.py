"""The statistics behind every verdict, to be called, checked and attacked: see docs/statistics.md."""

from reports.comparison.arrays import Estimate, PairedComparison, compare, equivalence, interval
from reports.comparison.inference import LEVEL
from reports.comparison.multiplicity import corrected, holm
from reports.comparison.outcome import outcome_of, proportion_items_needed, t_power
from reports.comparison.proportions import (
    items_needed,
    power,
    score_interval,
    score_p_value,
    upper_discordance,
    wilson_interval,
)

__all__ = [
    "LEVEL",
    "Estimate",
    "PairedComparison",
    "compare",
    "corrected",
    "equivalence",
    "holm",
    "interval",
    "items_needed",
    "outcome_of",
    "power",
    "proportion_items_needed",
    "score_interval",
    "score_p_value",
    "t_power",
    "upper_discordance",
    "wilson_interval",
]
