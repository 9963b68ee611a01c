"""`medbench diff`: prints what differs between two runs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.console import Terminal
    from reports.comparison.diff import Difference

_SHOWN = 20
_WIDTH = 60


def print_difference(diff: Difference, terminal: Terminal) -> None:
    """Print the settings, figures and items that differ as tables, then a one-line summary."""
    if diff.facts:
        rows = [(place, _short(old), _short(new)) for place, (old, new) in diff.facts.items()]
        terminal.table(("what could change a number", "first", "second"), rows, left=True)
    if diff.scores:
        rows = [
            (f"{model}: {metric} ({task})", _number(old), _number(new))
            for (model, task, metric), (old, new) in diff.scores.items()
        ]
        terminal.table(("figure", "first", "second"), rows)
    if diff.items:
        changes = diff.items[:_SHOWN]
        items = [
            (f"{change.model}, {change.task}", change.item, change.what, _short(change.before), _short(change.after))
            for change in changes
        ]
        terminal.table(("model and task", "item", "what changed", "first", "second"), items, left=True)
        if len(diff.items) > _SHOWN:
            terminal.say(f"  ... and {len(diff.items) - _SHOWN} more")
    counts = Counter(change.what for change in diff.items)
    kinds = f" ({', '.join(f'{count} {what}' for what, count in counts.most_common())})" if counts else ""
    terminal.say(
        f"{len(diff.facts)} settings or versions, {len(diff.scores)} figures and {len(diff.items)} of"
        f" {diff.compared} answers differ{kinds}"
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}..."


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.6g}"
