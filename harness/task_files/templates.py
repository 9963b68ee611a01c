"""Renders lm-eval's Jinja templates in Jinja's sandbox, since those of a file from elsewhere could reach any object.

lm-eval's own environment is not sandboxed: `{{ ''.__class__.__mro__ }}` in a task file's `doc_to_text` works there.
"""

from __future__ import annotations

import functools
from typing import Any

from jinja2 import Template
from jinja2.sandbox import SandboxedEnvironment


class _Sandbox(SandboxedEnvironment):
    """Jinja's sandbox with lm-eval's settings; each template is compiled once, and not for each item."""

    @functools.lru_cache(maxsize=256)  # noqa: B019 - the one environment lives as long as the process
    def _compiled(self, source: str) -> Template:
        return super().from_string(source)

    def from_string(self, source: Any, *_: Any, **__: Any) -> Template:
        """The compiled template of a text."""
        return self._compiled(str(source))


def sandbox_templates() -> None:
    """Let lm-eval render every template of this process in a sandbox; what harmless templates give stays the same."""
    from lm_eval import utils

    if isinstance(utils.env, _Sandbox):
        return
    stock = utils.env
    sandbox = _Sandbox(loader=stock.loader, undefined=stock.undefined, keep_trailing_newline=True)
    sandbox.filters |= stock.filters
    utils.env = sandbox
