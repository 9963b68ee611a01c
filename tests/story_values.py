"""Values that docs/judging.md takes from the story of a judge with synthetic raters (judging_story.json)."""

from __future__ import annotations

from typing import Any

from reports.numbers import join_words
from reports.rating_sheet import ASPECTS
from tests.evidence_values import Values

_STAGES = ("rated_first", "rated_all")


def _row(aspect: str) -> Values:
    """Of an aspect: truth; judge, people and both with intervals; what is left to rate; kappa of judge and people."""

    def values(measured: dict[str, Any]) -> tuple[Any, ...]:
        judge, (first, last) = (
            measured["judge_alone"][aspect],
            [measured[stage]["aspects"][aspect] for stage in _STAGES],
        )
        intervals = [judge[key] for key in ("difference", "low", "high")]
        intervals += [one[key] for one in (first, last) for key in ("value", "low", "high")]
        return (
            measured["truth"][aspect],
            *intervals[:3],
            judge["outcome"],
            *intervals[3:],
            *(_further(one["further"]) for one in (first, last)),
            *(last[key] for key in ("kappa", "kappa_low", "kappa_high")),
        )

    return values


def _further(further: int | None) -> str:
    """What the report says of the items to rate."""
    if further is None:
        return "more items are needed"
    return f"rate {further} more" if further else "decided"


def _covered(stage: str, key: str) -> Values:
    """How many aspects' intervals cover the truth, and the number of aspects.

    Args:
        stage: One of `_STAGES`, or `judge`.
        key: `covers` for calibrated ones, `human_covers` for those of people alone.
    """

    def values(measured: dict[str, Any]) -> tuple[int, int]:
        truth = measured["truth"]
        if stage == "judge":
            alone = measured["judge_alone"]
            return sum(alone[name]["low"] <= truth[name] <= alone[name]["high"] for name in truth), len(truth)
        return sum(one[key] for one in measured[stage]["aspects"].values()), len(truth)

    return values


def _lost_replies(judge: str) -> Values:
    """Replies of a judge without a rating, and all."""

    def values(measured: dict[str, Any]) -> tuple[int, int]:
        replies = measured["judges"][judge]["replies"]
        lost = sum(one[status] for one in replies for status in ("unparsed", "refused", "failed"))
        return lost, lost + sum(one["rated"] for one in replies)

    return values


def _rated_items(measured: dict[str, Any]) -> tuple[int, ...]:
    """Items rated first, further ones, and all."""
    counts = [{one["rated"] for one in measured[stage]["aspects"].values()} for stage in _STAGES]
    ((first,), (last,)) = counts
    return first, last - first, last


def _undecided(stage: str) -> Values:
    """Titles of the aspects that need more items than were judged, none of which has a number to rate."""

    def values(measured: dict[str, Any]) -> tuple[str]:
        assert measured["numbers_named"] == []
        aspects = measured[stage]["aspects"].items()
        return (join_words([ASPECTS[key][0] for key, one in aspects if one["further"] is None]),)

    return values


_CELLS = "| {:+.2f} | {:+.2f} [{:+.2f}, {:+.2f}], {} | {:+.2f} [{:+.2f}, {:+.2f}] | {:+.2f} [{:+.2f}, {:+.2f}] |"
STORY: list[tuple[str, Values]] = [
    ("every step on the {} reasoning rows", lambda measured: (measured["items"],)),
    ("{} of {} replies are not the requested JSON", _lost_replies("base")),
    ("its intervals cover the truth in {} of {} aspects", _covered("judge", "")),
    ("Two raters mark {0} items", _rated_items),
    ("the calibrated intervals cover the truth in {} of {} aspects", _covered("rated_first", "covers")),
    ("those of people alone in {} of {}.", _covered("rated_first", "human_covers")),
    ("For {}, no number of these rows is enough", _undecided("rated_first")),
    ("They mark {1} more items, {2} in all", _rated_items),
    ("the calibrated intervals still cover the truth in {} of {}", _covered("rated_all", "covers")),
    ("and only {} remains open", _undecided("rated_all")),
    *(
        (f"| {title} {_CELLS} {{}}; {{}} | {{:.2f}} [{{:.2f}}, {{:.2f}}] |", _row(key))
        for key, (title, _) in ASPECTS.items()
    ),
]
