"""Splits questions for comparison into sentences, answer options, and words without inflection."""

# ruff: noqa: RUF001 - full-width punctuation and Cyrillic letters are meant

from __future__ import annotations

import functools
import re
import unicodedata
from typing import NamedTuple

import regex

from tasks.overlap.word_lists import NUMBER_WORDS, UNSPACED_FRAME
from tasks.words import words

UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}ー\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
_KATAKANA = regex.compile(r"[\p{Katakana}ー]\p{M}*")
# Characters per word on average: about 1.6 in Chinese, 2.5 in kana, 4 in Thai, Lao, Khmer and Burmese.
_PER_CHARACTER = ((regex.compile(r"\p{Han}"), 1 / 1.6), (regex.compile(r"[\p{Hiragana}\p{Katakana}ー]"), 1 / 2.5))
_OTHER_UNSPACED = 1 / 4

_MARKS = re.compile("[\u0300-\u036f\u064b-\u065f\u0670\u0640]")  # accents, Arabic vowel signs and lengthening
_ARABIC_LETTERS = str.maketrans("أإآىة", "ااايه")
_ARABIC_ARTICLE = re.compile("^(?:وال|بال|كال|فال|لل|ال)(?=.{3})")
_RUSSIAN_END = re.compile(
    "(?<=.{3})(?:ами|ями|ого|его|ому|ему|ыми|ими|иями|ым|им|ых|их|ах|ях|ов|ев|еи|ои|ии|ыи|ая|яя|ое|ее|ые|ие|ую|юю|ом|ем|ам|ям|ию|ия|"
    "ью|[аеиоуыьюя])$"
)
_KOREAN_PARTICLE = re.compile("(?<=..)(?:에서|에게|으로|은|는|이|가|을|를|의|에|로|와|과|도|만)$")
_BRITISH = ((re.compile("ae|oe"), "e"), (re.compile("our(?=s?$)"), "or"), (re.compile("is(?=e|ing|ation)"), "iz"))
_NUMBER = rf"(?:\d+(?:[.,]\d+)?|(?:(?:{'|'.join(sorted(NUMBER_WORDS))})[\s-]*){{1,4}})"
_AGE = re.compile(
    rf"(?<!over )(?<!under )(?<!than )(?<!above )(?<!below )(?<!least )\b{_NUMBER}[\s-]*"
    r"(?:years?|months?|weeks?|days?)[\s-]*old\b"
    rf"|\b{_NUMBER}[\s-]*(?:yo|y/o)\b|\baged {_NUMBER}(?: years)?\b(?! (?:and|or) (?:over|older|under|younger))"
    r"|(?<!до )(?<!старше )\b\d+(?:[\s-]*лет(?:ний|няя|него|ней|нему)|\s*лет\b)"
    r"|[\d一二三四五六七八九十两百]+\s*[岁歳](?!以[上下内]|未[満满])",
    re.IGNORECASE,
)
_CONTRACTION = re.compile("n['\u2019]t\\b|(?<=can)not\\b", re.IGNORECASE)
_ELISION = re.compile("['\u2019]s\\b|\\b(?:[ldnsjmtc]|qu)['\u2019](?=\\w)", re.IGNORECASE)  # `patient's`, `l'asthme`
_OPTION = re.compile(r"(?:^|(?<=[\s.?!:;,。？！：；，]))[(（]?([A-Ha-h1-8])[.):、．）：]\s*(?=\S)")
_BULLET = re.compile(r"\n\s*[-*\u2022\u2013]\s+(?=\S)")
_LISTED = re.compile(r"\b(?:options|choices|answers|варианты)\s*:\s*|(?:选项|選項|選択肢)\s*[:：]\s*", re.IGNORECASE)
_BETWEEN_LISTED = re.compile(r"[,;/|，；、\n]\s*(?:and |or )?")
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+|(?<=[。？！])|(?<=[؟])\s*|\n+")
_FRAME = re.compile("|".join(map(re.escape, UNSPACED_FRAME)))
_COMPARISON = re.compile("[<>≤≥]=?")


class Question(NamedTuple):
    """A question without its answer options, and the options."""

    stem: str
    options: tuple[str, ...] = ()


def split_options(text: str) -> Question:
    """Stem and options of a question with options as A, B, C or 1, 2, 3, with dashes, or after `Options:`."""
    marks = list(_OPTION.finditer(text))
    for number, first in enumerate(marks):
        if first[1] not in "Aa1":
            continue
        row = [first]
        for mark in marks[number + 1 :]:
            if ord(mark[1]) == ord(row[-1][1]) + 1:
                row.append(mark)
        if len(row) > 1 and first.start() > 0:
            ends = [mark.start() for mark in row[1:]] + [len(text)]
            options = tuple(text[mark.end() : end].strip() for mark, end in zip(row, ends, strict=True))
            return Question(text[: first.start()].strip(), options)
    stem, *options_of = _BULLET.split(text)
    if len(options_of) < 2 and (heading := _LISTED.search(text)):  # noqa: PLR2004 - one is no choice
        stem, options_of = text[: heading.start()], _BETWEEN_LISTED.split(text[heading.end() :])
    return Question(stem.strip(), tuple(options_of)) if len(options_of) > 1 else Question(text)


def comparison_signs(text: str) -> list[str]:
    """The comparison signs of a text, which `words` drops: `TSH < 5` is not `TSH > 5`."""
    return _COMPARISON.findall(text if text.isascii() else unicodedata.normalize("NFKC", text))


def sentences(text: str) -> list[str]:
    """The sentences of a text that have a word."""
    return [sentence for sentence in _SENTENCE_END.split(text) if words(sentence)]


def compared_words(text: str) -> list[str]:
    """The words for comparing questions: without the age of a patient, `n't` as `not`, katakana words unsplit.

    Frame words (`what`, `should`, `patient`) are removed from unspaced text, since its single characters do not show
    them.
    """
    plain = _CONTRACTION.sub(" not", " ".join(unicodedata.normalize("NFKC", text).split()))
    plain = _AGE.sub(" ", _ELISION.sub(" ", plain))
    if UNSPACED.search(plain):
        plain = _FRAME.sub(" ", plain)
    joined: list[str] = []
    was_katakana = False
    for word in words(plain):
        is_katakana = _KATAKANA.fullmatch(word) is not None
        if is_katakana and was_katakana:
            joined[-1] += word
        else:
            joined.append(word)
        was_katakana = is_katakana
    return joined


@functools.lru_cache(maxsize=1 << 18)
def folded(word: str) -> str:
    """A word without accents, inflection, Arabic article and British spelling; digits are unchanged."""
    if word.isascii():
        return _without_ending(_american(word)) if word.isalpha() else word
    bare = word if UNSPACED.match(word) else _MARKS.sub("", unicodedata.normalize("NFD", word))
    bare = unicodedata.normalize("NFC", bare)
    if not bare.isalpha() or UNSPACED.match(bare):
        return word
    bare = bare.translate(_ARABIC_LETTERS)
    if "\u0400" <= bare[0] <= "\u04ff":
        return _RUSSIAN_END.sub("", bare)
    if "\uac00" <= bare[0] <= "\ud7a3":
        return _KOREAN_PARTICLE.sub("", bare)
    if "\u0600" <= bare[0] <= "\u06ff":
        return _ARABIC_ARTICLE.sub("", bare)
    return _without_ending(_american(bare))


def _american(word: str) -> str:
    """An English word in American spelling: `anaemia` as `anemia`, `tumour` as `tumor`."""
    for pattern, american in _BRITISH:
        word = pattern.sub(american, word)
    return word


def _without_ending(word: str) -> str:
    """An English word without plural, past tense and -ing, by a few rules: `studied` gives `study`."""
    least = 4
    for ending, replacement in (("ies", "y"), ("ied", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""), ("e", "")):
        if word.endswith(ending) and len(word) - len(ending) >= least - len(replacement):
            if ending == "s" and word.endswith(("ss", "us", "is")):
                return word[:-2] if word.endswith("sis") else word
            stem = word[: -len(ending)] + replacement
            return stem[:-1] if len(stem) > least and stem[-1] == stem[-2] and ending in ("ing", "ed") else stem
    return word


def word_length(tokens: list[str]) -> float:
    """Tokens per word on average: 1 in spaced scripts, more if each character is a token."""
    if not tokens:
        return 1.0
    n_words = 0.0
    for token in tokens:
        if UNSPACED.match(token) is None:
            n_words += 1
        else:
            n_words += next((part for pattern, part in _PER_CHARACTER if pattern.match(token)), _OTHER_UNSPACED)
    return len(tokens) / n_words
