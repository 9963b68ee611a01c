"""Metrics of one generated answer, used by the lm-eval tasks and the `evaluate` modules."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from tasks.words import words, words_and_symbols

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer
    from transformers import PreTrainedTokenizerBase

    from tasks.answer_parts import Parsed

_COPIED_RUN = 8  # words
_COPIED_SHARE = 0.5
_REPEATED_RUN = 3  # units, see `_units`
_LONGEST_WORD = 50  # characters; no language has longer words, only loops such as `hahaha` do


class _Words:
    """`tasks.words.words` as a tokenizer of rouge_score."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


@functools.cache
def _scorer() -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], tokenizer=_Words())


def rouge_l(prediction: str, reference: str) -> float:
    """ROUGE-L F-measure of the longest common subsequence of words (Lin 2004), by rouge_score without stemming.

    Words are those of `tasks.words`: on ASCII text the value is that of rouge_score's own tokenizer; Chinese, Japanese,
    Thai, Lao, Khmer and Burmese are compared letter by letter. It measures wording, not correctness. Its time grows
    with the product of both lengths.

    Args:
        prediction: The generated text.
        reference: The gold text.

    Returns:
        From 0 to 1: 1 if the words are the same in the same order, 0 exactly if no word is shared, which includes
        texts without words.

    Example:
        >>> rouge_l("The cat sat.", "the cat sat")
        1.0
        >>> rouge_l("禁用 ACEI 10 mg", "首选 ACEI 10 mg")
        0.6
    """
    return float(_scorer().score(reference, prediction)["rougeL"].fmeasure)


def count_words(text: str | None) -> int:
    """Number of words; 0 for None."""
    return len(words(text)) if text else 0


def count_tokens(text: str | None, tokenizer: PreTrainedTokenizerBase) -> int:
    """Number of tokens without special tokens; 0 for None."""
    return len(tokenizer(text, add_special_tokens=False).input_ids) if text else 0


def is_compliant(parsed: Parsed) -> bool:
    """Whether an answer has no format violation."""
    return not parsed.problems


def distinct_trigrams(text: str) -> float:
    """Share of distinct trigrams in a text (distinct-3 of Li et al. 2016), rescaled to start at 0.

    Units are words and single symbols, so that a loop of `!` counts like a loop of words. With d distinct trigrams of n
    the value is (d - 1) / (n - 1): the plain share d / n of a text that repeats one unit is 1 / n, which would rank the
    shortest loop best. Texts of fewer than four units are scored by unigrams.

    Returns:
        1 if nothing is repeated, as in an answer of one word; 0 if the text repeats a single unit or has no words.

    Example:
        >>> distinct_trigrams("Start aspirin today."), distinct_trigrams("yes yes yes yes"), distinct_trigrams("")
        (1.0, 0.0, 0.0)
    """
    if not words(text):
        return 0.0
    units = _units(text)
    runs = _runs(units, _REPEATED_RUN if len(units) > _REPEATED_RUN else 1)
    return 1.0 if len(runs) == 1 else (len(set(runs)) - 1) / (len(runs) - 1)


def copies_prompt(text: str, prompt: str) -> bool:
    """Whether at least half of the 8-grams (words) of a text occur in its prompt.

    For a prompt of fewer than eight words, n is its length. A text shorter than one n-gram never counts as a copy: a
    correct answer of a few words may well occur in the question.
    """
    prompt_words = words(prompt)
    size = min(_COPIED_RUN, len(prompt_words))
    copied = set(_runs(prompt_words, size))
    runs = _runs(words(text), size)
    return bool(copied and runs) and sum(run in copied for run in runs) >= _COPIED_SHARE * len(runs)


def _units(text: str) -> list[str]:
    """Words and symbols in order; strings too long to be words are split into characters."""
    return [unit for word in words_and_symbols(text) for unit in ([word] if len(word) <= _LONGEST_WORD else word)]


def _runs(units: Sequence[Hashable], size: int) -> list[tuple[Hashable, ...]]:
    """All n-grams of `size` units; none if the size is 0."""
    return [tuple(units[start : start + size]) for start in range(len(units) - size + 1)] if size else []
