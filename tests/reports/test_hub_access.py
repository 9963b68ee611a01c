"""The reason why something was not fetched, from the error of a library and what it was raised for."""

import httpx
import pytest
from datasets.exceptions import DatasetNotFoundError
from huggingface_hub import errors

from reports.errors import UnreachableError, UserError
from reports.hub_access import hub_error

REQUEST = httpx.Request("GET", "https://huggingface.co/datasets/owner/rows/resolve/main/rows.py")


def refusal(kind, status=404):
    return kind("refused", response=httpx.Response(status, request=REQUEST))


def raised(error, *, cause=None, context=None):
    """The error as it arrives when it was raised for a cause, or while a context was handled."""
    error.__cause__, error.__context__ = cause, context
    return error


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (refusal(errors.GatedRepoError, 403), UnreachableError, "gated: the owner of the data set owner/rows"),
        (refusal(errors.RepositoryNotFoundError), UserError, "missing: the hub has no data set owner/rows"),
        (refusal(errors.RevisionNotFoundError), UserError, "has no revision v2"),
        (refusal(errors.RemoteEntryNotFoundError), UserError, "lacks a file that was asked for"),
        (refusal(errors.HfHubHTTPError, 403), UnreachableError, "refused this machine's token"),
        (refusal(errors.HfHubHTTPError, 503), UnreachableError, "answered with an error (503)"),
        (DatasetNotFoundError("Dataset 'owner/rows' is a gated dataset on the Hub."), UnreachableError, "gated: "),
        (DatasetNotFoundError("Revision 'v2' doesn't exist for dataset"), UserError, "has no revision v2"),
        (raised(ValueError("x"), context=httpx.ConnectError("x")), UnreachableError, "offline: "),
        (raised(RuntimeError("x"), cause=refusal(errors.HfHubHTTPError, 500)), UnreachableError, "error (500)"),
    ],
)
def test_reasons(error, kind, words):
    message = hub_error(error, "data set", "owner/rows", revision="v2")
    assert type(message) is kind
    assert words in message.what
    assert message.where == "hub data set owner/rows at v2"


def test_a_file_that_most_data_sets_lack_is_no_reason():
    """`datasets` looks for a script before it says that a configuration does not exist."""
    error = raised(ValueError("config 'en' not found"), context=refusal(errors.RemoteEntryNotFoundError))
    assert hub_error(error, "data set", "owner/rows") is None
    assert hub_error(OSError("disk full"), "model", "owner/name") is None
