"""Short labels for the items of a PubMedQA task, and reference scores to compare with, also of guessing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from reports.document.evidence import ReferenceLine
from tasks import catalog
from tasks.data.selection import describe_ids, official_ids
from tasks.data.source import DataSource
from tasks.pubmedqa import macro_f1

_HUMAN = ReferenceLine(
    title="one human annotator",
    values={"accuracy": 0.78, "macro_f1": 0.7219},
    source="Jin et al. 2019 (PubMedQA), given the abstract without its conclusion; `reasoning_required_pred` of"
    " ori_pqal.json on the official test ids",
)
_WITH_ABSTRACT = (catalog.PUBMEDQA, catalog.PUBMEDQA_COT)


def label(task: str, documents: Sequence[dict[str, Any]], source: DataSource) -> str:
    """Short name of a PubMedQA task and its items; empty for other tasks."""
    if task not in catalog.PUBMEDQA_LABELS:
        return ""
    ids = {document["id"] for document in documents}
    if ids == official_ids():
        items = f"official {len(ids)} test ids"
    else:
        others = "synthetic items" if source.is_sample else f"{len(ids)} items of {source.public_name}"
        items = describe_ids(ids) or others
    return f"{catalog.PUBMEDQA_LABELS[task]}, {items}"


def references(task: str, documents: Sequence[dict[str, Any]]) -> list[ReferenceLine]:
    """Scores of the majority label on these items, and of a human on the official test set."""
    if task not in catalog.PUBMEDQA_LABELS:
        return []
    gold = [document["gold"] for document in documents]
    most, count = Counter(gold).most_common(1)[0]
    name = documents[gold.index(most)]["label"]
    lines = [
        ReferenceLine(
            title=f"always {name}",
            values={"accuracy": count / len(gold), "macro_f1": macro_f1([(label, most) for label in gold])},
            source="the most frequent gold label of these items",
        )
    ]
    if task in _WITH_ABSTRACT and {document["id"] for document in documents} == official_ids():
        lines.append(_HUMAN)
    return lines


def guessing(options: Iterable[int]) -> ReferenceLine:
    """Expected accuracy of one option of each question at random, from the numbers of options."""
    chances = [1 / count for count in options]
    return ReferenceLine(
        title="guessing",
        values={"accuracy": sum(chances) / len(chances)},
        source="one option of each question at random",
    )
