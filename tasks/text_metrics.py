"""Metrics of one generated answer; lm-eval's tasks and the `evaluate` modules both call these."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer
    from transformers import PreTrainedTokenizerBase

    from tasks.formats import Parsed


@functools.cache
def _scorer() -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=False)


def rouge_l(prediction: str, reference: str) -> float:
    """ROUGE-L F-measure between 0 and 1 (Lin 2004), by rouge_score without stemming."""
    return float(_scorer().score(reference, prediction)["rougeL"].fmeasure)


def count_words(text: str | None) -> int:
    """Number of words, split at white space; 0 for None."""
    return len(text.split()) if text else 0


def count_tokens(text: str | None, tokenizer: PreTrainedTokenizerBase) -> int:
    """Number of the tokenizer's tokens, special tokens left out; 0 for None."""
    return len(tokenizer(text, add_special_tokens=False).input_ids) if text else 0


def is_compliant(parsed: Parsed) -> bool:
    """Whether an answer keeps its format strictly."""
    return not parsed.problems
