"""Write `report.md` and `report.html` of a run folder from its results and samples."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from reports import certificate as certificates
from reports import (
    choice_tables,
    cost_tables,
    curve_tables,
    judging_tables,
    noise_tables,
    result_rows,
    slice_tables,
    tables,
    training_tables,
)
from reports.comparison.verdict import findings
from reports.document.reading import displayed_results, read_scored
from reports.document.schema import Results
from reports.document.verification import certificate_of
from reports.errors import UserError
from reports.files import write_text
from reports.numbers import OUTCOME_MARKS, TRAINED_ON, WITHIN_NOISE
from reports.page import (
    answers,
    caveats,
    confidence_plots,
    configuration_views,
    curve_plots,
    header,
    intervals,
    plots,
    sample_plots,
    sample_tables,
)
from reports.page.digest import digest
from reports.templating import page_parts, template_environment, template_errors

_EXAMPLES = 3  # questions per task in report.md
_LABEL = 200  # characters of a text in a plot; names of models and tasks have at most as many


def render(run: Path, templates: Path | None = None) -> tuple[Path, Path]:
    """Write both reports of a run folder and return their paths.

    Args:
        run: The run folder.
        templates: A folder whose files replace our templates of the same name.

    Raises:
        UserError: The folder has no results yet, or a sample or one of the user's templates is broken.
    """
    results = read_scored(run)
    if templates is not None and not templates.is_dir():
        raise UserError("there is no such folder of templates", where=str(templates), fix="check the path")
    environment = template_environment(templates)
    context = report_context(run, displayed_results(results))
    paths = (run / "report.md", run / "report.html")
    for path in paths:
        name = f"{path.name}.j2"
        with template_errors(f" {name}", templates) if templates else nullcontext():
            parts = page_parts(environment, ["report.css"], "report.js")
            write_text(path, environment.get_template(name).render(context | parts))
    return paths


def report_context(run: Path, results: Results) -> dict[str, Any]:
    """Build the context of the report templates; docs/reports.md lists every name."""
    digests = digest(run, results)
    certificate, uncertified = certificate_of(run, results)
    settings = results.recipe.get("report", {})
    plotted = displayed_results(results, _LABEL)
    names = results.shown_models()
    shown = [one for one in digests if one.model in names]
    examples = answers.side_by_side(results, shown, int(settings.get("samples", 0)))
    drawn = {
        "curves": curve_plots.curve_plots(plotted),
        "losses": plots.losses_plot(plotted),
        "lengths": sample_plots.lengths_plots(shown),
        "confusion": sample_plots.confusion_plots(shown),
        "calibration": sample_plots.calibration_plots(shown),
        "confidence": confidence_plots.confidence_plots(plotted),
        "memory": plots.memory_plot(plotted),
        "throughput": plots.throughput_plot(plotted),
    }
    groups, slices = result_rows.row_groups(results), slice_tables.slice_rows(results)
    most = intervals.longest([*slices, *(row for group in groups for row in group.rows)])
    return {
        "results": results,
        "title": settings.get("title", results.name),
        "advice": tables.NOT_MEDICAL_ADVICE,
        "missing": [*caveats.missing(results, digests), *([uncertified] if uncertified else [])],
        "facts": header.facts(results),
        "headlines": header.headlines(results),
        "tiles": header.tiles(results, groups),
        "checks": header.checks(results),
        "findings": findings(results),
        "groups": groups,
        "rows_table": result_rows.rows_table,
        "draw": partial(intervals.draw, most=most),
        "outcome_marks": OUTCOME_MARKS,
        "against_marks": answers.AGAINST,
        "trained_on_mark": TRAINED_ON,
        "noise_mark": WITHIN_NOISE,
        "certificate": certificate,
        "certificates": certificates,
        "limits": caveats.LIMITS,
        "tables": tables,
        "choice_tables": choice_tables,
        "cost_tables": cost_tables,
        "slices": slices,
        "slices_note": slice_tables.slices_note(results),
        "curve_tables": curve_tables,
        "judging_tables": judging_tables,
        "training_tables": training_tables,
        "noise_tables": noise_tables,
        "sample_tables": {
            "confusion": sample_tables.confusion_table(shown),
            "calibration": sample_tables.calibration_table(shown),
            "lengths": sample_tables.lengths_table(shown),
        },
        "calibration_note": sample_tables.CALIBRATION,
        "pictures": drawn,
        "best": configuration_views.best_sentences(results),
        "configurations": configuration_views.configurations_table(results),
        "configuration_pictures": configuration_views.configuration_plots(plotted),
        "shown": examples,
        "examples": [(task, task.questions[:_EXAMPLES]) for task in examples if task.questions],
        "filters": answers.FILTERS,
    }
