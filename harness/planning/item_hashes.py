"""Hashes of a task's items, by which answers given earlier are recognised."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from reports.files import sha256_value
from reports.json_text import plain

_SOURCES = ("context", "contexts", "passage", "article", "story", "document", "abstract", "support", "question")


def source_hash(document: dict[str, Any]) -> str | None:
    """Hash of the text that an item may share with others: its context, or the question itself; None if unknown."""
    return next(_sources(document), None)


def source_hashes(document: dict[str, Any]) -> frozenset[str]:
    """Hashes of all such texts of an item, or of the whole item if it has none."""
    return frozenset(_sources(document)) or frozenset([_item_hash(document)])


def _sources(document: dict[str, Any]) -> Iterator[str]:
    named = {str(key).lower(): value for key, value in document.items()}
    sources = (named[name] for name in _SOURCES if named.get(name))
    return (sha256_value(source if isinstance(source, str) else repr(source))[:16] for source in sources)


def _item_hash(document: dict[str, Any]) -> str:
    return sha256_value(plain({key: value for key, value in document.items() if key != "tokenizer"}))


def items_hash(documents: Iterable[dict[str, Any]], rest: Any) -> str:
    """Hash over items, one after another so that their text is not held twice, and what else decides the answers."""
    digest = hashlib.sha256()
    for row in documents:
        digest.update(_item_hash(row).encode())
    return sha256_value([digest.hexdigest(), rest])
