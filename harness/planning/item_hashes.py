"""Hashes of a task's items, by which answers given earlier are recognised."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from reports.files import sha256_value
from reports.json_text import plain

_SOURCES = ("context", "contexts", "passage", "article", "story", "document", "abstract", "support", "question")


def source_hash(document: dict[str, Any]) -> str | None:
    """Hash of the text that an item may share with others: its context, or the question itself; None if unknown."""
    named = {str(key).lower(): value for key, value in document.items()}
    source = next((named[name] for name in _SOURCES if named.get(name)), None)
    return None if source is None else sha256_value(source if isinstance(source, str) else repr(source))[:16]


def items_hash(documents: Iterable[dict[str, Any]], rest: Any) -> str:
    """Hash over items, one after another so that their text is not held twice, and what else decides the answers."""
    digest = hashlib.sha256()
    for row in documents:
        item = {key: value for key, value in row.items() if key != "tokenizer"}
        digest.update(sha256_value(plain(item)).encode())
    return sha256_value([digest.hexdigest(), rest])
