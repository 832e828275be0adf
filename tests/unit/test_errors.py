"""Every error has a code of the table, and its object says what a client can do."""

import pytest

from eventhub.errors import (
    CLOSE_MEANINGS,
    CODES,
    Changed,
    Close,
    Conflict,
    CutOff,
    Damaged,
    EventHubError,
    Expired,
    Misconfigured,
    Rejected,
    Unavailable,
    close_code_of,
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
    retried = {each.http for code, each in CODES.items() if each.retry and code != "changed"}
    assert retried == {408, 429, 503}


def test_client_reconnects_unless_the_same_request_would_be_refused_again() -> None:
    refused = {close for close in Close if not close.reconnect}
    assert refused == {
        Close.BAD_REQUEST,
        Close.UNAUTHORIZED,
        Close.FORBIDDEN,
        Close.UNKNOWN_PATH,
    }
    assert set(CLOSE_MEANINGS) == set(Close)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Rejected("bad_filter", ""), Close.BAD_REQUEST),
        (Rejected("unauthorized", ""), Close.UNAUTHORIZED),
        (Rejected("forbidden", ""), Close.FORBIDDEN),
        (Expired(), Close.EXPIRED),
        (Changed(is_first=False), Close.CHANGED),
        (Changed(is_first=True), Close.BAD_REQUEST),
        (Unavailable("", code="busy"), Close.TRY_LATER),
        (CutOff("no leader"), Close.ELSEWHERE),
        (Unavailable("", code="slow_reader"), Close.TOO_SLOW),
        (Unavailable("", code="too_many_reads"), Close.TRY_LATER),
        (Unavailable(""), Close.RESTART),
        (EventHubError(""), Close.INTERNAL),
    ],
)
def test_each_error_has_the_close_code_that_says_whether_to_come_back(
    error: EventHubError, code: Close
) -> None:
    assert close_code_of(error) is code
