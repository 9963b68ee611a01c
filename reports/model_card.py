"""The README.md of an adapter folder: front matter that the hub understands, and what the adapter is and is not for."""

from __future__ import annotations

from collections.abc import Sequence

from reports.tables import NOT_MEDICAL_ADVICE

_BODY = """
# {name}

A LoRA adapter for `{base}`, trained with medbench on {rows} rows of {data}.

> {advice} Trained on {kind} data; not for use by patients or clinicians.

- Answer format: `{answer_format}`. `recipe.yaml` is the whole recipe, `training_log.json` tells what training did.
- Load it with `peft.PeftModel.from_pretrained(base_model, folder)`, or score it with
  `medbench run --models base,mine=FOLDER --set model.base={base}`.
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
        kind="synthetic" if synthetic else "public research",
    )
    return f"---\n{front.to_yaml()}\n---\n{body}"
