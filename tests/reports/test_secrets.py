"""Secrets are known by their look and by the environment, and hidden wherever medbench says something."""

import pytest

from reports.errors import UserError
from reports.secrets import holds_secret, redact

TOKENS = [
    "hf_" + "aB3" * 12,
    "ghp_" + "x1" * 15,
    "github_pat_" + "a1" * 15,
    "sk-" + "proj-" + "a1" * 15,
    "AKIA" + "ABCD" * 4,
    "xoxb-" + "1a" * 10,
    "AIza" + "Sy1-_" * 7,
    "ya29." + "a0" * 12,
    "npm_" + "a1B" * 12,
    "pypi-" + "AgEI" * 8,
    "nvapi-" + "a-1_" * 8,
    "r8_" + "a1B" * 12,
    "eyJ" + "a" * 12 + "." + "b" * 12 + "." + "c" * 12,
]


@pytest.mark.parametrize("token", TOKENS)
def test_tokens_are_known_by_their_look(token):
    assert holds_secret(f"see {token}, please")
    assert token not in redact(f"see {token}, please")
    assert token not in str(UserError(f"refused {token}", where=f"--set x={token}", fix=f"not {token}"))


def test_passwords_in_addresses_and_headers_are_hidden():
    assert redact("https://me:hunter2@host/x") == "https://[secret]@host/x"
    assert redact("https://0123456789abcdef@host/x") == "https://[secret]@host/x"
    assert redact("ssh://git@host/x") == "ssh://git@host/x"
    assert "abcdefgh12345" not in redact("Authorization: Bearer abcdefgh12345")


def test_signed_addresses_and_private_keys_are_hidden():
    signed = "https://host/file?x=1&X-Amz-Signature=0123456789abcdef0123&Expires=9"
    assert redact(signed) == "https://host/file?x=1&X-Amz-Signature=[secret]&Expires=9"
    assert redact("https://host/f?sig=a%2Fb%2B0123456789abc%3D&se=1") == "https://host/f?sig=[secret]&se=1"
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow+/=\nabc\n-----END RSA PRIVATE KEY-----"
    assert redact(f"key: {key}; rest") == "key: [secret]; rest"
    assert "MIIEow" not in redact(key.replace("\n", "\\n"))


def test_values_of_the_environment_are_hidden_and_ordinary_ones_are_not(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false-not-a-secret")
    (tmp_path / "token").write_text("an-odd-login-token\n")
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "token"))
    assert redact("0123456789abcdef false-not-a-secret an-odd-login-token") == "[secret] false-not-a-secret [secret]"


def test_ordinary_text_is_left_alone():
    text = "risk-adjusted, task-based: https://host/a:b hf_short sha256 " + "a" * 64
    assert redact(text) == text
