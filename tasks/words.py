"""One definition of a word, for every script, shared by ROUGE-L, lengths, repetition, copying and leakage.

A word is a run of letters, combining marks and digits; everything else separates words. So `don't` is two words,
`3.5` is two, `10mg` and `10 mg` differ, and `beta-blocker` is two: on ASCII text exactly the tokens of `rouge_score`
(Lin 2004), which keeps published ROUGE values comparable. Scripts written without spaces between words (Chinese,
Japanese, Thai, Lao, Khmer, Burmese) give one word per letter with its marks, as in character-based ROUGE (Hu et al.
2015, LCSTS); their digits stay together.
"""

from __future__ import annotations

import re
import unicodedata

import regex

_UNSPACED = r"[[\p{Han}\p{Hiragana}\p{Katakana}ー\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]&&[\p{L}\p{Nl}]]"
_SPACED = rf"[[\p{{L}}\p{{N}}]--{_UNSPACED}]"
_WORD = regex.compile(rf"{_UNSPACED}\p{{M}}*|{_SPACED}(?:{_SPACED}|\p{{M}})*", regex.V1)
_WORD_OR_SYMBOL = regex.compile(rf"{_WORD.pattern}|\S", regex.V1)
_ASCII_WORD = re.compile("[a-z0-9]+")

# Joiners, soft hyphens, variation selectors and direction marks occur within words, the zero-width space between words.
_INVISIBLE = regex.compile(r"[\p{Default_Ignorable_Code_Point}--[\u200b]]+", regex.V1)
# Real text never has more marks on one letter (Unicode Standard Annex 15, stream-safe text), and normalisation sorts
# them in quadratic time.
_TOO_MANY_MARKS = regex.compile(r"(?<=\p{M}{30})\p{M}+")


def words(text: str) -> list[str]:
    """Words of a text without case, punctuation and letter variants, in linear time.

    Letters are compared after Unicode NFKC and case folding (Unicode Standard Annex 15; Unicode Standard, section
    3.13), so that composed and decomposed accents, full-width letters and `ß` and `SS` are alike.

    Args:
        text: Any text.

    Returns:
        The words in order, with repetitions.

    Example:
        >>> words("Müller: 3.5 mg, don't!")
        ['müller', '3', '5', 'mg', 'don', 't']
        >>> words("首选NSAID治疗")
        ['首', '选', 'nsaid', '治', '疗']
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())  # the same result, several times faster
    return list(_WORD.findall(_folded(text)))


def words_and_symbols(text: str) -> list[str]:
    """Words of a text and all its other characters except white space, in order.

    Example:
        >>> words_and_symbols("No!! (3.5 mg)")
        ['no', '!', '!', '(', '3', '.', '5', 'mg', ')']
    """
    return list(_WORD_OR_SYMBOL.findall(_folded(text)))


def _folded(text: str) -> str:
    """A text without differences in case and letter variants."""
    bounded = _TOO_MANY_MARKS.sub("", _INVISIBLE.sub("", text))
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", bounded).casefold())
