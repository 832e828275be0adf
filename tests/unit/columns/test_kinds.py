"""A SQL type of the configuration stands for one kind, in any case and width."""

import pytest

from eventhub.columns import Digits, Kind, digits_of, kind_of
from eventhub.errors import Misconfigured


@pytest.mark.parametrize(
    ("sql_type", "kind"),
    [
        ("TEXT", Kind.TEXT),
        (" varchar(20) ", Kind.TEXT),
        ("CHARACTER VARYING(5)", Kind.TEXT),
        ("INTEGER", Kind.INTEGER),
        ("float", Kind.REAL),
        ("DOUBLE PRECISION", Kind.REAL),
        ("NUMERIC(10, 2)", Kind.DECIMAL),
        ("DATETIME", Kind.TIMESTAMP),
    ],
)
def test_sql_type_stands_for_a_kind_in_any_case_and_width(sql_type: str, kind: Kind) -> None:
    assert kind_of(sql_type) is kind


@pytest.mark.parametrize("sql_type", ["", "BLOB", "TEXT NOT NULL", "TEXT; DROP TABLE x"])
def test_unknown_sql_type_is_refused(sql_type: str) -> None:
    with pytest.raises(Misconfigured, match="unknown column type"):
        kind_of(sql_type)


@pytest.mark.parametrize(
    ("sql_type", "digits"),
    [
        ("DECIMAL", Digits(38, 10)),
        ("numeric(12)", Digits(12, 0)),
        ("Decimal ( 10 , 2 )", Digits(10, 2)),
        ("VARCHAR(20)", None),
    ],
)
def test_digits_of_a_sql_type(sql_type: str, digits: Digits | None) -> None:
    assert digits_of(sql_type) == digits


@pytest.mark.parametrize("sql_type", ["DECIMAL(39)", "DECIMAL(0)", "DECIMAL(5,6)", "DECIMAL(,2)"])
def test_decimal_that_duckdb_does_not_have_is_refused(sql_type: str) -> None:
    with pytest.raises(Misconfigured, match="1 to 38 digits"):
        digits_of(sql_type)


def test_time_zone_is_part_of_a_sql_type() -> None:
    assert kind_of("timestamp with time zone") is kind_of("TIMESTAMPTZ") is Kind.TIMESTAMPTZ
    assert kind_of("TIMESTAMP WITHOUT TIME ZONE") is kind_of("DATETIME") is Kind.TIMESTAMP
