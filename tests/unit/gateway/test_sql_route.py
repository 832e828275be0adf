"""A request to a SQLHandler has each argument once, and no control that has no effect."""

import pytest

from eventhub.errors import Rejected
from eventhub.gateway.sql_route import arguments, missing

CONTROLS = ("_format", "sql")


def test_controls_and_parameters_are_taken_as_they_are() -> None:
    given = {"sql": ["SELECT $n"], "_format": ["csv"], "n": ["5"]}
    assert arguments(given, CONTROLS, "a query") == {"sql": "SELECT $n", "_format": "csv", "n": "5"}


@pytest.mark.parametrize(
    ("args", "column", "says"),
    [
        ({"_limit": ["1"]}, "_limit", "_limit has no effect on a query"),
        ({"n": ["1", "2"]}, "n", "n was given more than once"),
        ({"sql": ["a", "b"]}, "sql", "sql was given more than once"),
    ],
)
def test_what_would_be_ignored_is_refused_by_name(
    args: dict[str, list[str]], column: str, says: str
) -> None:
    with pytest.raises(Rejected, match=says) as refusal:
        arguments(args, CONTROLS, "a query")
    assert (refusal.value.code, refusal.value.column) == ("bad_request", column)


def test_a_request_without_a_statement_is_told_how_to_write_one() -> None:
    assert "write ?sql=SELECT" in missing().message
    assert missing().column == "sql"
