"""Hostile values drawn by hypothesis: junk of every kind, and whole values or files that are changed or damaged."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

SPECIAL = [
    *(
        "",
        " ",
        "\0",
        "../..",
        "/etc/passwd",
        "~",
        "CON",
        "a/b",
        "a" * 300,
        "\x1b[31mred",
        "[bold]x[/]",
        "=1+1",
        "\ud800",
    ),
    *("yes", "1e999", "nan", "<think>", "{{ 7 * 7 }}", "{% for i in range(9) %}", "hf_" + "a" * 34, "samples:pubmedqa"),
    *("owner/name", "base", "adapter", "medbench_pubmedqa", "*/*", "(a+)+$", "\u202egnol", "x" * 3000),
]
TEXT = st.text(max_size=12) | st.sampled_from(SPECIAL)
NUMBER = st.integers(-(10**20), 10**20) | st.floats() | st.sampled_from([0, -1, 1, 2**31, 2**63, 10**9])
JUNK = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in nested mappings and lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*above, key)
        yield from places(each, (*above, key))


@st.composite
def changed(draw: st.DrawFn, value: Any, junk: Any = JUNK, names: Any = TEXT) -> Any:
    """The value with something else, something more or nothing at one of its places."""
    value = copy.deepcopy(value)
    place = draw(st.sampled_from(list(places(value))))
    inside = value
    for key in place[:-1]:
        inside = inside[key]
    how = draw(st.sampled_from(["replace", "remove", "add"]))
    if how == "remove":
        del inside[place[-1]]
    elif how == "add" and isinstance(inside, dict):
        inside[draw(names)] = draw(junk)
    else:
        inside[place[-1]] = draw(junk)
    return value


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes of which some at one place are other ones, more or missing."""
    start = draw(st.integers(0, len(whole)))
    length = draw(st.integers(0, min(40, len(whole) - start)))
    some = st.binary(max_size=12) | st.sampled_from(
        [b"\xff", b"\x00", b'"', b"[" * 3000, b"{", b"\n", b"\xef\xbb\xbf", b"9" * 5000]
    )
    return whole[:start] + draw(some) + whole[start + length :]
