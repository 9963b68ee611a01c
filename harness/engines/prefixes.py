"""Shared prefixes of rows of tokens, so that a few-shot prompt or a question is computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.engines.rows import Tokens

_WORTH = 0.2  # smallest share of tokens that a prefix saves; another pass has its cost


@dataclass(frozen=True)
class Prefix:
    """Tokens `start` to `end`, which all rows below it have in common.

    Attributes:
        row: Index of one of the rows.
        below: Longer prefixes, and indices of rows.
    """

    start: int
    end: int
    row: int
    below: tuple[Prefix | int, ...]


def shared_prefixes(rows: Sequence[Tokens], heads: Sequence[int], minimum: int) -> tuple[list[Prefix], list[int]]:
    """(prefixes worth a pass of their own, indices of the rows without one).

    Args:
        rows: Token ids.
        heads: Number of first tokens of each row that may be shared, less than its length.
        minimum: Shortest prefix in tokens.
    """
    order = sorted(range(len(rows)), key=lambda number: rows[number])
    common = [_common(rows[one], rows[other], min(heads[one], heads[other])) for one, other in pairwise(order)]
    prefixes: list[Prefix] = []
    alone: list[int] = []
    for node in _split(order, common, 0, minimum) if rows else ():
        if isinstance(node, int):
            alone.append(node)
            continue
        below = list(rows_below(node))
        if 1 - _computed(node, rows) / sum(len(rows[row]) for row in below) >= _WORTH:
            prefixes.append(node)
        else:
            alone += below
    return prefixes, alone


def rows_below(prefix: Prefix) -> Iterator[int]:
    """Indices of all rows that begin with a prefix."""
    for node in prefix.below:
        if isinstance(node, Prefix):
            yield from rows_below(node)
        else:
            yield node


def _split(order: Sequence[int], common: Sequence[int], start: int, minimum: int) -> list[Prefix | int]:
    """Forest over sorted rows that share their first `start` tokens; `common`: number of tokens neighbours share."""
    if len(order) == 1:
        return [order[0]]
    shared = min(common)
    if shared >= start + minimum:
        below = _runs(order, common, shared, shared + 1, minimum)
        return [Prefix(start, shared, order[0], tuple(below))]
    return _runs(order, common, start, start + minimum, minimum)


def _runs(order: Sequence[int], common: Sequence[int], start: int, enough: int, minimum: int) -> list[Prefix | int]:
    """Forest of each run of rows whose neighbours share at least `enough` tokens."""
    nodes: list[Prefix | int] = []
    first = 0
    for place in range(1, len(order) + 1):
        if place == len(order) or common[place - 1] < enough:
            nodes += _split(order[first:place], common[first : place - 1], start, minimum)
            first = place
    return nodes


def _common(one: Tokens, other: Tokens, limit: int) -> int:
    """Number of their first `limit` tokens that two rows share."""
    if one[:limit] == other[:limit]:
        return limit
    return next(place for place in range(limit) if one[place] != other[place])


def _computed(prefix: Prefix, rows: Sequence[Tokens]) -> int:
    """Number of tokens computed for a prefix and all rows below it."""
    below = sum(
        _computed(node, rows) if isinstance(node, Prefix) else len(rows[node]) - prefix.end for node in prefix.below
    )
    return prefix.end - prefix.start + below
