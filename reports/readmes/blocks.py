"""Blocks that `medbench readme` writes between markers: results, cost, training, examples and others, template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from reports import tables, training_tables
from reports.certificate import body
from reports.comparison.adapter_cost import cost_sentences
from reports.comparison.verdict import label_collapses, truncations, turn_sentences
from reports.cost_tables import cost_table
from reports.curve_tables import curve_table
from reports.document.reading import displayed_results, read_results
from reports.document.schema import Results
from reports.document.verification import certificate_of
from reports.errors import UserError
from reports.numbers import MISSING
from reports.page import answers
from reports.page.digest import digest
from reports.readmes.selection import select
from reports.readmes.user_template import render_template
from reports.text import code_span, cut, fenced, plain_markdown

TEMPLATE = "template"
_SELECTION = ("metrics", "models")
OPTIONS = {"results": _SELECTION, "examples": _SELECTION, "cost": ("models",), TEMPLATE: ("file",)}
BESIDE = {"examples": "samples", "verify": "verify.json"}  # what a block reads beside results.json
_EXAMPLES = 3  # questions per task
_CHARACTERS = 1500


def block_text(
    name: str,
    runs: Sequence[Path],
    template: Path | None,
    where: str,
    *,
    models: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> str:
    """The Markdown of a block.

    Args:
        name: One of `BLOCKS`, or `template`.
        runs: Run folders or `results.json` files; all exist.
        template: File of the template, for `template`.
        where: File and line of the block, for messages.
        models: The models to show beside the baseline; all if empty.
        metrics: The metrics to show, as `METRIC` or `TASK/METRIC`; all if empty.

    Raises:
        UserError: A run lacks what the block shows, or the template fails.
    """
    if template is not None:
        return render_template(template, runs)
    loaded = [(run, select(displayed_results(read_results(run)), models, metrics, where)) for run in runs]
    parts = []
    for run, results in loaded:
        text = BLOCKS[name](run, results)
        if not text:
            raise UserError(
                f"the run {run.name} has nothing for the block {name}", where=where, fix="name another run or block"
            )
        parts.append(f"{_bold(results.name)}\n\n{text}" if len(loaded) > 1 else text)
    return "\n\n".join(parts)


def results_text(results: Results, candidate: str | None = None) -> str:
    """Tables of a run's results, or of one candidate's, with their setting."""
    others = [
        model.name for model in results.models if model.name != results.baseline and candidate in (None, model.name)
    ]
    warnings: list[str] = [plain_markdown(sentence) for sentence in (*truncations(results), *label_collapses(results))]
    parts: list[str] = [tables.readme_table(results, name).markdown() for name in others]
    parts = [*warnings, *(parts or [tables.scores_table(results).markdown()])]
    settings = plain_markdown("; ".join(f"{task.title}: {task.setting}" for task in results.tasks))
    scored = plain_markdown(", ".join(dict.fromkeys(model.weights for model in results.models)))
    synthetic = (
        " The items are synthetic: a demonstration, no benchmark." if any(t.synthetic for t in results.tasks) else ""
    )
    machine = plain_markdown(str(results.environment.get("gpu") or results.environment.get("cpu")))
    parts.append(
        f"Run {code_span(results.name)}, seed {results.seed}, {machine}, weights {scored}; improvement is fine-tuned"
        f" minus baseline, the arrow shows the better direction; scores have 95 % intervals, improvements have"
        f" intervals at the confidence in their row, which decide the outcome."
        f" {settings}.{synthetic}"
    )
    return "\n\n".join(parts)


def _bold(text: str) -> str:
    """A line in bold, which no blank at its ends can prevent."""
    return f"**{plain_markdown(text).strip() or MISSING}**"


def _cost(_: Path, results: Results) -> str:
    table = cost_table(results)
    return "\n\n".join([*map(plain_markdown, cost_sentences(results)), table.markdown()]) if table else ""


def _curve(_: Path, results: Results) -> str:
    table = curve_table(results)
    return "\n\n".join([*map(plain_markdown, turn_sentences(results)), table.markdown()]) if table else ""


def _training(_: Path, results: Results) -> str:
    table = training_tables.training_table(results)
    return table.markdown() if table else ""


def _memory(_: Path, results: Results) -> str:
    measured, computed = training_tables.memory_table(results), training_tables.full_finetuning_table(results)
    parts = [(measured, training_tables.MEASURED), (computed, training_tables.COMPUTED)]
    return "\n\n".join(f"{table.markdown()}\n\n{note}" for table, note in parts if table)


def _examples(run: Path, results: Results) -> str:
    """A few questions with all answers, in code blocks because a model may write any markup."""
    folder = run if run.is_dir() else run.parent
    parts = [f"> {tables.NOT_MEDICAL_ADVICE}"]
    for examples in answers.side_by_side(results, digest(folder, results), _EXAMPLES):
        for question in examples.questions:
            parts.append(_bold(f"{examples.task.title}, {question.id}"))
            parts += [f"Gold:\n\n{fenced(cut(question.gold, _CHARACTERS))}"]
            for answer in question.answers:
                metrics = ", ".join(f"{title} {value}" for title, value, _ in answer.metrics)
                text = cut(answer.text, _CHARACTERS) or "(empty)"
                parts.append(f"{plain_markdown(f'{answer.model} ({metrics})')}:\n\n{fenced(text)}")
    return "\n\n".join(parts) if len(parts) > 1 else ""


def _environment(_: Path, results: Results) -> str:
    return tables.provenance_table(results).markdown()


def _verify(run: Path, results: Results) -> str:
    certificate, fault = certificate_of(run if run.is_dir() else run.parent, results)
    if fault:
        raise UserError(fault.rstrip("."), where=str(run), fix="run `medbench verify` on this run again")
    return "" if certificate is None else body(certificate)


BLOCKS: dict[str, Callable[[Path, Results], str]] = {
    "results": lambda _, results: results_text(results),
    "cost": _cost,
    "curve": _curve,
    "training": _training,
    "memory": _memory,
    "examples": _examples,
    "environment": _environment,
    "verify": _verify,
}
