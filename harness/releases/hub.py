"""Sends a folder to a model repository on the hub, and says in one message what the hub or the way to it refuses."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from reports.errors import UserError

_STEPS = (
    "make a token with the right to write in your settings on the hub, then run `hf auth login` or set HF_TOKEN (which"
    " is taken before a login)"
)


_ANY_TOKEN = re.compile(rb"\bhf_[A-Za-z0-9]{30,}\b")


def check_repository(repo: str) -> None:
    """See that a repository's name is one.

    Raises:
        UserError: It is not.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    fix = "write OWNER/NAME, of letters, digits, '-', '_' and '.'"
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError("the hub allows no such name", where=repo, fix=fix) from error
    if repo.count("/") != 1:
        raise UserError("the owner is missing", where=repo, fix=fix)


def has_token() -> bool:
    """Whether this machine has a token for the hub; the token itself is never handed around."""
    from huggingface_hub import get_token

    return get_token() is not None


def holds_token(content: bytes) -> bool:
    """Whether a file's content has this machine's token in it, or what looks like anybody's."""
    from huggingface_hub import get_token

    own = get_token()
    return (own is not None and own.encode() in content) or _ANY_TOKEN.search(content) is not None


def send(folder: Path, repo: str, *, private: bool, message: str) -> str:
    """Create the repository where it is not there, and upload a folder's files as one commit; returns its address.

    Raises:
        UserError: There is no token, the hub refuses it or the card, the repository is somebody else's, or is as
            public or private as it should not be, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    if not has_token():
        raise UserError("there is no token for the hub on this machine", where=repo, fix=_STEPS)
    api: Any = HfApi()
    with _one_message(repo):
        api.whoami()
        try:
            there = api.repo_info(repo, repo_type="model")
        except RepositoryNotFoundError:
            there = None
        if there is not None and bool(there.private) != private:
            raise UserError(
                f"it exists already and is {'public' if private else 'private'}",
                where=repo,
                fix=f"{'add' if private else 'leave out'} --public, or choose another name",
            )
        api.create_repo(repo, private=private, repo_type="model", exist_ok=True)
        commit = api.upload_folder(repo_id=repo, folder_path=folder, repo_type="model", commit_message=message)
    return str(commit.commit_url)


@contextlib.contextmanager
def _one_message(repo: str) -> Iterator[None]:
    """Turn an error of the hub into one message; never with the text of a request, which holds the token."""
    import httpx
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status == HTTPStatus.UNAUTHORIZED:
            raise UserError("the hub refused this machine's token", where=repo, fix=_STEPS) from error
        if status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
            raise UserError(
                f"this machine's token may not write to repositories of {repo.partition('/')[0]}",
                where=repo,
                fix=f"name a repository of your own, ask its owner for the right to write, or {_STEPS}",
            ) from error
        raise UserError(
            f"the hub answered with an error ({status})", where=repo, fix="try again later; what was sent is kept"
        ) from error
    except (httpx.HTTPError, OSError) as error:
        raise UserError(
            f"the hub could not be reached ({type(error).__name__})",
            where=repo,
            fix="check the network, and that HF_HUB_OFFLINE is not set; then run the same command again",
        ) from error
    except ValueError as error:
        raise UserError(
            f"the upload was refused: {' '.join(str(error).split())[:300]}",
            where=repo,
            fix="where it is about README.md, mend the card's front matter, such as the licence; then try again",
        ) from error
