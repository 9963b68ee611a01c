"""Writes `report.md` and `report.html` of a run folder from its results and samples."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from reports import noise_tables, tables, training_tables
from reports.document.reading import read_scored
from reports.document.schema import Results
from reports.errors import UserError
from reports.files import write_text
from reports.page import answers, caveats, configuration_views, figures, sample_figures, sample_tables
from reports.page.digest import digest
from reports.templating import faults_told, inline_hash, template_environment

_EXAMPLES = 3  # questions of a task in report.md


def render(run: Path, templates: Path | None = None) -> tuple[Path, Path]:
    """Write both reports of a run folder and return their paths.

    Args:
        run: The run folder.
        templates: A folder whose `report.md.j2`, `report.html.j2`, `report.css` or `report.js` stand in for ours.

    Raises:
        UserError: The folder has no results yet, a sample is broken, or a template of the user's is.
    """
    results = read_scored(run)
    if templates is not None and not templates.is_dir():
        raise UserError("there is no such folder of templates", where=str(templates), fix="check the path")
    environment = template_environment(templates)
    context = report_context(run, results)
    paths = (run / "report.md", run / "report.html")
    for path in paths:
        name = f"{path.name}.j2"
        with faults_told(f" {name}", templates) if templates else nullcontext():
            write_text(path, environment.get_template(name).render(context | _inline(environment)))
    return paths


def report_context(run: Path, results: Results) -> dict[str, Any]:
    """What templates get; docs/reports.md tells it name by name."""
    digests = digest(run, results)
    settings = results.recipe.get("report", {})
    shown = answers.side_by_side(results, digests, int(settings.get("samples", 0)))
    pictures = {
        "differences": figures.differences_pictures(results),
        "losses": figures.losses_picture(results),
        "lengths": sample_figures.lengths_pictures(digests),
        "confusion": sample_figures.confusion_pictures(digests),
        "calibration": sample_figures.calibration_pictures(digests),
        "memory": figures.memory_picture(results),
        "throughput": figures.throughput_picture(results),
    }
    return {
        "results": results,
        "title": settings.get("title", results.name),
        "advice": tables.NOT_MEDICAL_ADVICE,
        "missing": caveats.missing(results, digests),
        "limits": caveats.LIMITS,
        "tables": tables,
        "training_tables": training_tables,
        "noise_tables": noise_tables,
        "sample_tables": {
            "confusion": sample_tables.confusion_table(digests),
            "calibration": sample_tables.calibration_table(digests),
            "lengths": sample_tables.lengths_table(digests),
        },
        "calibration_note": sample_tables.CALIBRATION,
        "pictures": pictures,
        "configurations": configuration_views.configurations_table(results),
        "configuration_pictures": configuration_views.configuration_pictures(results),
        "shown": shown,
        "examples": [(each, each.questions[:_EXAMPLES]) for each in shown if each.questions],
        "filters": answers.FILTERS,
    }


def _inline(environment: Environment) -> dict[str, Any]:
    """Style sheet and script of the page with the content policy that admits them and nothing else."""
    style, script = (environment.get_template(name).render().strip() for name in ("report.css", "report.js"))
    policy = (
        f"default-src 'none'; style-src '{inline_hash(style)}'; script-src '{inline_hash(script)}'; base-uri 'none';"
        " form-action 'none'"
    )
    return {"style": Markup(style), "script": Markup(script), "policy": policy}  # noqa: S704 - our files
