"""What became of the rows of a data source: how they were read, and how many were left out, and why."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from reports.strict import Strict

_SHOWN = 3  # reasons or problems in a sentence


class RowAccount(Strict):
    """The rows of one source, from the file to those that are used.

    Attributes:
        kind: Shape of the rows, such as `question-answer` or `conversations`.
        columns: Columns that were read, by what they were read as.
        unread: Columns that were not read.
        read: Number of rows in the source, within `start` and `stop`.
        duplicates: Number of rows that repeat an earlier one.
        keeps_duplicates: Whether they are trained on all the same.
        unusable: Number of rows left out by reason, such as an empty text.
        used: Number of rows left after the selection, the split and the draw.
        split_reasoning: Number of rows whose reasoning was taken from the answer, where markers enclose it, or from a
            field of the turn.
        marked_responses: Number of violating rows whose response has reasoning of its own, enclosed by markers.
        unused_reasoning: Number of rows whose reasoning the answer format has no part for.
        violations: Format problems of the gold answers: number of rows by problem.
        violating: Number of rows with any of them.
        drops_violating: Whether these rows are left out.
        decisions: What was decided from all rows, such as the number from which answers count.
    """

    kind: str
    columns: dict[str, str] = Field(default_factory=dict)
    unread: list[str] = Field(default_factory=list)
    read: int = 0
    duplicates: int = 0
    keeps_duplicates: bool = False
    unusable: dict[str, int] = Field(default_factory=dict)
    used: int = 0
    split_reasoning: int = 0
    marked_responses: int = 0
    unused_reasoning: int = 0
    violations: dict[str, int] = Field(default_factory=dict)
    violating: int = 0
    drops_violating: bool = False
    decisions: list[str] = Field(default_factory=list)

    def summary(self) -> str:
        """What was read, as one line."""
        columns = [f"{name}: {column}" for name, column in self.columns.items()]
        if self.split_reasoning:
            columns.append(f"reasoning of {self.split_reasoning} rows: from the answers")
        parts = [", ".join(columns)] if columns else []
        parts += [f"not read: {shortened(self.unread)}"] if self.unread else []
        parts += self.decisions
        details = f" ({'; '.join(parts)})" if parts else ""
        return f"{self.read} rows read as {self.kind}{details}; {self.counts()}"

    def counts(self) -> str:
        """The rows that are not used, and why, as a list of numbers."""
        duplicates = "kept" if self.keeps_duplicates else "removed"
        counts = [f"{self.duplicates} duplicates {duplicates}", f"{sum(self.unusable.values())} unusable left out"]
        if self.kind != "multiple-choice":  # whose answers have no format
            counts.append(
                f"{self.violating} gold answers that violate the format" + (" left out" * self.drops_violating)
            )
        return ", ".join(counts)

    def remarks(self, key: str, *, is_trained_on: bool = True) -> list[str]:
        """What the user should know about rows that are left out, changed or faulty, a sentence each with a way out.

        Args:
            key: Key of the source in the recipe, such as `data.train`.
            is_trained_on: Whether the used rows are trained on; held-out rows may be from the same source.
        """
        remarks = []
        if self.duplicates and not self.keeps_duplicates:
            keep = "; --set data.keep_duplicates=true trains on them" if key == "data.train" and is_trained_on else ""
            remarks.append(f"{self.duplicates} of {self.read} rows repeat earlier ones and are left out{keep}")
        if self.unusable:
            number = sum(self.unusable.values())
            remarks.append(f"{number} of {self.read} rows are unusable and left out: {listed(self.unusable)}")
        if self.unused_reasoning:
            remarks.append(
                f"the answer format has no part for the reasoning of {self.unused_reasoning} rows, so it is not used;"
                " formats with one: thinking-headings, think, think-response, alpaca"
            )
        if self.violating and self.drops_violating:
            remarks.append(f"{self.violating} gold answers violate the answer format and are left out: {self._why()}")
        elif self.violating:
            remarks.append(
                f"{self.violating} gold answers violate the answer format ({self._why()}), so a perfect answer counts"
                f" as a violation too; {self._way_out(key)}"
            )
        return remarks

    def _why(self) -> str:
        return listed(self.violations)

    def _way_out(self, key: str) -> str:
        """How to get gold answers that keep the format."""
        marked = self.marked_responses
        from_response = (
            f"read the reasoning from the response, where {marked} have it (--set {key}.kind=question-answer), "
        )
        first = from_response if marked else ""
        return (
            f"{first}correct the rows, choose another format (--set format.name=NAME), or leave them out"
            f" (--set {key}.format_violations=drop)"
        )


def shortened(names: Sequence[str], most: int = 12) -> str:
    """The names, of many only the first."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(name or "a column without a name" for name in names[:most]) + more


def listed(counts: dict[str, int]) -> str:
    """The most frequent entries with their counts, such as `duplicate: <think> (12)`."""
    ordered = sorted(counts.items(), key=lambda entry: -entry[1])
    more = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    return ", ".join(f"{name} ({count})" for name, count in ordered[:_SHOWN]) + more
