"""Every HTTP answer that is no success becomes the error that says whether to try again."""

import json

import pytest

from eventhub_client.answers import error_in
from eventhub_client.errors import (
    ConflictError,
    NotFoundError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
)


def test_the_error_object_of_a_hub_is_read() -> None:
    sent = {"_error": {"code": "conflict", "message": "changed", "retry": False, "column": "n"}}
    error = error_in(412, json.dumps(sent).encode())
    assert type(error) is ConflictError
    assert error.column == "n"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (502, UnavailableError),
        (503, UnavailableError),
        (429, UnavailableError),
        (404, NotFoundError),
        (401, UnauthorizedError),
        (301, RefusedError),
        (400, RefusedError),
    ],
)
@pytest.mark.parametrize("body", [b"<h1>Bad Gateway</h1>", b"", b"[]", b"7", b'{"_error": 3}'])
def test_an_answer_of_a_proxy_is_judged_by_its_status(
    status: int, kind: type[Exception], body: bytes
) -> None:
    error = error_in(status, body)
    assert type(error) is kind
    assert str(status) in error.message
    assert ("use the URL to which it leads" in error.message) == (status == 301)
