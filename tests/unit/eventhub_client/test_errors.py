"""Each code of a hub has the class by which a caller decides what to do next."""

import pytest

from eventhub.errors import CODES
from eventhub_client.errors import (
    BulkError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    Refusal,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
    UnknownOutcomeError,
    error_of,
    is_passing,
)


@pytest.mark.parametrize("code", CODES)
def test_a_code_of_a_hub_is_final_or_not_as_the_hub_says(code: str) -> None:
    error = error_of({"code": code, "message": "why", "retry": CODES[code].retry})
    assert is_passing(error) == CODES[code].retry
    assert isinstance(error, RefusedError) != CODES[code].retry
    assert (error.code, error.message, str(error)) == (code, "why", f"{code}: why")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("unauthorized", UnauthorizedError),
        ("forbidden", ForbiddenError),
        ("not_found", NotFoundError),
        ("exists", ConflictError),
        ("conflict", ConflictError),
        ("unknown_outcome", UnknownOutcomeError),
        ("a code of a newer hub", RefusedError),
    ],
)
def test_what_a_caller_handles_has_a_class(code: str, kind: type[Exception]) -> None:
    retry = code == "unknown_outcome"
    assert type(error_of({"code": code, "message": "", "retry": retry})) is kind


def test_a_pause_of_more_than_a_minute_is_for_the_caller_to_decide() -> None:
    sent = {"code": "quota_exceeded", "message": "for today", "retry": True}
    assert is_passing(error_of({**sent, "retry_after": 60}))
    late = error_of({**sent, "retry_after": 3600, "column": "n"})
    assert isinstance(late, UnavailableError)
    assert (late.retry_after, late.column, is_passing(late)) == (3600, "n", False)


def test_a_bulk_error_says_how_many_and_which_was_the_first() -> None:
    refusal = Refusal(7, {"n": "x"}, RefusedError("bad_value", "n: expected a number"))
    text = str(BulkError(12_000, [refusal], "too many to go on"))
    assert "12,000 rows are stored, 1 were refused" in text
    assert "row 7: bad_value: n: expected a number; too many to go on" in text
