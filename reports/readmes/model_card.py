"""README.md of an adapter or merged model: front matter for the hub, and what the model is and is not for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports.certificate import summary
from reports.document.reading import displayed_results
from reports.document.schema import Results
from reports.document.verification import Verification
from reports.errors import UserError
from reports.names import is_hub_id
from reports.readmes.blocks import results_text
from reports.tables import NOT_MEDICAL_ADVICE
from reports.text import code_span, plain_markdown

_HUB_METRICS = {"macro_f1": "f1", "rouge_l": "rouge"}  # the other keys are the hub's own names

_BODY = """
# {name}

A LoRA adapter for {base}, trained with medbench on {rows} rows of {data}.

> {advice}{kind} Not for use by patients or clinicians.

- Answer format: {answer_format}. `recipe.yaml` is the complete recipe, `training_log.json` the record of training.
- Load it with `peft.PeftModel.from_pretrained(base_model, folder)`, or score it with
  {command}.
"""


_MERGED_BODY = """
# {name}, merged

{base} with a LoRA adapter{trained} merged into its weights, exported with medbench in {dtype}.

> {advice}{kind} Not for use by patients or clinicians.

- Load it with `transformers.AutoModelForCausalLM.from_pretrained(folder)`.
- Merged in float32 into the base ({weights}) and rounded once. Compared with the unmerged adapter on that base:
  {agreement} (`export.json` has all numbers).
"""


def adapter_card(
    *, name: str, base: str, data: str, datasets: Sequence[str], rows: int, answer_format: str, synthetic: bool
) -> str:
    """Text of an adapter's card.

    Args:
        name: The recipe's name.
        base: Hub id or name of the base model.
        data: The training data in words.
        datasets: Hub ids of the training data; empty for local files and samples.
        rows: Number of training rows.
        answer_format: Name of the answer format.
        synthetic: Whether the rows are medbench's own invented samples.
    """
    from huggingface_hub import ModelCardData

    front = ModelCardData(
        base_model=base,
        library_name="peft",
        pipeline_tag="text-generation",
        tags=["lora", "qlora", "medical", "medbench"],
        datasets=list(datasets) or None,
    )
    body = _BODY.format(
        name=plain_markdown(name),
        base=code_span(base),
        rows=rows,
        data=plain_markdown(data),
        answer_format=code_span(answer_format),
        command=code_span(f"medbench run --models base,mine=FOLDER --set model.base={base}"),
        advice=NOT_MEDICAL_ADVICE,
        kind=" Trained on synthetic data." if synthetic else "",
    )
    return f"---\n{front.to_yaml()}\n---\n{body}"


def merged_card(
    *,
    name: str,
    base: str,
    weights: str,
    dtype: str,
    data: str | None,
    datasets: Sequence[str],
    synthetic: bool,
    agreement: str,
) -> str:
    """Text of a merged model's card.

    Args:
        name: The recipe's or the adapter's name.
        base: Hub id or name of the base model.
        weights: The base's weights that the adapter was merged into, in words.
        dtype: Dtype of the merged weights.
        data: The training data in words, or None if unknown.
        datasets: Hub ids of the training data; empty for local files and samples.
        synthetic: Whether it was trained on medbench's own invented samples.
        agreement: Agreement with the unmerged adapter, in words.
    """
    from huggingface_hub import ModelCardData

    front = ModelCardData(
        base_model=base,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["lora", "qlora", "merged", "medical", "medbench"],
        datasets=list(datasets) or None,
        base_model_relation="finetune",
    )
    body = _MERGED_BODY.format(
        name=plain_markdown(name),
        base=code_span(base),
        weights=plain_markdown(weights),
        dtype=dtype,
        trained=f" that was trained on {plain_markdown(data)}" if data else "",
        advice=NOT_MEDICAL_ADVICE,
        kind=" Trained on synthetic data." if synthetic else "",
        agreement=agreement,
    )
    return f"---\n{front.to_yaml()}\n---\n{body}"


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
    card: str,
    *,
    results: Results | None,
    candidate: str,
    licence: str | None,
    merged: bool,
    certificate: Verification | None = None,
) -> PublishedCard:
    """Add a run's results to a folder's card: a table for people, and benchmark results for the hub.

    Only scores on data sets from the hub go into the metadata (`model-index`): synthetic items, items that were trained
    on and local files are no benchmarks.

    Args:
        card: Text of the folder's README.md.
        results: Results of the run that scored the model, if any.
        candidate: The model's name in them.
        licence: Replaces the card's own, if given.
        certificate: Certificate of the deployed model, if there is one of this candidate.
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
            facts += [f"- {plain_markdown(summary(certificate))}."] if certificate is not None else []
            shown = displayed_results(results)
            verdict = "\n".join([*facts, *(f"- {plain_markdown(sentence)}" for sentence in shown.verdict)])
            updated.text = f"{updated.text.rstrip()}\n\n## Results\n\n{verdict}\n\n{results_text(shown, candidate)}\n"
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
