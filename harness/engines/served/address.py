"""Addresses of servers, and the API key that is sent to one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reports.errors import UserError

if TYPE_CHECKING:
    from training.recipes.recipe import ServedSection

DEFAULT_KEY = "OPENAI_API_KEY"
_LOCAL = ("localhost", "127.0.0.1", "::1")


def checked_url(url: str) -> str:
    """The address of a server without a slash at its end.

    Raises:
        UserError: It is no address, or holds a user name, a password or a query.
    """
    fix = "write it like http://localhost:8000/v1, and put an API key into an environment variable"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UserError("a server's address is not valid", where="--models", fix=fix) from error
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        what = f"the address of the server {host} holds credentials, a query or a fragment, which would be saved"
        raise UserError(what, where="--models", fix=fix)
    if parts.scheme not in ("http", "https") or not host or any(ord(sign) <= ord(" ") for sign in url):
        raise UserError(f"{url!r} is not the address of a server", where="--models", fix=fix)
    return url.rstrip("/")


def api_key(url: str, settings: ServedSection) -> str:
    """The API key; OpenAI's own is only sent encrypted or to this machine, one that the recipe names anywhere."""
    key = os.environ.get(settings.api_key_env or DEFAULT_KEY, "").strip()
    if settings.api_key_env and not key:
        raise UserError(
            f"the environment variable {settings.api_key_env} is not set",
            where="scoring.served.api_key_env",
            fix=f"put the API key of {url} into it, or remove the setting",
        )
    if not key.isascii() or not key.isprintable():
        variable = settings.api_key_env or DEFAULT_KEY
        raise UserError("an API key has characters that no header takes", where=variable, fix="set it again")
    parts = urlsplit(url)
    return key if settings.api_key_env or parts.scheme == "https" or parts.hostname in _LOCAL else ""
