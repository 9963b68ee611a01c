"""`medbench diff`: prints what differs between two runs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.console import Terminal
    from reports.comparison.diff import Difference

_SHOWN = 20
_WIDTH = 60


def print_difference(found: Difference, terminal: Terminal) -> None:
    """Print settings, figures and items that differ, each as a table, and a last line that sums it up."""
    if found.facts:
        rows = [(place, _short(old), _short(new)) for place, (old, new) in found.facts.items()]
        terminal.table(("what could change a number", "first", "second"), rows, left=True)
    if found.figures:
        rows = [
            (f"{model}: {metric} ({task})", _number(old), _number(new))
            for (model, task, metric), (old, new) in found.figures.items()
        ]
        terminal.table(("figure", "first", "second"), rows)
    if found.items:
        changes = found.items[:_SHOWN]
        items = [
            (f"{each.model}, {each.task}", each.item, each.what, _short(each.before), _short(each.after))
            for each in changes
        ]
        terminal.table(("model and task", "item", "what changed", "first", "second"), items, left=True)
        if len(found.items) > _SHOWN:
            terminal.say(f"  ... and {len(found.items) - _SHOWN} more")
    counts = Counter(each.what for each in found.items)
    kinds = f" ({', '.join(f'{count} {what}' for what, count in counts.most_common())})" if counts else ""
    terminal.say(
        f"{len(found.facts)} settings or versions, {len(found.figures)} figures and {len(found.items)} of"
        f" {found.compared} answers differ{kinds}"
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}..."


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.6g}"
