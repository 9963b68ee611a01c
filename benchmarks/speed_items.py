"""Items and lm-eval tasks of the speed benchmarks: the same files are read by stock lm-eval and by medbench.

Three tasks of stock lm-eval's own kinds, with prompts rendered beforehand: `speed_pubmedqa` (choices by
log-likelihood), `speed_perplexity` (whole texts), `speed_generation` (greedy answers up to a fixed length).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from reports.files import write_jsonl
from tasks.data import DataSource, load_pubmedqa, load_reasoning, sample_indices
from tasks.data.rows import LABELS
from tasks.data.selection import official_test_ids
from tasks.formats import get_format
from tasks.rendering import load_tokenizer, render_prompt

PUBMEDQA, PERPLEXITY, GENERATION = "speed_pubmedqa", "speed_perplexity", "speed_generation"
TASKS = (PUBMEDQA, PERPLEXITY, GENERATION)
_SEED = 42

_CONFIGS: dict[str, dict[str, Any]] = {
    PUBMEDQA: {
        "output_type": "multiple_choice",
        "doc_to_text": "prompt",
        "doc_to_target": "gold",
        "doc_to_choice": list(LABELS),
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    },
    PERPLEXITY: {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "text",
        "metric_list": [{"metric": "bits_per_byte"}],
    },
    GENERATION: {
        "output_type": "generate_until",
        "doc_to_text": "prompt",
        "doc_to_target": "gold",
        "generation_kwargs": {"until": [], "do_sample": False},
        "metric_list": [{"metric": "bypass"}],
    },
}


def write_tasks(
    folder: Path,
    tokenizer: str,
    *,
    pubmedqa: str | None,
    reasoning: str | None,
    counts: dict[str, int],
    new_tokens: int,
) -> None:
    """Write items and task configurations into a folder.

    Args:
        folder: Where to.
        tokenizer: Folder of the tokenizer whose chat template renders the questions to generate from.
        pubmedqa: `ori_pqal.json`; the synthetic samples if not given.
        reasoning: Reasoning rows; likewise.
        counts: Items by task, drawn by seed; repeated where there are fewer, with a number that keeps them apart.
        new_tokens: Longest generated answer.
    """
    items = load_pubmedqa(official_test_ids(DataSource(source=pubmedqa or "samples:pubmedqa")), seed=_SEED)
    rows = load_reasoning(DataSource(source=reasoning or "samples:reasoning_heldout"), seed=_SEED)
    shape, loaded = get_format("thinking-headings"), load_tokenizer(tokenizer)
    documents: dict[str, list[dict[str, Any]]] = {
        PUBMEDQA: [
            {
                "prompt": f"Abstract: {chr(10).join(item.contexts)}\nQuestion: {item.question}\nAnswer:",
                "gold": LABELS.index(item.answer),
            }
            for item in items
        ],
        PERPLEXITY: [{"text": f"{row.reasoning}\n{row.response}"} for row in rows],
        GENERATION: [
            {"prompt": render_prompt(loaded, shape, row.question), "gold": row.response, "question": row.question}
            for row in rows
        ],
    }
    for task, config in _CONFIGS.items():
        if task not in counts:
            continue
        drawn = _draw(documents[task], counts[task])
        path = folder / f"{task}.jsonl"
        write_jsonl(path, drawn)
        settings = {"task": task, "dataset_path": "json", "test_split": "test", **config}
        settings["dataset_kwargs"] = {"data_files": {"test": str(path)}}
        if task == GENERATION:
            settings["generation_kwargs"] = {**config["generation_kwargs"], "max_gen_toks": new_tokens}
        (folder / f"{task}.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


def _draw(documents: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """`count` documents drawn by seed; rounds after the first are numbered in their prompts."""
    order = sample_indices(len(documents), min(count, len(documents)), _SEED)
    drawn = []
    for number in range(count):
        document = dict(documents[order[number % len(order)]])
        if turn := number // len(order):
            key = "prompt" if "prompt" in document else "text"
            document[key] = f"({turn}) {document[key]}"
        drawn.append(document)
    return drawn
