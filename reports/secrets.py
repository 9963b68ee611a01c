"""Finds access tokens and passwords in text, by how they look and by what this machine's environment holds."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

HIDDEN = "[secret]"
_SHORTEST = 8  # characters of a value of the environment that is looked for
_MOST_BYTES = 4096  # of a login's file
_NAMES = re.compile(r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY(?:_ID)?|SECRET_KEY)$", re.IGNORECASE)
# Each alternative starts with letters of its own and repeats one class only: time is linear in the text.
_SHAPES = re.compile(
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
    """The text with every secret replaced by `[secret]`."""
    for value in _known():
        text = text.replace(value, HIDDEN)
    return _SHAPES.sub(HIDDEN, text)


def holds_secret(text: str) -> bool:
    """Whether there is a secret in the text."""
    return any(value in text for value in _known()) or _SHAPES.search(text) is not None


def _known() -> list[str]:
    """Values of this machine's secrets, the longest first: one may be a part of another."""
    values = {value.strip() for name, value in os.environ.items() if _NAMES.search(name)}
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface")
    values.add(_login(os.environ.get("HF_TOKEN_PATH") or str(home / "token")))
    return sorted((value for value in values if len(value) >= _SHORTEST), key=len, reverse=True)


@functools.lru_cache(maxsize=4)
def _login(path: str) -> str:
    """The token that the hub's own login keeps in a file; empty where there is none."""
    try:
        with Path(path).expanduser().open("rb") as stream:
            return stream.read(_MOST_BYTES).decode("utf-8", "ignore").strip()
    except (OSError, RuntimeError, ValueError):
        return ""
