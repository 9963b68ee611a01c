"""Decides whether two questions are the same in other words, or differ in a decisive word."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from tasks.overlap.tokens import UNSPACED, Question, compared_words, comparison_signs, folded, sentences, split_options
from tasks.overlap.word_lists import (
    CONFUSABLE,
    COORDINATION,
    DECISIVE_CHARACTERS,
    DECISIVE_WORDS,
    FRAME_WORDS,
    FUNCTION_WORDS,
    OPENING_WORDS,
)
from tasks.words import words as words_of

_LONGEST = 6000  # characters, and
_MOST_WORDS = 1000  # words: the time is the product of both lengths, and long texts share runs of words anyway
_FOR_A_WORD = 3  # shared content words that allow one more content word,
_FOR_A_TYPO = 1  # one misspelt word,
_FOR_ANOTHER = 8  # and each further one
_SHORTEST_MISSPELT = 6  # letters; shorter words differ in one letter by chance, such as `ileum` and `ilium`
_LONG_TEXT = 20  # content words that two descriptions of a patient share, and
_SHARED_OF_LONG = 0.9  # share of all words from which they are copies, whatever the other words are
_MOST_CHARACTERS = 2  # unspaced characters that a change may add
_ALIKE = 0.5  # share of equal words from which two questions are from one template
_LABEL = re.compile("[a-z]|[ivx]{2,4}")  # a letter or Roman numeral as a name, as in vitamin K or factor XI
_ARABIC_PREFIXES = "وفبلك"  # and, so, by, for, as: written together with the next word

Verdict = Literal["same", "decisive", "unrelated"]


class _Change(NamedTuple):
    """Words of one text that the other text does not have in this position."""

    ours: Sequence[str]
    theirs: Sequence[str]


def compare_questions(one: str, other: str) -> Verdict:
    """Whether two questions are the same except for the wording.

    The words of both are aligned without inflection (longest common blocks, Ratcliff and Obershelp 1988). The same
    question may differ in function words and frame words, in the order of options or phrases, in the age of a patient,
    in one misspelt word, and in one additional content word. A replaced content word, and any negation, number,
    comparison sign or qualifier such as sex, side and course, makes a different question, since question sets are full
    of templates. In descriptions of a patient that share at least 20 content words, one word in ten may change if the
    final question is the same.

    Args:
        one: A question, with its answer options if it has any.
        other: The other question.

    Returns:
        `same`; `decisive` if they are alike except for words that make a different question; else `unrelated`.
    """
    if max(len(one), len(other)) > _LONGEST:
        return "unrelated"
    first, second = (split_options(unicodedata.normalize("NFKC", text)) for text in (one, other))
    words, others = compared_words(first.stem), compared_words(second.stem)
    if max(len(words), len(others)) > _MOST_WORDS:
        return "unrelated"
    if bool(first.options) != bool(second.options) and sum(map(_is_content, words)) < _FOR_A_WORD:
        return "unrelated"  # such as `Which of these is true?`, which is incomplete without its options
    verdict = _compare(words, others)
    if verdict != "same" and _same_description(first.stem, second.stem):
        verdict = "same"
    if verdict == "same":
        same_signs = comparison_signs(first.stem) == comparison_signs(second.stem)
        same_options = not (first.options and second.options) or _same_options(first, second)
        return "same" if same_signs and same_options else "decisive"
    return verdict


def shared_words(one: str, other: str) -> float:
    """Share of the words of two texts that they have in common, in any order, from 0 to 1 (Dice 1945)."""
    ours, theirs = Counter(words_of(one)), Counter(words_of(other))
    return 2 * (ours & theirs).total() / (ours.total() + theirs.total())


def _same_options(first: Question, second: Question) -> bool:
    """Whether two questions have the same options, in any order."""
    left = [compared_words(option) for option in second.options]
    for option in first.options:
        words = compared_words(option)
        place = next((n for n, other in enumerate(left) if other == words or _compare(words, other) == "same"), None)
        if place is None:
            return False
        del left[place]
    return not left


def _same_description(one: str, other: str) -> bool:
    """Whether two long descriptions are copies that ask the same."""
    first, second = sentences(one), sentences(other)
    if min(len(first), len(second)) < 2:  # noqa: PLR2004 - a description and the question about it
        return False
    if _compare(compared_words(first[-1]), compared_words(second[-1])) != "same":
        return False
    words, others = (compared_words(" ".join(description)) for description in (first[:-1], second[:-1]))
    blocks = _matcher(words, others)
    shared = sum(size for _, _, size in blocks.get_matching_blocks())
    content = sum(
        _is_content(word) for start, _, size in blocks.get_matching_blocks() for word in words[start : start + size]
    )
    return content >= _LONG_TEXT and 2 * shared / (len(words) + len(others)) >= _SHARED_OF_LONG


def _matcher(words: Sequence[str], others: Sequence[str]) -> difflib.SequenceMatcher[str]:
    return difflib.SequenceMatcher(None, [*map(folded, words)], [*map(folded, others)], autojunk=False)


def _compare(words: Sequence[str], others: Sequence[str]) -> Verdict:
    """Compare two stems or options by their words."""
    blocks = _matcher(words, others)
    kept = [word for start, _, size in blocks.get_matching_blocks() for word in words[start : start + size]]
    share = 2 * len(kept) / max(1, len(words) + len(others))
    shared = sum(_weight(word) for word in kept if _is_content(word))
    changes = [_Change(words[a:b], others[c:d]) for kind, a, b, c, d in blocks.get_opcodes() if kind != "equal"]
    changes, moved = _without_moved(changes)
    costs = [_cost(change) for change in changes]
    if shared + moved < 1:
        return "same" if not changes else "unrelated"
    if None in costs:
        return "decisive" if share >= _ALIKE else "unrelated"
    typos, more = (sum(column) for column in zip((0, 0), *(cost for cost in costs if cost), strict=True))
    kept_content = shared + moved
    further = int(kept_content // _FOR_ANOTHER)
    is_same = more <= (kept_content >= _FOR_A_WORD) + further and typos <= (kept_content >= _FOR_A_TYPO) + further
    return "same" if is_same else "unrelated"


def _weight(word: str) -> float:
    """Weight of a shared word: an unspaced character counts half a word."""
    return 0.5 if UNSPACED.match(word) and len(word) == 1 else 1.0


def _is_function(word: str) -> bool:
    return word in FUNCTION_WORDS or folded(word) in FUNCTION_WORDS


def _is_frame(word: str) -> bool:
    return word in FRAME_WORDS or folded(word) in FRAME_WORDS


def _is_content(word: str) -> bool:
    return not _is_frame(word) and not _is_function(word)


def _without_moved(changes: Sequence[_Change]) -> tuple[list[_Change], float]:
    """(changes without phrases that moved to another position, weight of the moved content words)."""
    bare = [_Change(*map(_without_opening, change)) for change in changes]
    removed = [tuple(change.ours) for change in bare if change.ours and not change.theirs]
    added = [tuple(change.theirs) for change in bare if change.theirs and not change.ours]
    moved = set(removed) & set(added)
    kept = [
        change
        for change, phrase in zip(changes, bare, strict=True)
        if (phrase.ours and phrase.theirs) or tuple(phrase.ours or phrase.theirs) not in moved
    ]
    return kept, sum(_weight(word) for phrase in moved for word in phrase if _is_content(word))


def _without_opening(words: Sequence[str]) -> Sequence[str]:
    """Words without the opening words of a question at either end."""
    inner = [place for place, word in enumerate(words) if word not in OPENING_WORDS]
    return words[inner[0] : inner[-1] + 1] if inner else ()


def _cost(change: _Change) -> tuple[int, int] | None:
    """(misspelt words, added content words) of a change; None if it makes a different question."""
    if all(map(_is_unspaced, (*change.ours, *change.theirs))):
        return _cost_of_characters("".join(change.ours), "".join(change.theirs))
    ours, theirs = ([word for word in side if not _is_function(word)] for side in change)
    if _same_when_joined(ours, theirs):
        return 0, 0
    if (typos := _typos(ours, theirs)) is not None:
        return typos, 0
    ours, theirs = ([word for word in side if not _is_frame(word)] for side in (ours, theirs))
    if ours and theirs:
        typos = _typos(ours, theirs)
        return None if typos is None else (typos, 0)
    added = ours or theirs
    joins = any(word in COORDINATION for side in change for word in side)
    if any(map(_is_decisive, added)) or (added and joins):
        return None
    return 0, len(added)


def _typos(ours: Sequence[str], theirs: Sequence[str]) -> int | None:
    """Number of typos between two equally long sequences of words; None if they differ otherwise."""
    if len(ours) != len(theirs) or not all(map(_is_typo, ours, theirs)):
        return None
    return sum(folded(one) != folded(other) for one, other in zip(ours, theirs, strict=True))


def _is_unspaced(word: str) -> bool:
    return UNSPACED.match(word) is not None


def _cost_of_characters(ours: str, theirs: str) -> tuple[int, int] | None:
    """The same for unspaced characters: one replaced character, or up to two added ones."""
    longest = max(len(ours), len(theirs))
    if longest > _MOST_CHARACTERS or any(character in DECISIVE_CHARACTERS for character in ours + theirs):
        return None
    if ours and theirs:
        return (1, 0) if longest == 1 else None
    return 0, 1


def _is_decisive(word: str) -> bool:
    return (
        word in DECISIVE_WORDS
        or folded(word) in DECISIVE_WORDS
        or any(map(str.isdigit, word))
        or _LABEL.fullmatch(word) is not None
    )


def _same_when_joined(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether words differ in spaces and hyphens only, such as `first-line` and `firstline`, and no numbers do."""
    numbers = [re.findall(r"\d+", " ".join(side)) for side in (ours, theirs)]
    return "".join(ours) == "".join(theirs) and numbers[0] == numbers[1]


def _is_typo(one: str, other: str) -> bool:
    """Whether one word is a misspelling of the other: one letter more, less, replaced or swapped with the next.

    The first letter must be the same, since `typical` and `atypical` differ in it; terms one letter apart are listed.
    """
    if folded(one) == folded(other) or _differ_by_prefix(one, other):
        return True
    short, long = sorted((one, other), key=len)
    if len(long) < _SHORTEST_MISSPELT or len(long) - len(short) > 1 or short[0] != long[0]:
        return False
    if not (one.isalpha() and other.isalpha()) or frozenset((one, other)) in CONFUSABLE:
        return False
    if _is_decisive(one) and _is_decisive(other):
        return False
    start = next((n for n, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) < len(long):
        return short[start:] == long[start + 1 :]
    rest = short[start + 1 :] == long[start + 1 :]
    exchanged = short[start : start + 2] == long[start : start + 2][::-1] and short[start + 2 :] == long[start + 2 :]
    return rest or exchanged


def _differ_by_prefix(one: str, other: str) -> bool:
    """Whether the words differ in a one-letter Arabic preposition or conjunction only."""
    short, long = sorted((folded(one), folded(other)), key=len)
    return len(short) > 2 and long[1:] == short and long[0] in _ARABIC_PREFIXES  # noqa: PLR2004 - a root has three letters
