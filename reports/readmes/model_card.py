"""README.md of an adapter or merged model: front matter for the hub, and what the model is and is not for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reports.document.schema import Results
from reports.errors import UserError
from reports.names import is_hub_id
from reports.readmes.blocks import results_text
from reports.tables import NOT_MEDICAL_ADVICE
from reports.templating import template_environment

_HUB_METRICS = {"macro_f1": "f1", "rouge_l": "rouge"}  # the other keys are the hub's own names

_FRONT: dict[str, dict[str, Any]] = {
    "adapter": {"library_name": "peft", "tags": ["lora", "qlora", "medical", "medbench"]},
    "merged": {
        "library_name": "transformers",
        "tags": ["lora", "qlora", "merged", "medical", "medbench"],
        "base_model_relation": "finetune",
    },
}


def model_card(
    kind: Literal["adapter", "merged"], *, base: str, datasets: Sequence[str], **facts: str | int | None
) -> str:
    """Text of an adapter's or a merged model's card.

    Args:
        kind: Which of the templates `adapter_card.md.j2` and `merged_card.md.j2` to fill in.
        base: Hub id or name of the base model.
        datasets: Hub ids of the training data; empty for local files and samples.
        facts: The other variables of the template, which lists them.
    """
    from huggingface_hub import ModelCardData

    front = ModelCardData(
        base_model=base, pipeline_tag="text-generation", datasets=list(datasets) or None, **_FRONT[kind]
    )
    template = template_environment().get_template(f"{kind}_card.md.j2")
    body = template.render(base=base, advice=NOT_MEDICAL_ADVICE, **facts)
    return f"---\n{front.to_yaml()}\n---\n{body}\n"


@dataclass(frozen=True)
class PublishedCard:
    """A card as uploaded to the hub.

    Attributes:
        text: The whole card.
        base: Base model that it names.
        licence: Licence that it names.
        datasets: Data sets that it names.
        benchmarks: Number of results in its metadata, which the hub treats as benchmark results.
    """

    text: str
    base: str
    licence: str
    datasets: list[str]
    benchmarks: int


def published_card(
    card: str, *, results: Results | None, candidate: str, licence: str | None, merged: bool
) -> PublishedCard:
    """Add a run's results to a folder's card: a table for people, and benchmark results for the hub.

    Only scores on data sets from the hub go into the metadata (`model-index`): synthetic items, items that were trained
    on and local files are no benchmarks.

    Args:
        card: Text of the folder's README.md.
        results: Results of the run that scored the model, if any.
        candidate: The model's name in them.
        licence: Replaces the card's own, if given.
        merged: Whether this is the merged model; the scores are those of the unmerged adapter.

    Raises:
        UserError: The card's front matter is broken.
    """
    import yaml
    from huggingface_hub import ModelCard

    try:
        updated = ModelCard(card)
        updated.data.license = licence or updated.data.license
        benchmarks: list[Any] = []
        if results is not None:
            benchmarks = _benchmarks(results, candidate)
            facts = ["- Scored before the merge, with the adapter on its base."] if merged else []
            verdict = "\n".join([*facts, *(f"- {sentence}" for sentence in results.verdict)])
            updated.text = f"{updated.text.rstrip()}\n\n## Results\n\n{verdict}\n\n{results_text(results, candidate)}\n"
            if benchmarks:
                updated.data.model_name, updated.data.eval_results = results.name, benchmarks
        base = updated.data.base_model
        return PublishedCard(
            text=str(updated),
            base=", ".join(base) if isinstance(base, list) else base or "",
            licence=updated.data.license or "",
            datasets=[updated.data.datasets] if isinstance(updated.data.datasets, str) else updated.data.datasets or [],
            benchmarks=len(benchmarks),
        )
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise UserError(
            f"the front matter is broken: {str(error).splitlines()[0]}", where="README.md", fix="fix it"
        ) from error


def _section(results: Results, source: str) -> dict[str, Any]:
    """The recipe's data section that test items come from; a training section only if there is no other."""
    sections = results.recipe.get("data", {})
    names = [name for name, value in sections.items() if isinstance(value, dict) and value.get("source") == source]
    names.sort(key=lambda name: name in ("train", "validation"))
    return dict(sections[names[0]]) if names else {}


def _benchmarks(results: Results, candidate: str) -> list[Any]:
    """Build `EvalResult`s from a candidate's scores on data sets of the hub."""
    from huggingface_hub import EvalResult

    metrics = results.metrics()
    data = {info.role: info for info in results.data}
    benchmarks = []
    for score in results.scores:
        (task, metric), origin = metrics[score.task, score.metric], data.get(score.task)
        if score.model != candidate or score.value is None or metric.secondary or task.synthetic:
            continue
        if origin is None or not is_hub_id(origin.source) or results.learned_from(task.name, candidate):
            continue
        source = origin.source
        section = _section(results, source)
        benchmarks.append(
            EvalResult(
                task_type="text-generation",
                task_name=task.title,
                dataset_type=source,
                dataset_name=f"{source} ({task.setting})",
                dataset_config=section.get("config"),
                dataset_split=section.get("split"),
                metric_type=_HUB_METRICS.get(score.metric, score.metric),
                metric_name=metric.title,
                metric_value=score.value,
            )
        )
    return benchmarks
