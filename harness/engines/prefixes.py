"""Finds what rows of tokens begin with in common, so that a few-shot prompt or a question is computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.engines.rows import Tokens

_WORTH = 0.2  # a share of the tokens below a prefix that must be saved, for each pass more has its price


@dataclass(frozen=True)
class Prefix:
    """Tokens `start` to `end` of all rows below it, which are the same in all of them.

    Attributes:
        row: One of the rows, by its place; all have these tokens.
        below: What follows: longer prefixes, and rows by their place.
    """

    start: int
    end: int
    row: int
    below: tuple[Prefix | int, ...]


def shared_prefixes(rows: Sequence[Tokens], heads: Sequence[int], minimum: int) -> tuple[list[Prefix], list[int]]:
    """(prefixes that pay, rows that share nothing worth a pass of its own).

    Args:
        rows: Token ids.
        heads: How many tokens at the start of each row may be shared, less than its length.
        minimum: Shortest prefix in tokens.
    """
    order = sorted(range(len(rows)), key=lambda number: rows[number])
    common = [_common(rows[one], rows[other], min(heads[one], heads[other])) for one, other in pairwise(order)]
    prefixes: list[Prefix] = []
    alone: list[int] = []
    for each in _split(order, common, 0, minimum) if rows else ():
        if isinstance(each, Prefix) and _saved_share(each, rows) >= _WORTH:
            prefixes.append(each)
        else:
            alone += [each] if isinstance(each, int) else rows_below(each)
    return prefixes, alone


def rows_below(prefix: Prefix) -> Iterator[int]:
    """All rows that begin with a prefix."""
    for each in prefix.below:
        if isinstance(each, Prefix):
            yield from rows_below(each)
        else:
            yield each


def _split(order: Sequence[int], common: Sequence[int], start: int, minimum: int) -> list[Prefix | int]:
    """The forest over sorted rows that share their first `start` tokens; `common` holds what neighbours share."""
    if len(order) == 1:
        return [order[0]]
    shared = min(common)
    if shared >= start + minimum:
        below = _runs(order, common, shared, shared + 1, minimum)
        return [Prefix(start, shared, order[0], tuple(below))]
    return _runs(order, common, start, start + minimum, minimum)


def _runs(order: Sequence[int], common: Sequence[int], start: int, enough: int, minimum: int) -> list[Prefix | int]:
    """The forest of each run of rows whose neighbours share at least `enough` tokens."""
    found: list[Prefix | int] = []
    first = 0
    for place in range(1, len(order) + 1):
        if place == len(order) or common[place - 1] < enough:
            found += _split(order[first:place], common[first : place - 1], start, minimum)
            first = place
    return found


def _common(one: Tokens, other: Tokens, limit: int) -> int:
    """How many of their first `limit` tokens two rows share."""
    if one[:limit] == other[:limit]:
        return limit
    return next(place for place in range(limit) if one[place] != other[place])


def _saved_share(prefix: Prefix, rows: Sequence[Tokens]) -> float:
    total = sum(len(rows[row]) for row in rows_below(prefix))
    return 1 - _computed(prefix, rows) / total


def _computed(prefix: Prefix, rows: Sequence[Tokens]) -> int:
    """Tokens to compute for a prefix and all below it."""
    below = sum(
        _computed(each, rows) if isinstance(each, Prefix) else len(rows[each]) - prefix.end for each in prefix.below
    )
    return prefix.end - prefix.start + below
