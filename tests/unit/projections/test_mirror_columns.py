"""A column of another program is used only if it can hold every value; the rest is refused."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from eventhub.columns import Column, Digits, Kind
from projections.mirror_columns import is_narrow, misfit, type_of

PLAIN = {kind: Column("c", kind) for kind in Kind}
SHORT = Column("c", Kind.DECIMAL, digits=Digits(12, 2))
DIALECTS: dict[str, sa.Dialect] = {
    "sqlite": sa.create_engine("sqlite://").dialect,
    "postgresql": postgresql.dialect(),  # type: ignore[no-untyped-call]
    "mysql": mysql.dialect(),
    "mariadb": mysql.dialect(),
}
ID_UTF8 = mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_nopad_bin")


@pytest.mark.parametrize(
    ("dialect", "types"),
    [
        ("sqlite", "TEXT INTEGER DOUBLE TEXT BOOLEAN DATE TIMESTAMP TIMESTAMP TEXT"),
        (
            "postgresql",
            "TEXT BIGINT DOUBLE_PRECISION NUMERIC(38,_10) BOOLEAN DATE"
            " TIMESTAMP_WITHOUT_TIME_ZONE TIMESTAMP_WITH_TIME_ZONE JSON",
        ),
    ],
)
def test_a_new_table_has_types_that_hold_every_value(dialect: str, types: str) -> None:
    made = [type_of(PLAIN[kind], dialect).compile(DIALECTS[dialect]) for kind in Kind]
    assert made == [name.replace("_", " ") for name in types.split()]


def test_sqlite_keeps_short_decimals_as_numbers() -> None:
    assert type_of(SHORT, "sqlite").compile(DIALECTS["sqlite"]) == "NUMERIC(12, 2)"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("column", [*PLAIN.values(), SHORT, Column("id")])
def test_the_types_of_a_new_table_fit(column: Column, dialect: str) -> None:
    made = type_of(column, dialect).dialect_impl(DIALECTS[dialect])
    assert not misfit(column, made, dialect)


@pytest.mark.parametrize(
    ("column", "dialect", "found"),
    [
        (PLAIN[Kind.TEXT], "postgresql", sa.VARCHAR(20)),
        (PLAIN[Kind.TEXT], "postgresql", sa.INTEGER()),
        (PLAIN[Kind.TEXT], "sqlite", sa.NUMERIC()),
        (PLAIN[Kind.INTEGER], "postgresql", sa.INTEGER()),
        (PLAIN[Kind.INTEGER], "sqlite", sa.TEXT()),
        (PLAIN[Kind.REAL], "postgresql", sa.REAL()),
        (PLAIN[Kind.REAL], "mysql", mysql.FLOAT()),
        (PLAIN[Kind.REAL], "mysql", mysql.DOUBLE(10, 2)),
        (PLAIN[Kind.TEXT], "mysql", mysql.TEXT(charset="utf8mb4")),
        (PLAIN[Kind.TEXT], "mysql", mysql.LONGTEXT(charset="latin1")),
        (PLAIN[Kind.INTEGER], "mysql", mysql.INTEGER()),
        (PLAIN[Kind.INTEGER], "mysql", mysql.BIGINT(unsigned=True)),
        (PLAIN[Kind.TIMESTAMP], "mysql", mysql.DATETIME()),
        (PLAIN[Kind.TIMESTAMP], "mysql", mysql.TIMESTAMP(fsp=6)),
        (SHORT, "mysql", mysql.DECIMAL(11, 2)),
        (Column("id"), "mysql", mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin")),
        (PLAIN[Kind.DECIMAL], "sqlite", sa.NUMERIC(38, 10)),
        (PLAIN[Kind.DECIMAL], "postgresql", sa.DOUBLE()),
        (SHORT, "postgresql", sa.NUMERIC(12, 1)),
        (SHORT, "postgresql", sa.NUMERIC(11, 2)),
        (PLAIN[Kind.BOOLEAN], "postgresql", sa.INTEGER()),
        (PLAIN[Kind.TIMESTAMP], "postgresql", sa.TIMESTAMP(timezone=True)),
        (PLAIN[Kind.TIMESTAMPTZ], "postgresql", sa.TIMESTAMP()),
        (PLAIN[Kind.JSON], "postgresql", postgresql.JSONB()),
        (PLAIN[Kind.JSON], "mysql", sa.JSON()),
        (Column("id"), "postgresql", sa.VARCHAR(100)),
    ],
)
def test_a_type_that_would_lose_values_is_a_misfit(
    column: Column, dialect: str, found: sa.types.TypeEngine[Any]
) -> None:
    assert misfit(column, found, dialect)


@pytest.mark.parametrize(
    ("column", "dialect", "found"),
    [
        (PLAIN[Kind.TEXT], "sqlite", sa.VARCHAR(20)),
        (PLAIN[Kind.TEXT], "postgresql", sa.VARCHAR()),
        (Column("id"), "mysql", ID_UTF8),
        (PLAIN[Kind.JSON], "mysql", mysql.MEDIUMTEXT(charset="utf8mb4")),
        (SHORT, "postgresql", sa.NUMERIC()),
        (SHORT, "postgresql", sa.NUMERIC(14, 4)),
        (SHORT, "sqlite", sa.NUMERIC()),
        (PLAIN[Kind.BOOLEAN], "mysql", mysql.TINYINT(1)),
        (PLAIN[Kind.TIMESTAMP], "sqlite", sa.TEXT()),
        (PLAIN[Kind.JSON], "sqlite", sa.JSON()),
    ],
)
def test_a_type_of_another_program_may_be_wider(
    column: Column, dialect: str, found: sa.types.TypeEngine[Any]
) -> None:
    assert not misfit(column, found, dialect)


@pytest.mark.parametrize(
    ("kind", "found", "narrow"),
    [
        (Kind.TEXT, mysql.VARCHAR(20), True),
        (Kind.TIMESTAMP, mysql.TIMESTAMP(), True),
        (Kind.INTEGER, mysql.BIGINT(unsigned=True), True),
        (Kind.JSON, mysql.TEXT(), True),
        (Kind.JSON, sa.JSON(), False),
        (Kind.INTEGER, mysql.DOUBLE(), False),
        (Kind.DATE, mysql.DATETIME(), False),
    ],
)
def test_a_narrow_column_of_mysql_is_widened_and_one_of_another_sort_is_not(
    kind: Kind, found: sa.types.TypeEngine[Any], narrow: bool
) -> None:
    assert is_narrow(PLAIN[kind], found, "mysql") is narrow
