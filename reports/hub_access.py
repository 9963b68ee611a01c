"""Access to the model hub: whether it can be reached, noticed within seconds, and why something was not fetched.

Three reasons need three different fixes: offline, gated (no licence accepted, no token), and missing.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from http import HTTPStatus

from reports.errors import UnreachableError, UserError

_SECONDS = 4  # until an answer to the first, small request; downloads have the hub library's own limits
_TOKEN = "then run `hf auth login` or set HF_TOKEN (which is taken before a login)"  # noqa: S105 - no token
# (what, fix) by reason.
_MESSAGES = {
    "gated": (
        "gated: the owner of the {kind} {id} gives access to those who ask, and this machine has none",
        (
            "ask for access at {page} and accept its licence; once it is granted, make a token that may read gated"
            f" repositories, {_TOKEN}"
        ),
    ),
    "refused": (
        "the hub refused this machine's token for the {kind} {id}",
        f"make a token that may read it in your settings on the hub, {_TOKEN}",
    ),
    "missing": (
        "missing: the hub has no {kind} {id}, or this machine may not see it",
        "check the spelling; if it is private, run `hf auth login` or set HF_TOKEN",
    ),
    "no revision": (
        "missing: the {kind} {id} has no revision {revision}",
        "give a branch, tag or commit of {page}/commits/main",
    ),
    "no file": (
        "missing: the {kind} {id}{at} lacks a file that was asked for",
        "see its files at {page}/tree/{revision}",
    ),
}
_FINAL = ("missing", "no revision", "no file")  # not to be had elsewhere either
_PLAIN = ("offline", "gated", "missing")
_reached: set[str] = set()  # addresses of hubs that have answered in this process


@contextlib.contextmanager
def hub_or_cache() -> Iterator[None]:
    """Let libraries take what they fetch from their caches, without waiting, if the hub does not answer in 4 seconds.

    Without this, `datasets` tries for half a minute before it looks into its cache.
    """
    from huggingface_hub import constants

    if constants.is_offline_mode() or _is_reachable(constants.ENDPOINT):
        yield
        return
    import datasets

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _is_reachable(address: str) -> bool:
    """Whether the hub answers anything; in a thread, since looking up its name can hang for longer than any limit."""
    if address in _reached:
        return True
    import httpx
    from huggingface_hub.utils import build_hf_headers, get_session

    def ask() -> None:
        with contextlib.suppress(httpx.HTTPError, httpx.InvalidURL, OSError):
            get_session().head(address, headers=build_hf_headers(), timeout=_SECONDS, follow_redirects=False)
            _reached.add(address)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    return address in _reached


def hub_error(
    error: BaseException, kind: str, hub_id: str, *, revision: str | None = None, where: str | None = None
) -> UserError | None:
    """What kept something from being fetched, as one message; None if it was neither the hub nor the way to it.

    Never with the text of a request, which holds the token.

    Args:
        error: The error; its causes are looked at too, since libraries wrap those of the hub in their own.
        kind: `model` or `data set`.
        hub_id: `OWNER/NAME`.
        revision: Branch, tag or commit, if one was asked for.
        where: For the message; kind and id if not given.
    """
    reason = next(_reasons(error), None)
    if reason is None:
        return None
    at = f" at {revision}" if revision else ""
    if reason == "offline":
        what, fix = _offline(f"{kind} {hub_id}{at}")
    elif reason.isdecimal():
        what = f"the {kind} {hub_id} could not be fetched: the hub answered with an error ({reason})"
        fix = "try again later, or give a local folder"
    else:
        page = f"{_address()}/{'datasets/' if kind == 'data set' else ''}{hub_id}"
        names = {"kind": kind, "id": hub_id, "at": at, "revision": revision or "main", "page": page}
        what, fix = (text.format(**names) for text in _MESSAGES[reason])
    error_type = UserError if reason in _FINAL else UnreachableError
    return error_type(what, where=where or f"hub {kind} {hub_id}{at}", fix=fix)


def _reasons(error: BaseException) -> Iterator[str]:
    """The reasons that an error and what it was raised for give, the outermost first; suppressed contexts too.

    An error may be raised while another is handled that has nothing to do with it: `datasets` looks for files that most
    data sets do not have. So of such contexts only the plain reasons count.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    is_cause = True
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        reason = _reason(current)
        if reason is not None and (is_cause or reason in _PLAIN):
            yield reason
        is_cause = current.__cause__ is not None
        current = current.__cause__ or current.__context__


def _reason(error: BaseException) -> str | None:
    """`offline`, `gated`, `missing` and the like, or the status of an error of the hub; None if it does not say."""
    import httpx
    from huggingface_hub import errors

    kinds: dict[type[Exception], str] = {
        errors.GatedRepoError: "gated",  # before its base class
        errors.RepositoryNotFoundError: "missing",
        errors.RevisionNotFoundError: "no revision",
        errors.RemoteEntryNotFoundError: "no file",
    }
    for kind, reason in kinds.items():
        if isinstance(error, kind):
            return reason
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        return "refused" if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) else str(status)
    if isinstance(error, errors.LocalEntryNotFoundError) and (error.__cause__ or error.__context__):
        return None  # the cause says why
    if isinstance(error, errors.LocalEntryNotFoundError | httpx.TransportError | ConnectionError):
        return "offline"  # the last includes `OfflineModeIsEnabled`
    return _data_set_reason(error)


def _data_set_reason(error: BaseException) -> str | None:
    """The same of errors of `datasets`, which drops the hub's own; only its words tell what that was."""
    if type(error).__module__.partition(".")[0] != "datasets" or type(error).__name__ != "DatasetNotFoundError":
        return None
    text = str(error)
    if "is a gated dataset" in text:
        return "gated"
    return "no revision" if re.match(r"Revision '.*' doesn't exist", text) else "missing"


def _offline(thing: str) -> tuple[str, str]:
    """(what happened, what to do about it) without a network."""
    from huggingface_hub import constants

    is_set = constants.is_offline_mode()
    why = "HF_HUB_OFFLINE is set" if is_set else f"the hub ({_address()}) cannot be reached"
    way = "unset it on a machine with a network" if is_set else "check the network, HTTPS_PROXY and HF_ENDPOINT"
    what = f"offline: {why}, and the {thing} is not in its cache on this machine"
    return what, f"{way}; or fetch it elsewhere and give a local folder, or a bundle (medbench bundle)"


def _address() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)
