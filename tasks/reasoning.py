"""Held-out reasoning rows for lm-eval: perplexity of the gold answers, and metrics of generated ones."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reports.comparison.sums import value_of_samples
from reports.errors import UserError
from tasks.answer_parts import after_opened_thinking
from tasks.answers import GeneratedText, ScoredText, split_document_answer
from tasks.data import ReasoningRow, count_violations, load_rows
from tasks.data.documents import document_set
from tasks.few_shot import draw_examples
from tasks.formats import get_format
from tasks.rendering import load_tokenizer, scored_tokens
from tasks.task_settings import TaskSettings
from tasks.text_metrics import (
    copies_prompt,
    count_tokens,
    count_words,
    distinct_trigrams,
    is_compliant,
    rouge_l,
)

if TYPE_CHECKING:
    from datasets import Dataset

    from tasks.formats import AnswerFormat

LogLikelihood = tuple[float, bool]


def reasoning_dataset(**settings: Any) -> dict[str, Dataset]:
    """Held-out rows as lm-eval documents with their prompts; see `TaskSettings` for the settings."""
    task = TaskSettings(**settings)
    tokenizer, answer_format = task.load_tokenizer(), get_format(task.format)
    loaded = load_rows(task.reasoning, seed=task.seed, answer_format=answer_format)
    drawn = _drawn_examples(task, answer_format) if task.shots and loaded.account.kind != "text" else []

    def document(row: ReasoningRow) -> dict[str, Any]:
        # Conversations may end with the same question, such as "And then?".
        examples = [one for one in drawn if one.transcript != row.transcript][: task.shots]
        answered = [pair for one in examples for pair in one.answered(answer_format)]
        prompt = "" if row.is_text else task.prompt(row.question, answered, row.history)
        completion = row.response if row.is_text else answer_format.completion(row.reasoning, row.response)
        gold = after_opened_thinking(prompt, completion)
        before = len(gold) - len(completion)
        texts = [(0, len(gold))] if row.is_text else answer_format.text_spans(row.reasoning, row.response)
        spans = [(before + start, before + end) for start, end in texts]
        tokens, of_text = scored_tokens(tokenizer, prompt, gold, spans) if tokenizer else (None, None)
        return {
            "id": row.id,
            "question": row.transcript,
            "prompt": prompt,
            "gold": gold,
            "response": row.response,
            "format": task.format,
            "fields": json.dumps(row.fields | {"format": task.format}),
            "gold_tokens": tokens,
            "text_tokens": of_text,
            "text_bytes": sum(len(gold[start:end].encode()) for start, end in spans),
            "tokenizer": task.tokenizer_name,
        }

    return {"test": document_set(map(document, loaded.rows), count_violations(loaded, answer_format))}


def _drawn_examples(task: TaskSettings, answer_format: AnswerFormat) -> list[ReasoningRow]:
    """The rows that examples are taken from.

    Raises:
        UserError: They are plain texts, or too few.
    """
    pool = load_rows(task.examples, seed=task.seed, answer_format=answer_format)
    if pool.account.kind == "text":
        raise UserError(
            f"the examples come from the training rows, and {task.examples.label} holds plain texts without questions",
            where="scoring.num_fewshot",
            fix="set it to 0, or give data.train rows with questions",
        )
    return draw_examples(pool.rows, task.shots, task.seed)


def perplexity_results(doc: dict[str, Any], results: Sequence[LogLikelihood]) -> dict[str, Any]:
    """Sums of one gold answer: (log-likelihood in nats, tokens), or (log-likelihood, bytes) for bits per byte.

    `perplexity` and `bits_per_byte` cover the reasoning and the response: headings, tags, the white space between them
    and at the end of the prompt are excluded from all three sums. A token with characters of both counts as text; its
    bytes outside the text do not count. `perplexity_with_markers` covers everything that lm-eval scores.

    Stock lm-eval returns one sum over all tokens, which gives `perplexity_with_markers` only.

    Args:
        doc: A document of `reasoning_dataset`.
        results: The log-likelihood of its gold answer.
    """
    result = results[0]
    metrics: dict[str, Any] = {}
    if doc["gold_tokens"]:
        metrics["perplexity_with_markers"] = (result[0], doc["gold_tokens"])
    if isinstance(result, ScoredText) and doc["text_tokens"]:
        assert result.tokens == doc["gold_tokens"]
        text = [nats for first, end in doc["text_tokens"] for nats in result.logprobs[first:end]]
        metrics["perplexity"] = (math.fsum(text), len(text))
        metrics["bits_per_byte"] = (math.fsum(text), doc["text_bytes"])
    return metrics


def perplexity(pairs: Sequence[tuple[float, int]]) -> float:
    """Exp of the negative mean log-likelihood per token, over all tokens of all documents (Jelinek et al. 1977).

    Long documents weigh more than short ones: it is not the mean of the documents' perplexities.

    Args:
        pairs: (log-likelihood in nats, number of tokens) of each document.

    Returns:
        At least 1; infinity on overflow, NaN without tokens.

    Example:
        >>> perplexity([(math.log(1 / 4), 1), (math.log(1 / 4) * 3, 3)])
        4.0
    """
    tokens = sum(pair[1] for pair in pairs)
    if not tokens:
        return math.nan
    try:
        return math.exp(-math.fsum(pair[0] for pair in pairs) / tokens)
    except OverflowError:
        return math.inf


def generation_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """ROUGE-L of the final response, lengths, format compliance, and signs of degeneration.

    Stock lm-eval does not report why a generation ended; then no answer counts as truncated and `ended` is omitted.
    """
    answer = results[0]
    reason = answer.finish_reason if isinstance(answer, GeneratedText) else None
    parsed = split_document_answer(doc, answer)
    text = parsed.text
    metrics: dict[str, Any] = {
        "rouge_l": rouge_l(parsed.response, doc["response"]),
        "format_compliance": float(is_compliant(parsed)),
        "reasoning_words": float(count_words(parsed.reasoning)),
        "reasoning_characters": float(len(parsed.reasoning or "")),
        "empty": float(not text.strip()),
        "copied": float(copies_prompt(text, doc["prompt"])),
        "distinct_trigrams": distinct_trigrams(text),
    }
    if doc["tokenizer"]:
        tokenizer = load_tokenizer(doc["tokenizer"])
        metrics["reasoning_tokens"] = float(count_tokens(parsed.reasoning, tokenizer))
        metrics["tokens_per_word"] = (float(count_tokens(text, tokenizer)), float(count_words(text)))
    if reason is not None:
        metrics["ended"] = float(reason != "length")
    return metrics


def ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """The sum of the first numbers over the sum of the second."""
    return value_of_samples("ratio", pairs)
