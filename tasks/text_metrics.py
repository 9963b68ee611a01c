"""Metrics of one generated answer; lm-eval's tasks and the `evaluate` modules both call these."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from tasks.words import words

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer
    from transformers import PreTrainedTokenizerBase

    from tasks.answer_parts import Parsed

_COPIED_RUN = 8  # words
_COPIED_SHARE = 0.5
_DISCLAIMER = re.compile(
    r"\bnot (?:a |an )?(?:substitute|replacement) for (?:\w+ ){0,8}(?:medical|clinical) "
    r"|\b(?:not|does not constitute) (?:professional )?medical advice"
    r"|\b(?:consult|see|contact|ask|speak (?:to|with)|talk to|advice (?:of|from)) (?:with )?(?:\w+ ){0,4}"
    r"(?:doctor|physician|clinician|specialist|pharmacist|(?:health ?care|medical) (?:professional|provider))"
    r"|\bseek (?:\w+ ){0,2}medical (?:advice|attention|care|help)"
    r"|\bas an ai\b|\bi(?:'m| am) (?:not a doctor|an ai)\b",
    re.IGNORECASE,
)


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


def distinct_trigrams(text: str) -> float | None:
    """Share of a text's runs of three words that are distinct (Li et al. 2016); None where there is no such run."""
    runs = _runs(words(text), 3)
    return len(set(runs)) / len(runs) if runs else None


def copies_prompt(text: str, prompt: str) -> bool:
    """Whether at least half of a text's runs of eight words stand in its prompt; all its words, if it has fewer."""
    said = words(text)
    if not said:
        return False
    size = min(_COPIED_RUN, len(said))
    runs, known = _runs(said, size), set(_runs(words(prompt), size))
    return sum(run in known for run in runs) >= _COPIED_SHARE * len(runs)


def has_disclaimer(text: str) -> bool:
    """Whether a text sends the reader to a professional or says that it is no medical advice; by its wording."""
    return bool(_DISCLAIMER.search(text))


def _runs(said: list[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(said[start : start + size]) for start in range(len(said) - size + 1)]
