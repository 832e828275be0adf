"""Every error has a code of the table, and its object says what a client can do."""

import pytest

from eventhub.errors import (
    CLOSE_MEANINGS,
    CODES,
    Close,
    Conflict,
    Damaged,
    EventHubError,
    Expired,
    Misconfigured,
    Rejected,
    Unavailable,
)


@pytest.mark.parametrize(
    ("error", "code", "http", "retry"),
    [
        (EventHubError("failed"), "internal", 500, False),
        (Rejected("bad_id", "no id"), "bad_id", 400, False),
        (Rejected("too_many", "later"), "too_many", 429, True),
        (Conflict("conflict", "changed"), "conflict", 412, False),
        (Expired(), "unauthorized", 401, False),
        (Unavailable("no broker"), "unavailable", 503, True),
        (Unavailable("who knows", code="unknown_outcome"), "unknown_outcome", 503, True),
        (Misconfigured("no file"), "internal", 500, False),
        (Damaged("a flipped bit"), "internal", 500, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_error_object_has_code_message_and_whether_to_retry(
    error: EventHubError, code: str, http: int, retry: bool
) -> None:
    assert error.as_dict() == {"code": code, "message": error.message, "retry": retry}
    assert error.http_status == http


def test_error_object_names_the_column_and_the_message_that_it_answers() -> None:
    error = Rejected("bad_value", "size: 1.5 is not a whole number", column="size")
    assert error.as_dict(7) == {
        "code": "bad_value",
        "message": error.message,
        "ref": 7,
        "retry": False,
        "column": "size",
    }


def test_code_that_is_not_in_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no error code 'bad_idea'"):
        Rejected("bad_idea", "a typo")


def test_only_errors_that_may_pass_are_worth_a_retry() -> None:
    retried = {code.http for code in CODES.values() if code.retry}
    assert retried == {408, 429, 503}


def test_client_reconnects_unless_the_same_request_would_be_refused_again() -> None:
    refused = {close for close in Close if not close.reconnect}
    assert refused == {Close.BAD_REQUEST, Close.UNAUTHORIZED, Close.FORBIDDEN}
    assert set(CLOSE_MEANINGS) == set(Close)
