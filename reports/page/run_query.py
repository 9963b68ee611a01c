"""The filters of the view's list and the settings of its plot, as they stand in the page's address."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from urllib.parse import parse_qsl, urlencode

from reports.page.run_list import ListedRun
from reports.text import cut

_MOST_FIELDS = 40  # of a query
_MOST_CHARACTERS = 600  # of a field
_MOST_DIGITS = 4  # of a page's number


@dataclass(frozen=True)
class Query:
    """What the page shows of the runs.

    Attributes:
        text: Words that a run has to contain.
        base: Source of the base model.
        model: Name of a model.
        outcome: Outcome of a main metric, or `broken`.
        since: First day, `YYYY-MM-DD`.
        until: Last day.
        metric: The plotted metric, `TASK/METRIC`; the most frequent one if empty.
        show: What is plotted: `score`, or `change` against the run's baseline.
        along: The plot's axis: `time`, or `releases`, the stored baselines in their order.
        page: Page of the list, from 1.
    """

    text: str = ""
    base: str = ""
    model: str = ""
    outcome: str = ""
    since: str = ""
    until: str = ""
    metric: str = ""
    show: str = "score"
    along: str = "time"
    page: int = 1

    @classmethod
    def parse(cls, query: str) -> Query:
        """Read an address's query; what does not belong there or makes no sense is left out."""
        try:
            pairs = parse_qsl(query, max_num_fields=_MOST_FIELDS, errors="replace")
        except ValueError:
            pairs = []
        values = {name: cut(value.strip(), _MOST_CHARACTERS) for name, value in reversed(pairs)}
        page = values.pop("page", "")
        known_names = {field.name for field in fields(cls)}
        texts = {name: value for name, value in values.items() if name in known_names and _is_valid(name, value)}
        number = int(page) if page.isascii() and page.isdigit() and len(page) <= _MOST_DIGITS else 1
        return cls(**texts, page=max(1, number))

    def address(self, page: int) -> str:
        """The address of another page of the same list."""
        values = {field.name: getattr(self, field.name) for field in fields(self)} | {"page": page}
        defaults = {field.name: field.default for field in fields(self)}
        return "/?" + urlencode({name: value for name, value in values.items() if value != defaults[name]})

    @property
    def is_filtered(self) -> bool:
        """Whether it may hide a run."""
        return any((self.text, self.base, self.model, self.outcome, self.since, self.until))

    def matches(self, run: ListedRun) -> bool:
        """Whether a run passes all filters."""
        day = run.created.date().isoformat()
        summary = run.summary
        return (
            all(word in run.words for word in self.text.lower().split())
            and (not self.base or (summary is not None and summary.base == self.base))
            and (not self.model or (summary is not None and self.model in summary.models))
            and (not self.outcome or self.outcome in run.outcomes(self.model))
            and (not self.since or day >= self.since)
            and (not self.until or day <= self.until)
        )


def _is_valid(name: str, value: str) -> bool:
    choices = {"show": ("score", "change"), "along": ("time", "releases")}
    if name in choices:
        return value in choices[name]
    return name not in ("since", "until") or _is_day(value)


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
