"""Find access tokens and passwords in text, by their form and from this machine's environment variables."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

HIDDEN = "[secret]"
_SHORTEST = 8  # characters of an environment variable's value to search for
_MOST_BYTES = 4096  # of a login file
_NAMES = re.compile(r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY(?:_ID)?|SECRET_KEY)$", re.IGNORECASE)
# Each alternative has its own prefix and repeats a single class, so matching takes linear time.
_SHAPES = (
    r"\b(?:hf|api_org)_[A-Za-z0-9]{16,}"  # Hugging Face
    r"|\bgh[oprsu]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"  # GitHub, GitLab
    r"|\bsk-[\w-]{20,}|\bxox[abeprs]-[\w-]{10,}|\bAKIA[0-9A-Z]{16}\b"  # OpenAI and its like, Slack, AWS
    r"|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}"  # JSON Web Tokens
    r"|\bAIza[\w-]{35}|\bya29\.[\w-]{20,}|\bnpm_[A-Za-z0-9]{36}|\bpypi-[\w-]{20,}"  # Google, npm, PyPI
    r"|\bnvapi-[\w-]{20,}|\br8_[A-Za-z0-9]{30,}"  # NVIDIA, Replicate
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[A-Za-z0-9+/=\s\\-]*"
    r"|(?i:(?<=[?&]x-amz-signature=)|(?<=[?&]x-goog-signature=)|(?<=[?&]signature=)|(?<=[?&]sig=))[\w%+/=-]{16,}"
    r"|(?<=://)(?:[^\s/@:]{1,200}:[^\s/@]{1,200}|[^\s/@:]{12,200})(?=@)"  # user:password@host, token@host
    r"|(?i:(?<=\bbearer )[\w.~+/-]{12,}=*)"
)


def redact(text: str) -> str:
    """Replace every secret in a text by `[secret]`."""
    for value in _secret_values():
        text = text.replace(value, HIDDEN)
    return _shapes().sub(HIDDEN, text)


def holds_secret(text: str) -> bool:
    """Whether a text contains a secret."""
    return any(value in text for value in _secret_values()) or _shapes().search(text) is not None


@functools.cache
def _shapes() -> re.Pattern[str]:
    return re.compile(_SHAPES)  # which takes longer than most imports


def _secret_values() -> list[str]:
    """This machine's secrets, longest first because one may be part of another."""
    values = {os.environ.get(name, "").strip() for name in os.environ if _is_secret(name)}
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface")
    values.add(_login_token(os.environ.get("HF_TOKEN_PATH") or str(home / "token")))
    return sorted((value for value in values if len(value) >= _SHORTEST), key=len, reverse=True)


@functools.lru_cache(maxsize=1000)
def _is_secret(name: str) -> bool:
    """Whether an environment variable of this name holds a secret."""
    return _NAMES.search(name) is not None


@functools.lru_cache(maxsize=4)
def _login_token(path: str) -> str:
    """Token in the hub's login file; empty if there is none."""
    try:
        with Path(path).expanduser().open("rb") as stream:
            return stream.read(_MOST_BYTES).decode("utf-8", "ignore").strip()
    except (OSError, RuntimeError, ValueError):
        return ""
