"""Writes the tables of benchmarks, metrics, commands and keys in `docs` from the code, or checks them.

python -m benchmarks.catalogue [--check]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.page_tables import GeneratedTables, marks, write_or_check
from benchmarks.reference import commands, policy_keys, recipe_keys
from reports.bundles.manifest import NOT_STATED
from reports.document.schema import MetricInfo
from reports.numbers import better_arrow
from tasks.benchmarks import Benchmark
from tasks.catalog import BENCHMARK_METRICS, METRICS, TITLES
from tasks.suites import SUITES, Suite

DOCS = Path(__file__).resolve().parent.parent / "docs"


def tables() -> str:
    """A section for each suite, as Markdown."""
    return "\n".join(map(_section, SUITES.values()))


def _section(suite: Suite) -> str:
    lines = [f"### `{suite.name}`", "", f"{suite.purpose[0].upper()}{suite.purpose[1:]}.", ""]
    if suite.mean_of:
        lines += [f"Its row: {suite.mean_title}.", ""]
    lines += _rows(suite.members)
    if suite.extras:
        lines += ["", "Not part of the suite, scored by their own names:", "", *_rows(suite.extras)]
    return "\n".join(lines) + "\n"


def _rows(benchmarks: tuple[Benchmark, ...]) -> list[str]:
    header = ["| task | what it measures | items | licence | kind | source |", "|---|---|---:|---|---|---|"]
    return header + [_row(benchmark) for benchmark in benchmarks]


def _row(benchmark: Benchmark) -> str:
    items = NOT_STATED if benchmark.items is None else f"{benchmark.items:,}"
    licence = benchmark.licence + (" (non-commercial)" if benchmark.non_commercial else "")
    link = f"[{benchmark.source}](https://huggingface.co/datasets/{benchmark.source_id})"
    source = link + (f" at `{benchmark.revision[:8]}`" if benchmark.revision else "")
    return f"| `{benchmark.task}` | {benchmark.measures} | {items} | {licence} | {benchmark.kind} | {source} |"


def metric_tables() -> str:
    """A section for each list of metrics, with the tasks that have it, as Markdown."""
    lists: list[tuple[list[MetricInfo], list[str]]] = []
    for task, metrics in {**METRICS, **BENCHMARK_METRICS}.items():
        names = next((names for other, names in lists if other == metrics), None)
        if names is None:
            lists.append((metrics, [task]))
        else:
            names.append(task)
    return "\n".join(_metric_section(metrics, names) for metrics, names in lists)


def _metric_section(metrics: Sequence[MetricInfo], tasks: Sequence[str]) -> str:
    head = ["| metric | key | role | margin | meaning |", "|---|---|---|---:|---|"]
    lines = [f"- `{task}`: {TITLES[task]}" for task in tasks] + ["", *head, *map(_metric_row, metrics)]
    return "\n".join(lines) + "\n"


def _metric_row(metric: MetricInfo) -> str:
    role = "descriptive" if metric.descriptive else "main" if metric.is_main else "secondary"
    margin = f"{100 * metric.relevant:g} {'pp' if metric.is_share else '%'}" if role != "descriptive" else ""
    title = f"{metric.title}{better_arrow(metric)}"
    return f"| {title} | `{metric.key}` | {role} | {margin} | {metric.description} |"


def generated() -> list[GeneratedTables]:
    """The tables of all pages."""
    return [
        GeneratedTables(DOCS / "benchmarks.md", marks("suites", "catalogue"), tables()),
        GeneratedTables(DOCS / "metrics.md", marks("metrics", "catalogue"), metric_tables()),
        *(
            GeneratedTables(DOCS / "reference.md", marks(name, "catalogue"), made())
            for name, made in (("commands", commands), ("recipe", recipe_keys), ("policy", policy_keys))
        ),
    ]


def main() -> None:
    """Write the tables, or check them."""
    write_or_check(__doc__, "python -m benchmarks.catalogue", generated())


if __name__ == "__main__":
    main()
