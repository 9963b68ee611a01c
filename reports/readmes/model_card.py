"""The README.md of an adapter folder: front matter that the hub understands, and what the adapter is and is not for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports.document.schema import Results
from reports.errors import UserError
from reports.names import is_hub_id
from reports.readmes.blocks import results_text
from reports.tables import NOT_MEDICAL_ADVICE

_HUB_METRICS = {"macro_f1": "f1", "rouge_l": "rouge"}  # other names are the hub's own

_BODY = """
# {name}

A LoRA adapter for `{base}`, trained with medbench on {rows} rows of {data}.

> {advice}{kind} Not for use by patients or clinicians.

- Answer format: `{answer_format}`. `recipe.yaml` is the whole recipe, `training_log.json` tells what training did.
- Load it with `peft.PeftModel.from_pretrained(base_model, folder)`, or score it with
  `medbench run --models base,mine=FOLDER --set model.base={base}`.
"""


_MERGED_BODY = """
# {name}, merged

`{base}` with a LoRA adapter{trained} merged into its weights, exported with medbench in {dtype}.

> {advice}{kind} Not for use by patients or clinicians.

- Load it with `transformers.AutoModelForCausalLM.from_pretrained(folder)`.
- Merged in float32 into the base ({weights}) and rounded once. Against the unmerged adapter on that base:
  {agreement} (`export.json` has all figures).
"""


def adapter_card(
    *, name: str, base: str, data: str, datasets: Sequence[str], rows: int, answer_format: str, synthetic: bool
) -> str:
    """The card's text.

    Args:
        name: The recipe's name.
        base: Hub id or name of the base model.
        data: The training data in words.
        datasets: Hub ids of the training data; empty for local files and samples.
        rows: How many rows were trained on.
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
        name=name,
        base=base,
        rows=rows,
        data=data,
        answer_format=answer_format,
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
    """The text of a merged model's card.

    Args:
        name: The recipe's or the adapter's name.
        base: Hub id or name of the base model.
        weights: The base's weights that the adapter was merged into, in words.
        dtype: Of the merged weights.
        data: The training data in words; None where it is not known.
        datasets: Hub ids of the training data; empty for local files and samples.
        synthetic: Whether it was trained on medbench's own invented samples.
        agreement: How well it agrees with the unmerged adapter, in words.
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
        name=name,
        base=base,
        weights=weights,
        dtype=dtype,
        trained=f" that was trained on {data}" if data else "",
        advice=NOT_MEDICAL_ADVICE,
        kind=" Trained on synthetic data." if synthetic else "",
        agreement=agreement,
    )
    return f"---\n{front.to_yaml()}\n---\n{body}"


@dataclass(frozen=True)
class PublishedCard:
    """A card as it goes to the hub.

    Attributes:
        text: The whole card.
        base: The base model that it names.
        licence: Its licence.
        datasets: The data sets that it names.
        benchmarks: How many results are in its metadata, where the hub takes them for benchmark results.
    """

    text: str
    base: str
    licence: str
    datasets: list[str]
    benchmarks: int


def published_card(
    card: str, *, results: Results | None, candidate: str, licence: str | None, merged: bool
) -> PublishedCard:
    """A folder's card with the results of a run: their table for people, and benchmark results for machines.

    Only scores on data sets of the hub go into the metadata (`model-index`): synthetic items are no benchmark, nor are
    those that were trained on, and what a local file holds nobody else can know.

    Args:
        card: The folder's README.md.
        results: Of the run that scored it, if any.
        candidate: The model's name in them.
        licence: Instead of the card's.
        merged: Whether the model is the adapter merged into its base, which the scores are not of.

    Raises:
        UserError: The card's front matter is broken.
    """
    import yaml
    from huggingface_hub import ModelCard

    try:
        made = ModelCard(card)
        made.data.license = licence or made.data.license
        benchmarks: list[Any] = []
        if results is not None:
            benchmarks = _benchmarks(results, candidate)
            how = ["- Scored before the merge, with the adapter on its base."] if merged else []
            said = "\n".join([*how, *(f"- {sentence}" for sentence in results.verdict)])
            made.text = f"{made.text.rstrip()}\n\n## Results\n\n{said}\n\n{results_text(results, candidate)}\n"
            if benchmarks:
                made.data.model_name, made.data.eval_results = results.name, benchmarks
        named = made.data.base_model
        return PublishedCard(
            text=str(made),
            base=", ".join(named) if isinstance(named, list) else named or "",
            licence=made.data.license or "",
            datasets=[made.data.datasets] if isinstance(made.data.datasets, str) else made.data.datasets or [],
            benchmarks=len(benchmarks),
        )
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise UserError(
            f"its front matter is broken: {str(error).splitlines()[0]}", where="README.md", fix="mend it"
        ) from error


def _section(results: Results, source: str) -> dict[str, Any]:
    """The recipe's section that test items were drawn from; one of training only where there is no other."""
    sections = results.recipe.get("data", {})
    found = [name for name, each in sections.items() if isinstance(each, dict) and each.get("source") == source]
    found.sort(key=lambda name: name in ("train", "validation"))
    return dict(sections[found[0]]) if found else {}


def _benchmarks(results: Results, candidate: str) -> list[Any]:
    """A candidate's scores on data sets of the hub, as huggingface_hub's `EvalResult`s."""
    from huggingface_hub import EvalResult

    metrics = results.metrics()
    data = {each.role: each for each in results.data}
    found = []
    for score in results.scores:
        (task, metric), origin = metrics[score.task, score.metric], data.get(score.task)
        if score.model != candidate or score.value is None or metric.secondary or task.synthetic:
            continue
        if origin is None or not is_hub_id(origin.source) or results.learned_from(task.name, candidate):
            continue
        source = origin.source
        drawn = _section(results, source)
        found.append(
            EvalResult(
                task_type="text-generation",
                task_name=task.title,
                dataset_type=source,
                dataset_name=f"{source} ({task.setting})",
                dataset_config=drawn.get("config"),
                dataset_split=drawn.get("split"),
                metric_type=_HUB_METRICS.get(score.metric, score.metric),
                metric_name=metric.title,
                metric_value=score.value,
            )
        )
    return found
