"""Held-out reasoning rows for lm-eval: perplexity of the gold answers, and metrics of generated ones."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reports.comparison.sums import figure_of
from tasks.answer_parts import after_opened_thinking
from tasks.answers import GeneratedText, ScoredText, split_document_answer
from tasks.data import ReasoningRow, load_reasoning
from tasks.data.documents import document_set
from tasks.formats import get_format
from tasks.rendering import count_scored_tokens, load_tokenizer
from tasks.task_settings import TaskSettings
from tasks.text_metrics import (
    copies_prompt,
    count_tokens,
    count_words,
    distinct_trigrams,
    has_disclaimer,
    is_compliant,
    rouge_l,
)

if TYPE_CHECKING:
    from datasets import Dataset

LogLikelihood = tuple[float, bool]


def reasoning_dataset(**settings: Any) -> dict[str, Dataset]:
    """Reasoning rows as lm-eval documents, with their prompts; `TaskSettings` says what may be set."""
    told = TaskSettings(**settings)
    tokenizer = load_tokenizer(told.tokenizer_name) if told.tokenizer_name else None

    def document(row: ReasoningRow) -> dict[str, Any]:
        prompt = told.prompt(row.question)
        gold = after_opened_thinking(prompt, get_format(told.format).completion(row.reasoning, row.response))
        return {
            "id": row.id,
            "question": row.question,
            "prompt": prompt,
            "gold": gold,
            "response": row.response,
            "format": told.format,
            "fields": json.dumps(row.fields | {"format": told.format}),
            "gold_tokens": count_scored_tokens(tokenizer, prompt, gold) if tokenizer else None,
            "tokenizer": told.tokenizer_name,
        }

    return {"test": document_set(map(document, load_reasoning(told.reasoning, seed=told.seed)))}


def perplexity_results(doc: dict[str, Any], results: Sequence[LogLikelihood]) -> dict[str, Any]:
    """(log-likelihood in nats, tokens) for perplexity and (log-likelihood, bytes) for bits per byte."""
    result = results[0]
    tokens = result.tokens if isinstance(result, ScoredText) else doc["gold_tokens"]
    metrics: dict[str, Any] = {"bits_per_byte": (result[0], len(doc["gold"].encode()))}
    if tokens:
        metrics["perplexity"] = (result[0], tokens)
    return metrics


def perplexity(pairs: Sequence[tuple[float, int]]) -> float:
    """Exp of the negative mean log-likelihood per token, over all tokens of all documents; infinite if it overflows."""
    mean = math.fsum(pair[0] for pair in pairs) / sum(pair[1] for pair in pairs)
    try:
        return math.exp(-mean)
    except OverflowError:
        return math.inf


def generation_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """ROUGE-L of the final response, lengths, format, and signs of degeneration.

    Stock lm-eval does not tell why a generation ended; then nothing counts as truncated and `ended` is left out.
    """
    answer = results[0]
    reason = answer.finish_reason if isinstance(answer, GeneratedText) else None
    truncated = reason == "length"
    parsed = split_document_answer(doc, answer)
    text = parsed.text
    metrics: dict[str, Any] = {
        "rouge_l": rouge_l(parsed.response, doc["response"]),
        "format_compliance": float(is_compliant(parsed)),
        "reasoning_words": float(count_words(parsed.reasoning)),
        "reasoning_characters": float(len(parsed.reasoning or "")),
        "empty": float(not text.strip()),
        "copied": float(copies_prompt(text, doc["prompt"])),
        "disclaimer": float(has_disclaimer(parsed.response)),
    }
    if (distinct := distinct_trigrams(text)) is not None:
        metrics["distinct_trigrams"] = distinct
    if doc["tokenizer"]:
        tokenizer = load_tokenizer(doc["tokenizer"])
        metrics["reasoning_tokens"] = float(count_tokens(parsed.reasoning, tokenizer))
        metrics["tokens_per_word"] = (float(count_tokens(text, tokenizer)), float(count_words(text)))
    if reason is not None:
        metrics["ended"] = float(not truncated)
    return metrics


def ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """The sum of the first numbers over the sum of the second."""
    return figure_of("ratio", pairs)
