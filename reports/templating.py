"""Jinja as all templates get it, ours and those of users: hostile text shows as text, and mistakes are told by line."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    StrictUndefined,
    TemplateError,
    select_autoescape,
)
from jinja2.sandbox import SandboxedEnvironment

from reports.errors import UserError
from reports.text import fenced, plain_markdown, visible

_SETTINGS: dict[str, Any] = {
    "undefined": StrictUndefined,
    "trim_blocks": True,
    "lstrip_blocks": True,
    "finalize": visible,
}
# What a template can raise: its own mistakes, and those in what it computes or calls.
_FAULTS = (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_FILTERS = {"fenced": fenced, "plain": plain_markdown}


def template_environment(templates: Path | None = None) -> Environment:
    """The environment of our templates, of which a user's folder may replace some."""
    ours = PackageLoader("reports", "templates")
    environment = Environment(
        loader=ours if templates is None else ChoiceLoader([FileSystemLoader(templates), ours]),
        autoescape=select_autoescape(("html", "html.j2"), default=False),
        **_SETTINGS,
    )
    environment.filters |= _FILTERS
    return environment


def sandbox() -> Environment:
    """The environment of a template that a Markdown file names; it reaches nothing but what it is given."""
    environment = SandboxedEnvironment(**_SETTINGS)
    environment.filters |= _FILTERS
    return environment


@contextmanager
def faults_told(template: str, place: Path) -> Iterator[None]:
    """Tell the mistakes of a user's template as such.

    Args:
        template: Its name in the message.
        place: Its file or folder.

    Raises:
        UserError: It fails.
    """
    try:
        yield
    except _FAULTS as error:
        line = getattr(error, "lineno", None)
        raise UserError(
            f"the template{template} fails: {error}",
            where=f"{place}{f', line {line}' if line else ''}",
            fix="mend it; docs/reports.md tells what a template gets",
        ) from error


def inline_hash(content: str) -> str:
    """The hash of an inline script's or style sheet's text, as a content policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
