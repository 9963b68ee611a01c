"""Extracts the letter of the chosen option from a generated answer."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import NamedTuple

_MOST_CHARACTERS = 20_000  # of a response, from its end: what is decided stands there
_BEFORE = 60  # characters searched before a mention
_WORDS = Path(__file__).resolve().parent / "answer_words.txt"
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019", "'"),
        **dict.fromkeys("\u201c\u201d\u00ab\u00bb\u300c\u300d", '"'),
        **dict.fromkeys("\u2012\u2013\u2014\u2015", " - "),
        **dict.fromkeys("\u2192\u21d2", "="),
        **dict(zip("\u3001\u3002\u3010\u3011", ",.[]", strict=True)),
    }
)
_BOXED = re.compile(r"\\boxed[ \t]{0,3}\{(?:[ \t]{0,3}\\[a-z]{4,6}[ \t]{0,3}\{)?([^{}\n]{1,200})\}{1,2}")
_TAGGED = re.compile(r"<(?:final[_ -]?)?answer>\s{0,5}([^<\n]{1,200})(?:</|$)", re.IGNORECASE | re.MULTILINE)
_MARKUP = re.compile(
    r"</?[A-Za-z][\w-]{0,30}>|\\[A-Za-z]{1,20}|\\[()\[\]]|[{}$*`_]|^[ \t]{0,3}#{1,6}[ \t]", re.MULTILINE
)


# A letter may stand next to a Chinese one, but not within a word or a number of a script like Latin.
_INSIDE = "A-Za-z0-9\u00c0-\u024f"
_FIRST, _LAST = rf"(?<![{_INSIDE}])", rf"(?![{_INSIDE}])"


def _words(kind: str) -> str:
    """Alternatives of a regular expression: the words of a kind, with a boundary behind those of Latin letters."""
    lines = _WORDS.read_text(encoding="utf-8").splitlines()
    every = sorted((word for line in lines if line.startswith(f"{kind}: ") for word in line.split()[1:]), key=len)
    ends = (_LAST if re.search(rf"[{_INSIDE}]$", word) else "" for word in reversed(every))
    return "|".join(re.escape(word) + end for word, end in zip(reversed(every), ends, strict=True))


_FILL = r"[^\w.!?\n]{0,12}"
_MODAL = r"(?:would|should|must|will|has to|seems to|appears to) be"
_ADVERB = (
    r"(?:therefore|thus|clearly|indeed|simply|probably|definitely|(?:most |very )?likely|hence|also|the"
    r"|(?:answer )?choice|option|letter|answer|correct)"
)
_STATED = re.compile(
    rf"(?:{_FIRST}(?:{_words('nouns')})(?:[ \t]{{1,3}}(?:correct\w{{0,3}}|corr?etta|letter))?"
    rf"(?:[\"')\]]{{0,2}}[ \t]{{0,3}}[:=-]\s{{0,3}}|\s{{0,3}}(?:{_words('verbs')}|{_MODAL}{_LAST})[ \t]{{0,3}}:?"
    rf"|'s{_LAST}|[ \t]{{0,3}}\n\s{{0,3}})"
    rf"|{_FIRST}(?:i|we)(?:'d| would| will)?[ \t]+(?:choose|select|pick|say|answer|go with|conclude){_LAST}:?"
    rf"|{_FIRST}it(?:'s| is){_LAST}|(?:{_words('choosing')}):?)"
    rf"(?P<between>{_FILL}(?:{_ADVERB}{_LAST}:?{_FILL}){{0,3}})",
    re.IGNORECASE,
)
# A letter as an answer, by what comes after it: "the answer is a combination" has none.
_REASON = r"(?:because|since|as|due|given|based|which|for|so|and (?:not|the|this|it)|but|if|is|with|by|from|in|on)"
_LETTER = re.compile(
    rf"{_FIRST}(?:([A-Za-z]){_LAST}(?![-'][A-Za-z])(?=[ \t]{{0,3}}(?:$|[^\w \t]|[^\x00-\u024f]))"
    rf"|([A-Z])(?=[ \t]{{1,3}}{_REASON}{_LAST}))",
    re.MULTILINE,
)
_BEFORE_TEXT = re.compile(rf"([A-Z]){_LAST}[).:\]]{{0,2}}[ \t]{{1,3}}")
_GENUS = re.compile(r"\.[ \t]{0,2}[a-z]")  # E. coli, A. fumigatus
_MORE = re.compile(
    rf"[)\]\"']{{0,2}}[ \t]{{0,3}}(?:[,/&+]|(?:and|or|und|oder|y|o|et|ou){_LAST})[ \t]{{0,3}}[(\[]?([A-Z]){_LAST}(?!')"
)
_LISTED = re.compile(r"^[^\w\n]{0,6}([A-Z])[).:\]][ \t]+\S.*$", re.MULTILINE)
_START = re.compile(
    rf"\A[^\w]{{0,12}}(?:(?:{_words('nouns')})[ \t]{{1,3}})?[(\[\"']{{0,2}}(?=[A-Za-z]{_LAST})", re.IGNORECASE
)
_MARKED = re.compile(
    rf"[(\[]([A-Z])[)\]]|^[^\w\n]{{0,6}}([A-Za-z])[^\w\n]{{0,6}}$"
    rf"|{_FIRST}(?i:option|choice|answer|letter)[ \t]{{1,3}}[\"'(\[]{{0,2}}([A-Z]){_LAST}(?!')",
    re.MULTILINE,
)
# Right before a mention: negates it, or makes it hypothetical. Right after it: rejects it.
_NEGATED = re.compile(
    r"(?:\b(?:not|cannot|never|than|instead of|excludes?|rules? out|nicht|pas)|n't)(?:\s+(?:be|an?|the|answer|option))*"
    r"\W{0,4}$",
    re.IGNORECASE,
)
_HYPOTHETICAL = re.compile(r"\b(?:whether|unless|if)(?:\s+(?:the|my|your|final|correct|right))*\s*$", re.IGNORECASE)
_REJECTED = re.compile(
    r"[^.!?\n]{0,60}?(?:\b(?:is|are|was|would be|seems)\s+(?:\w+\s+)?(?:not|incorrect|inappropriate|wrong|false"
    r"|unlikely)\b|\b(?:isn|aren|wouldn|doesn)'t\b)",
    re.IGNORECASE,
)


class _Mention(NamedTuple):
    """An option named in a response.

    Attributes:
        letter: Its letter, or None if several are named together.
    """

    letter: str | None


def letter_of(response: str, options: Sequence[str]) -> str | None:
    r"""The letter of the option that a response chooses, or None if it chooses none or several.

    The first of these that is in the response decides, and of several its last one: a statement such as `Answer: B`,
    `the answer is (B)`, `\boxed{B}` or the same before an option's text, also in other languages; the letter at the
    start of the response; a letter alone in parentheses, on a line or after `option`; an option's text, word for word.
    Statements that are negated (`the answer is not B`) or hypothetical (`if the answer is B`) do not count, nor do
    letters that no option has, and `A` and `I` in running text.

    Args:
        response: The response without its reasoning.
        options: The options in the order in which they were shown.

    Examples:
        >>> letter_of("A patient with this history needs rest. Answer: **B**", ["Surgery", "Rest"])
        'B'
        >>> letter_of("A patient with this history needs care.", ["Surgery", "Rest"]) is None
        True
    """
    text = response[-_MOST_CHARACTERS:]
    text = _TAGGED.sub(r"\nanswer: \1\n", _BOXED.sub(r"\nanswer: \1\n", text))
    text = _plain(text)
    if len({match[1] for match in _LISTED.finditer(text)}) > 1:  # the response repeats the options
        text = _LISTED.sub("", text)
    reader = _Reader(text, options)
    for mentions in (reader.stated, reader.leading, reader.marked, reader.written_out):
        every = list(mentions())
        if every:
            return every[-1].letter
    return None


class _Reader:
    """Finds the options that a text names."""

    def __init__(self, text: str, options: Sequence[str]) -> None:
        self._text = text
        self._options = [" ".join(_plain(option).split()).rstrip(".") for option in options]
        self._letters = ascii_uppercase[: len(options)]
        counts = Counter(option.casefold() for option in self._options)
        unique = [option for option in self._options if option and counts[option.casefold()] == 1]
        by_length = sorted(unique, key=len, reverse=True)
        alternatives = "|".join(r"\s+".join(map(re.escape, option.split())) for option in by_length)
        self._written = re.compile(rf"(?<!\w)(?:{alternatives or '(?!)'})(?!\w)", re.IGNORECASE)

    def stated(self) -> Iterator[_Mention]:
        """Statements such as `the answer is B` or `the answer is aspirin`."""
        for match in _STATED.finditer(self._text):
            if self._is_before(match.start(), _HYPOTHETICAL) or self._is_before(match.end(), _NEGATED):
                continue
            places = range(match.start("between"), match.end() + 1)  # an option may begin with `>` or `the`
            written = next(filter(None, (self._written.match(self._text, place) for place in places)), None)
            if written and len(written[0]) > 1:
                yield _Mention(self._letter_of_option(written[0]))
            elif mention := self._letter_at(match.end()):
                yield mention

    def leading(self) -> Iterator[_Mention]:
        """The letter at the start, unless it is rejected."""
        start = _START.match(self._text)
        mention = self._letter_at(start.end()) if start else None
        if start and mention and not _REJECTED.match(self._text, start.end() + 1):
            yield mention

    def marked(self) -> Iterator[_Mention]:
        """Letters in parentheses, alone on a line or after `option`, unless they are rejected."""
        for match in _MARKED.finditer(self._text):
            letter = (match[1] or match[2] or match[3]).upper()
            if letter in self._letters and not self._is_rejected(match):
                yield _Mention(letter)

    def written_out(self) -> Iterator[_Mention]:
        """Texts of options."""
        for match in self._written.finditer(self._text):
            if len(match[0]) > 1 and not self._is_rejected(match):
                yield _Mention(self._letter_of_option(match[0]))

    def _letter_at(self, place: int) -> _Mention | None:
        """The letter at a place, if it stands for an option."""
        before_text = _BEFORE_TEXT.match(self._text, place)
        if before_text and self._is_text_of(before_text[1], before_text.end()):
            return _Mention(before_text[1])
        match = _LETTER.match(self._text, place)
        letter = (match[1] or match[2]).upper() if match else ""
        if match is None or letter not in self._letters or _GENUS.match(self._text, match.end()):
            return None
        more = _MORE.match(self._text, match.end())
        return _Mention(None if more and more[1] in self._letters and more[1] != letter else letter)

    def _is_text_of(self, letter: str, place: int) -> bool:
        """Whether the text of a letter's option comes at a place."""
        option = self._options[self._letters.index(letter)] if letter in self._letters else ""
        rest = " ".join(self._text[place : place + 2 * len(option)].split())
        return bool(option) and rest.casefold().startswith(option.casefold())

    def _letter_of_option(self, text: str) -> str:
        plain = " ".join(text.split()).casefold()
        return self._letters[[option.casefold() for option in self._options].index(plain)]

    def _is_rejected(self, match: re.Match[str]) -> bool:
        return self._is_before(match.start(), _NEGATED) or _REJECTED.match(self._text, match.end()) is not None

    def _is_before(self, start: int, pattern: re.Pattern[str]) -> bool:
        return bool(pattern.search(self._text[max(0, start - _BEFORE) : start]))


def _plain(text: str) -> str:
    """A text without markup, its letters and punctuation in their usual width."""
    return _MARKUP.sub("", unicodedata.normalize("NFKC", text.translate(_PLAIN)).translate(_PLAIN))
