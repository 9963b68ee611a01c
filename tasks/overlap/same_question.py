"""Decides whether two questions are the same question in other words, or differ in the word that matters."""

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
_MOST_WORDS = 1000  # words; comparing takes the product of two lengths, and long texts have runs of words in common
_FOR_A_WORD = 3  # shared content words for the first content word more,
_FOR_A_SLIP = 1  # and for the first misspelt one;
_FOR_ANOTHER = 8  # for each further one
_SHORTEST_MISSPELT = 6  # letters; shorter words are one letter apart by chance, as `ileum` and `ilium`
_LONG_TEXT = 20  # content words shared by two descriptions of a patient, of which
_SHARED_OF_LONG = 0.9  # this share of words makes them copies, whatever the rest says
_MOST_CHARACTERS = 2  # of unspaced text that a change may add
_ALIKE = 0.5  # share of equal words from which two questions are of one template
_LABEL = re.compile("[a-z]|[ivx]{2,4}")  # a type in letters or Roman numerals, such as vitamin K or factor XI
_ARABIC_PREFIXES = "وفبلك"  # `and`, `so`, `by`, `for`, `as`, written together with the next word

Verdict = Literal["same", "decisive", "unrelated"]


class _Change(NamedTuple):
    """Words of one text that the other does not have in that place."""

    ours: Sequence[str]
    theirs: Sequence[str]


def compare_questions(one: str, other: str) -> Verdict:
    """Whether two questions are the same but for wording.

    The words of both are aligned without inflection (longest common blocks, Ratcliff and Obershelp 1988). The same
    question may differ in function words and words of a question's frame, in the order of its options or of whole
    phrases, in a patient's age, in one misspelt word, and in one content word more. A content word in another's place,
    and any negation, number, comparison sign or qualifier such as sex, side and course, makes another question, since
    question sets are full of templates. Of a description of a patient with at least 20 content words in common,
    one in ten may change, if the sentence that asks stays the same.

    Args:
        one: A question, with its answer options where it has such.
        other: Another.

    Returns:
        `same`; `decisive` where they are alike but for words that make another question; else `unrelated`.
    """
    if max(len(one), len(other)) > _LONGEST:
        return "unrelated"
    first, second = (split_options(unicodedata.normalize("NFKC", text)) for text in (one, other))
    words, others = compared_words(first.stem), compared_words(second.stem)
    if max(len(words), len(others)) > _MOST_WORDS:
        return "unrelated"
    if bool(first.options) != bool(second.options) and sum(map(_is_content, words)) < _FOR_A_WORD:
        return "unrelated"  # such as `Which of these is true?`, which asks nothing without its options
    verdict = _compare(words, others)
    if verdict != "same" and _same_description(first.stem, second.stem):
        verdict = "same"
    if verdict == "same":
        same_signs = comparison_signs(first.stem) == comparison_signs(second.stem)
        same_options = not (first.options and second.options) or _same_options(first, second)
        return "same" if same_signs and same_options else "decisive"
    return verdict


def shared_words(one: str, other: str) -> float:
    """Share of all words of two texts that they have in common, whatever their order, from 0 to 1 (Dice 1945)."""
    ours, theirs = Counter(words_of(one)), Counter(words_of(other))
    return 2 * (ours & theirs).total() / (ours.total() + theirs.total())


def _same_options(one: Question, other: Question) -> bool:
    """Whether two questions have the same options, in any order."""
    left = [compared_words(option) for option in other.options]
    for option in one.options:
        words = compared_words(option)
        place = next((n for n, each in enumerate(left) if each == words or _compare(words, each) == "same"), None)
        if place is None:
            return False
        del left[place]
    return not left


def _same_description(one: str, other: str) -> bool:
    """Whether two long descriptions are copies that ask the same."""
    first, second = sentences(one), sentences(other)
    if min(len(first), len(second)) < 2:  # noqa: PLR2004 - a description and what is asked of it
        return False
    if _compare(compared_words(first[-1]), compared_words(second[-1])) != "same":
        return False
    words, others = (compared_words(" ".join(each[:-1])) for each in (first, second))
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
    slips, more = (sum(column) for column in zip((0, 0), *(cost for cost in costs if cost), strict=True))
    kept_content = shared + moved
    further = int(kept_content // _FOR_ANOTHER)
    is_same = more <= (kept_content >= _FOR_A_WORD) + further and slips <= (kept_content >= _FOR_A_SLIP) + further
    return "same" if is_same else "unrelated"


def _weight(word: str) -> float:
    """What a shared word counts: a character of unspaced text half a word."""
    return 0.5 if UNSPACED.match(word) and len(word) == 1 else 1.0


def _is_function(word: str) -> bool:
    return word in FUNCTION_WORDS or folded(word) in FUNCTION_WORDS


def _is_frame(word: str) -> bool:
    return word in FRAME_WORDS or folded(word) in FRAME_WORDS


def _is_content(word: str) -> bool:
    return not _is_frame(word) and not _is_function(word)


def _without_moved(changes: Sequence[_Change]) -> tuple[list[_Change], float]:
    """(the changes without phrases taken out in one place and put in, word by word, in another; words so moved)."""
    bare = [_Change(*map(_without_opening, change)) for change in changes]
    removed = [tuple(change.ours) for change in bare if change.ours and not change.theirs]
    added = [tuple(change.theirs) for change in bare if change.theirs and not change.ours]
    moved = set(removed) & set(added)
    kept = [
        change
        for change, each in zip(changes, bare, strict=True)
        if (each.ours and each.theirs) or tuple(each.ours or each.theirs) not in moved
    ]
    return kept, sum(_weight(word) for phrase in moved for word in phrase if _is_content(word))


def _without_opening(words: Sequence[str]) -> Sequence[str]:
    """Words without those that open a question, at either end."""
    inner = [place for place, word in enumerate(words) if word not in OPENING_WORDS]
    return words[inner[0] : inner[-1] + 1] if inner else ()


def _cost(change: _Change) -> tuple[int, int] | None:
    """How many words a change misspells and how many content words it adds; None where it makes another question."""
    if all(map(_is_unspaced, (*change.ours, *change.theirs))):
        return _cost_of_characters("".join(change.ours), "".join(change.theirs))
    ours, theirs = ([word for word in side if not _is_function(word)] for side in change)
    if _same_when_joined(ours, theirs):
        return 0, 0
    if (slips := _slips(ours, theirs)) is not None:
        return slips, 0
    ours, theirs = ([word for word in side if not _is_frame(word)] for side in (ours, theirs))
    if ours and theirs:
        slips = _slips(ours, theirs)
        return None if slips is None else (slips, 0)
    added = ours or theirs
    joins = any(word in COORDINATION for side in change for word in side)
    if any(map(_is_decisive, added)) or (added and joins):
        return None
    return 0, len(added)


def _slips(ours: Sequence[str], theirs: Sequence[str]) -> int | None:
    """How many of two equally long rows of words are misspelt; None where a word is another one."""
    if len(ours) != len(theirs) or not all(map(_is_slip, ours, theirs)):
        return None
    return sum(folded(one) != folded(other) for one, other in zip(ours, theirs, strict=True))


def _is_unspaced(word: str) -> bool:
    return UNSPACED.match(word) is not None


def _cost_of_characters(ours: str, theirs: str) -> tuple[int, int] | None:
    """The same for characters of unspaced text: one exchanged for another, or up to two more."""
    longest = max(len(ours), len(theirs))
    if longest > _MOST_CHARACTERS or any(each in DECISIVE_CHARACTERS for each in ours + theirs):
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
    """Whether words differ by spaces and hyphens only, such as `first-line` and `firstline`, but no numbers do."""
    numbers = [re.findall(r"\d+", " ".join(side)) for side in (ours, theirs)]
    return "".join(ours) == "".join(theirs) and numbers[0] == numbers[1]


def _is_slip(one: str, other: str) -> bool:
    """Whether a word is another one misspelt: one letter more, less, changed or exchanged with the next.

    The first letter stays, since `typical` and `atypical` differ in it; terms one letter apart are listed.
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
    """Whether one is the other after an Arabic preposition or conjunction of one letter."""
    short, long = sorted((folded(one), folded(other)), key=len)
    return len(short) > 2 and long[1:] == short and long[0] in _ARABIC_PREFIXES  # noqa: PLR2004 - a root has three letters
