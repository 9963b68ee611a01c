"""Metrics of one generated answer; lm-eval's tasks and the `evaluate` modules both call these."""

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
_LONGEST_WORD = 50  # characters; a longer one is no word of any language but a loop such as `hahaha`


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
        prediction: The text to judge.
        reference: The text that it should resemble.

    Returns:
        From 0 to 1: 1 where the words are the same in the same order, 0 exactly where no word is shared; so 0 also
        where one of the texts, or both, have no words.

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
    """Number of the tokenizer's tokens, special tokens left out; 0 for None."""
    return len(tokenizer(text, add_special_tokens=False).input_ids) if text else 0


def is_compliant(parsed: Parsed) -> bool:
    """Whether an answer keeps its format strictly."""
    return not parsed.problems


def distinct_trigrams(text: str) -> float:
    """Share of a text's runs of three units that are distinct (distinct-3 of Li et al. 2016), scaled to end at 0.

    Units are words and single symbols, so that a loop of `!` shows as well as a loop of words. Of n runs of which d are
    distinct the value is (d - 1) / (n - 1): the plain share d / n of a text that repeats one unit is 1 / n, which would
    make the shortest loop the best. Texts of fewer than four units are judged by single units.

    Returns:
        1 where nothing is repeated, as in a short answer of one word; 0 where one unit is all there is, or no word.

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
    """Whether at least half of a text's runs of eight words stand in its prompt.

    A prompt of fewer than eight words is searched for as a whole. A text with fewer words than a run is no copy: a
    right answer of a few words may well stand in the question.
    """
    known = words(prompt)
    size = min(_COPIED_RUN, len(known))
    copied = set(_runs(known, size))
    runs = _runs(words(text), size)
    return bool(copied and runs) and sum(run in copied for run in runs) >= _COPIED_SHARE * len(runs)


def _units(text: str) -> list[str]:
    """Words and symbols in their order; the characters of a word that is too long to be one."""
    return [unit for word in words_and_symbols(text) for unit in ([word] if len(word) <= _LONGEST_WORD else word)]


def _runs(units: Sequence[Hashable], size: int) -> list[tuple[Hashable, ...]]:
    """All runs of `size` units; none where the size is 0."""
    return [tuple(units[start : start + size]) for start in range(len(units) - size + 1)] if size else []
