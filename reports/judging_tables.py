"""Tables and sentences of judged answers, for reports and the terminal."""

from __future__ import annotations

from reports.comparison.rated_sample import ENOUGH_RATINGS
from reports.document.judging import CalibratedDifference, Judging
from reports.document.schema import MetricInfo
from reports.numbers import (
    MISSING,
    better_arrow,
    difference_text,
    interval_text,
    outcome_text,
    percent_text,
    score_text,
    signed_text,
)
from reports.tables import Table, table_of

UNCALIBRATED = (
    "Uncalibrated: no person has rated these answers, so they show what the judge prefers and not which model is"
    " better. The gate ignores them. `medbench rate export RUN --for-judge` draws answers for people to rate."
)
CALIBRATED = (
    "Calibrated: the judge's error on the answers that people rated is taken out of the difference (PPI++). The 95 %"
    f" interval holds however bad the judge is, from {ENOUGH_RATINGS} rated items on and if these were drawn at random;"
    " it is not corrected for the number of aspects. The gate ignores judged scores."
)


def judged_table(judging: Judging) -> Table:
    """Scores by metric and model, with the paired difference from the baseline."""
    pairs = {(pair.candidate, pair.metric): pair for pair in judging.comparisons}
    metrics = {metric.key: metric for metric in judging.metrics}
    rows = []
    for score in sorted(judging.scores, key=lambda one: [*metrics].index(one.metric)):
        metric, pair = metrics[score.metric], pairs.get((score.model, score.metric))
        rows.append(
            {
                "Judged": metric.title + better_arrow(metric),
                "Model": score.model,
                "Score": score_text(score, metric),
                "n": str(score.n),
                "Difference": difference_text(pair, metric, interval=True) if pair else "",
                "According to the judge": outcome_text(pair) if pair else "",
            }
        )
    return table_of(rows) or Table(("Judged",), ())


def replies_table(judging: Judging) -> Table | None:
    """Replies by model: how many are ratings, and why the others are none."""
    return table_of(
        {
            "Model": count.model,
            "Replies": str(count.total),
            "Rated": str(count.rated),
            "Not the requested JSON": _share(count.unparsed, count.total),
            "Refused": _share(count.refused, count.total),
            "Prompt not taken": _share(count.failed, count.total),
        }
        for count in judging.replies
    )


def calibration_table(judging: Judging) -> Table | None:
    """Calibrated differences with the agreement of judge and people; None without human ratings."""
    metrics = {metric.key: metric for metric in judging.metrics}
    judged = {(pair.candidate, pair.metric): pair for pair in judging.comparisons}
    rows = []
    for one in judging.calibration:
        metric, pair = metrics[one.metric], judged.get((one.candidate, one.metric))
        human = interval_text(one.human_low, one.human_high, metric, signed=True)
        rows.append(
            {
                "Aspect": f"{one.candidate}: {metric.title}",
                "Judge": difference_text(pair, metric) if pair else MISSING,
                "Calibrated": _calibrated(one, metric),
                "People alone": human or MISSING,
                "Items rated + judged only": f"{one.rated} + {one.others}",
                "Weight of the judge": MISSING if one.weight is None else f"{one.weight:.2f}",
                "Alpha": _coefficient(one.alpha, one.alpha_low, one.alpha_high),
                "Kappa": _coefficient(one.kappa, one.kappa_low, one.kappa_high),
                "To decide": _further(one),
            }
        )
    return table_of(rows)


def judging_sentences(judging: Judging) -> list[tuple[str, bool]]:
    """What to know of the judge, each with whether it is a warning: faults, disclosures, biases, calibration."""
    warnings = [f"Fault of the judge: {fault}." for fault in judging.faults]
    if judging.outdated:
        warnings.append(f"{judging.outdated} judged answers have changed since and are left out.")
    calibrated = [one for one in judging.calibration if one.value is not None]
    if not calibrated:
        warnings.append(UNCALIBRATED)
    notes = [_prompting(judging), *_biases(judging), *([judging.note] if judging.note else [])]
    if calibrated:
        notes.append(CALIBRATED)
        if imputed := max(one.imputed for one in calibrated):
            notes.append(f"{imputed} items lack a rating of the judge; there the calibration takes the judge's mean.")
        notes += [_decision(one, judging) for one in calibrated if one.further]
    return [*((warning, True) for warning in warnings), *((note, False) for note in notes)]


def _prompting(judging: Judging) -> str:
    judge = judging.judge
    schema = "requested by JSON schema" if judge.json_schema else "requested in words, without JSON schema"
    return (
        f"Judge: {judge.name} ({judge.source}), rubric {judging.rubric} (sha256 {judging.rubric_sha256[:12]}),"
        f" prompts sha256 {judging.prompts_sha256[:12]}, temperature 0, seed {judge.seed}; replies {schema};"
        f" {judging.prompt_tokens:,} prompt and {judging.output_tokens:,} reply tokens."
    )


def _biases(judging: Judging) -> list[str]:
    length, position, sentences = judging.length, judging.position, []
    if length is not None and length.correlation is not None:
        ends = "" if length.low is None else f" [{length.low:.2f}, {length.high:.2f}]"
        what = "the verdict with the difference in length" if position else "the ratings with the answers' length"
        more = f"; {length.longer} of {length.verdicts} verdicts are for the longer answer" if length.verdicts else ""
        sentences.append(f"Length: rank correlation of {what} {length.correlation:.2f}{ends}{more}.")
    elif length is not None:
        sentences.append("Length: no correlation can be computed, since ratings or lengths are all equal.")
    if position is not None and position.pairs:
        ends = interval_text(position.low, position.high, judging.metrics[0])
        changed = percent_text(position.changed / position.pairs)
        sentences.append(
            f"Position: {changed} {ends} of {position.pairs} preferences change with the order; {position.first} of"
            f" {position.verdicts} verdicts that are no tie are for the answer shown first."
        )
    return sentences


def _calibrated(one: CalibratedDifference, metric: MetricInfo) -> str:
    if one.value is None:
        return f"{MISSING} ({one.why})"
    interval = interval_text(one.low, one.high, metric, signed=True)
    return f"{signed_text(one.value, metric)} {interval}" + (f" (unreliable: {one.why})" if one.why else "")


def _further(one: CalibratedDifference) -> str:
    if one.value is None:
        return MISSING
    if one.further == 0:
        return "decided"
    return "more items are needed" if one.further is None else f"rate {one.further} more"


def _decision(one: CalibratedDifference, judging: Judging) -> str:
    title = next(metric.title for metric in judging.metrics if metric.key == one.metric)
    return f"{one.candidate}, {title}: rate {one.further} more to decide."


def _coefficient(value: float | None, low: float | None, high: float | None) -> str:
    return MISSING if value is None else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _share(count: int, total: int) -> str:
    return f"{count} ({percent_text(count / total)})" if count else "0"
