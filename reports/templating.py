"""The Jinja environment of all templates, ours and users': hostile text is shown as text, errors name the line.

What a template prints is escaped: for HTML in templates named so, for Markdown in all others. What is markup already is
not: what `| safe` marks, code blocks of `| fenced`, and tables as `markdown()` writes them.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any

from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    StrictUndefined,
    TemplateSyntaxError,
    pass_context,
)
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup
from pydantic import BaseModel

from reports.errors import UserError, first_line
from reports.text import Markdown, fenced, plain_markdown, visible

_HTML = (".html", ".html.j2")


@pass_context
def _escaped(context: Context, value: Any) -> Any:
    """What a template prints: text that Jinja escapes for HTML next, or Markdown that it leaves alone."""
    if (context.name or "").endswith(_HTML):
        return visible(str(value) if isinstance(value, Markdown) else value)
    return value if hasattr(value, "__html__") else plain_markdown(value)


_SETTINGS: dict[str, Any] = {
    "undefined": StrictUndefined,
    "trim_blocks": True,
    "lstrip_blocks": True,
    "finalize": _escaped,
}
_FILTERS = {"fenced": fenced, "plain": plain_markdown}


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, which also keeps templates from calling classes and methods of pydantic models.

    Some of these methods load files and pickles (`parse_file`, `parse_raw`).
    """

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        is_method_of_model = isinstance(obj, BaseModel | type) and callable(value)
        return super().is_safe_attribute(obj, attr, value) and not is_method_of_model

    def is_safe_callable(self, obj: Any) -> bool:
        return super().is_safe_callable(obj) and (not isinstance(obj, type) or obj in self.globals.values())


@functools.cache
def template_environment(templates: Path | None = None) -> Environment:
    """Environment of our templates, which it compiles once; those in a user's folder take precedence."""
    ours = PackageLoader("reports", "templates")
    environment = Environment(
        loader=ours if templates is None else ChoiceLoader([FileSystemLoader(templates), ours]),
        autoescape=True,
        **_SETTINGS,
    )
    environment.filters |= _FILTERS
    return environment


def sandbox() -> Environment:
    """Environment of a template named in a Markdown file; it can reach only its context."""
    environment = _Sandbox(autoescape=True, **_SETTINGS)
    environment.filters |= _FILTERS
    return environment


@contextmanager
def template_errors(template: str, place: Path) -> Iterator[None]:
    """Raise errors of a user's template as `UserError`.

    Args:
        template: Its name in the message.
        place: File or folder of the template.

    Raises:
        UserError: The template fails.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # whatever the template computes or calls
        line = error.lineno if isinstance(error, TemplateSyntaxError) else _line_of(error, place)
        raise UserError(
            f"the template{template} fails: {first_line(error)}",
            where=f"{place}{f', line {line}' if line else ''}",
            fix="fix the template; docs/reports.md lists its context",
        ) from error


def _line_of(error: Exception, place: Path) -> int | None:
    """Last line of a template that the error passed, in the traceback as Jinja rewrites it."""
    lines = [
        line
        for frame, line in walk_tb(error.__traceback__)
        if frame.f_code.co_filename == "<template>" or Path(frame.f_code.co_filename).parent == place
    ]
    return lines[-1] if lines else None


def inline_hash(content: str) -> str:
    """Hash of an inline script or style sheet, in the notation of a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def page_parts(
    environment: Environment, styles: Sequence[str], script: str, *, more: str = "form-action 'none'"
) -> dict[str, Any]:
    """Style sheet and script to inline in a page, and the content security policy that allows only these.

    Args:
        environment: Has the templates.
        styles: Names of the style sheets, in their order.
        script: Name of the script.
        more: Further directives of the policy.
    """
    style = "\n".join(environment.get_template(name).render().strip() for name in styles)
    code = environment.get_template(script).render().strip()
    hashes = f"style-src '{inline_hash(style)}'; script-src '{inline_hash(code)}'"
    policy = f"default-src 'none'; {hashes}; base-uri 'none'; {more}"
    return {"style": Markup(style), "script": Markup(code), "policy": policy}  # noqa: S704 - our files
