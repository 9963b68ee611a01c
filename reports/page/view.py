"""The page of `medbench view`: a list of runs with filters, and a metric over time or releases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reports.numbers import TRAINED_ON
from reports.page.history import history
from reports.page.run_list import BROKEN, OUTCOMES, ListedRun, metric_titles
from reports.page.run_query import Query
from reports.tables import NOT_MEDICAL_ADVICE
from reports.templating import page_parts, template_environment

PER_PAGE = 50  # runs on a page
MOST_BELOW = 100  # cells or seeds listed of a run
_MODELS, _SCORES = 2, 4  # shown of a run and of a model; the others are folded
_OPTIONS = 200  # of a selection


@dataclass(frozen=True)
class Listing:
    """All runs below a folder, as far as they are read.

    Attributes:
        folder: Name of the folder.
        runs: Its runs, latest first; those inside another run are `below` it.
        unread: Number of results documents that have not been read yet.
        notes: What the search left out, in sentences.
    """

    folder: str
    runs: tuple[ListedRun, ...]
    unread: int = 0
    notes: tuple[str, ...] = ()

    @property
    def all_runs(self) -> list[ListedRun]:
        """The runs and those inside them."""
        return [member for run in self.runs for member in run.members]


def view_page(listing: Listing, query: Query) -> tuple[str, str]:
    """Render the page that a query selects.

    Returns:
        The page as HTML, and the content security policy that it has to be sent with.
    """
    environment = template_environment()
    parts = page_parts(
        environment, ["report.css", "view.css"], "view.js", more="form-action 'self'; connect-src 'self'"
    )
    shown = [run for run in listing.runs if any(query.matches(member) for member in run.members)]
    pages = max(1, -(-len(shown) // PER_PAGE))
    page = min(query.page, pages)
    everything = listing.all_runs
    plotted = sorted((one for run in shown for one in run.plotted), key=lambda run: run.created, reverse=True)
    titles = metric_titles(plotted)
    key = next((key for key in titles if "/".join(key) == query.metric), next(iter(titles), None))
    context = {
        "listing": listing,
        "query": query,
        "is_filtered": query.is_filtered,
        "count": f"{len(shown):,} of {len(listing.runs):,} runs shown",
        "runs": shown[(page - 1) * PER_PAGE : page * PER_PAGE],
        "page": page,
        "pages": pages,
        "bases": _choices((run.summary.base for run in everything if run.summary), query.base),
        "models": _choices((name for run in everything if run.summary for name in run.summary.models), query.model),
        "outcomes": [outcome for outcome in OUTCOMES if any(outcome in run.outcomes() for run in everything)],
        "metrics": {"/".join(key): title for key, title in [*titles.items()][:_OPTIONS]},
        "metric": "/".join(key) if key else "",
        "history": history(plotted, key, titles[key], query) if key else None,
        "most_below": MOST_BELOW,
        "most_models": _MODELS,
        "most_scores": _SCORES,
        "broken": BROKEN,
        "trained_on": TRAINED_ON,
        "advice": NOT_MEDICAL_ADVICE,
        **parts,
    }
    return environment.get_template("view.html.j2").render(context), f"{parts['policy']}; frame-ancestors 'none'"


def _choices(names: Iterable[str], chosen: str) -> list[str]:
    """Options of a selection: names in order, and what is selected even if no run has it any more."""
    return sorted({*names, *filter(None, [chosen])}, key=str.casefold)[:_OPTIONS]
