"""The statistics behind every verdict, to be called, checked and attacked: see docs/statistics.md."""

from reports.comparison.agreement import Agreement, krippendorff_alpha, weighted_kappa
from reports.comparison.arrays import Estimate, PairedComparison, compare, equivalence, interval
from reports.comparison.calibration import PoweredMean, prediction_powered_mean
from reports.comparison.inference import LEVEL
from reports.comparison.multiplicity import corrected, holm
from reports.comparison.outcome import outcome_of, proportion_items_needed, t_power
from reports.comparison.power import Chances, outcome_chances
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
    "Agreement",
    "Chances",
    "Estimate",
    "PairedComparison",
    "PoweredMean",
    "compare",
    "corrected",
    "equivalence",
    "holm",
    "interval",
    "items_needed",
    "krippendorff_alpha",
    "outcome_chances",
    "outcome_of",
    "power",
    "prediction_powered_mean",
    "proportion_items_needed",
    "score_interval",
    "score_p_value",
    "t_power",
    "upper_discordance",
    "weighted_kappa",
    "wilson_interval",
]
