"""The predicate of a filter and its SQL give the same answer for every row."""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from unicodedata import normalize

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventhub.columns import Column, Columns, Digits, Kind
from eventhub.filters.query import parse
from tests.examples import examples

# Names that look like operators, need quoting, or are another column with an operator.
KINDS = {
    "text": Kind.TEXT,
    "text!": Kind.TEXT,
    'whole"': Kind.INTEGER,
    "-real": Kind.REAL,
    "amount": Kind.DECIMAL,
    "huge": Kind.DECIMAL,
    "flag": Kind.BOOLEAN,
    "day": Kind.DATE,
    "moment": Kind.TIMESTAMP,
    "instant": Kind.TIMESTAMPTZ,
    "timestamp": Kind.TEXT,
    "data": Kind.JSON,
}
DIGITS = {"amount": Digits(5, 2), "huge": Digits(38, 0)}
COLUMNS = Columns(Column(name, kind, digits=DIGITS.get(name)) for name, kind in KINDS.items())
EQUALITY = ["", "!"]
ORDER = [">", ">~", "<", "<~"]
MATCH = ["~", "!~", "*", "!*"]
OPERATORS = {
    Kind.TEXT: EQUALITY + ORDER + MATCH,
    Kind.BOOLEAN: EQUALITY,
    Kind.JSON: EQUALITY,
}

# Few letters, so that rows and filters meet; many whose case is not simple: those that fold to
# two or three letters, to a letter of another block, or differently at the end of a word.
LETTERS = "aAsSßẞſtTﬆffFﬃiIİıjǰJkKKσςΣé É%_.\\^[]()*+?\0\n🎉"  # noqa: RUF001
# With accents of their own, in any order; those that are always two, and letters of Hangul.
LETTERS += "e\u0301\u0323ǖ\u0308ΐạ́क़\u093c각\u1100\u1161\u11a8Ω"
short_texts = st.text(LETTERS, max_size=6)
texts = short_texts | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
edges = [2**31, 2**53 + 1, 2**63 - 1]
wholes = st.integers(-3, 3) | st.sampled_from([*edges, *(-edge for edge in edges), -(2**63)])
reals = st.sampled_from([0.0, -0.0, 0.1 + 0.2, 0.3, 1e-9, 1.0, 1e308]) | st.floats(
    allow_nan=False, allow_infinity=False
)
moments = st.sampled_from(
    ["2023-01-01T00:00:00", "2023-04-01T10:00:00", "2023-04-01T10:00:00.000001", "2023-04-01"]
) | st.datetimes().map(lambda moment: moment.isoformat())
days = moments.map(lambda moment: moment[:10])
documents = st.sampled_from(["text", 1, {"a": [1, None]}, [], False])

VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: texts,
    Kind.INTEGER: wholes,
    Kind.REAL: reals,
    Kind.DECIMAL: st.integers(-999, 999),
    Kind.BOOLEAN: st.booleans(),
    Kind.DATE: days,
    Kind.TIMESTAMP: moments,
    Kind.TIMESTAMPTZ: moments,
    Kind.JSON: documents,
}
VALUES_OF = {
    "amount": st.decimals("-999.99", "999.99", places=2),
    "huge": st.integers(-(10**38) + 1, 10**38 - 1) | wholes,
    "timestamp": moments.filter(lambda text: "T" in text),
}
"""The values of a column that does not hold all values of its kind."""
instants = moments | days | st.sampled_from(["2023", "2023-04", "2023-04-01T10", "0001"])
zoned = st.sampled_from(
    ["2023-04-01T10:00:00+05:30", "2023-04-01 10:00Z", "2023-04-01T10:00:00.5z"]
)
ASKED: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: texts,
    Kind.INTEGER: wholes | st.integers(),
    Kind.REAL: reals | wholes | st.sampled_from(["nan", "inf", "-inf", "1e999"]),
    Kind.DECIMAL: st.decimals(allow_nan=False, allow_infinity=False)
    | st.decimals("-1001", "1001", places=3)
    | wholes
    | st.integers()
    | st.sampled_from(["nan", "inf", "-inf", "1e999", "0.005", "-0", "999.995", "1e38", "-1e38"]),
    Kind.BOOLEAN: st.sampled_from(["0", "n", "No", "FALSE", "f", "off", "true", "1", "2", "on"]),
    Kind.DATE: instants,
    Kind.TIMESTAMP: instants | zoned,
    Kind.TIMESTAMPTZ: instants | zoned,
    Kind.JSON: st.just(""),
}

rows = st.fixed_dictionaries(
    {name: st.none() | VALUES_OF.get(name, VALUES[kind]) for name, kind in KINDS.items()}
)


@st.composite
def arguments(draw: st.DrawFn) -> dict[str, list[Any]]:
    """One to three keys, with values that their column can be compared with."""
    args = {}
    for name in draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=3)):
        kind = KINDS[name]
        operator = draw(st.sampled_from(OPERATORS.get(kind, EQUALITY + ORDER)))
        values = ASKED[kind]
        if name == "timestamp" and operator not in MATCH:
            values = instants | zoned
        if draw(st.integers(0, 9)) == 0:
            values |= st.none()
        args[name + operator] = draw(st.lists(values, min_size=1, max_size=3))
    return args


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        names = ", ".join(
            '"{}" {}'.format(name.replace('"', '""'), COLUMNS[name].sql_type) for name in KINDS
        )
        connection.execute(f"CREATE TABLE t (_created_seq UBIGINT, {names})")
        yield connection


def store(database: duckdb.DuckDBPyConnection, table: list[dict[str, Any]]) -> None:
    values: list[Any] = []
    for sequence, row in enumerate(table):
        document = None if row["data"] is None else json.dumps(row["data"])
        values += [sequence, *({**row, "data": document}[name] for name in KINDS)]
    marks = ", ".join(["(" + ", ".join("?" * (len(KINDS) + 1)) + ")"] * len(table))
    database.execute("DELETE FROM t")
    database.execute(f"INSERT INTO t VALUES {marks}", values)


def found_by_sql(database: duckdb.DuckDBPyConnection, args: Mapping[str, Any]) -> list[int]:
    query = parse(args, COLUMNS)
    where, parameters = query.filter.sql()
    found = database.execute(
        f"SELECT _created_seq FROM t WHERE {where} ORDER BY {query.order_by()}", parameters
    )
    return [sequence for (sequence,) in found.fetchall()]


@settings(
    max_examples=examples(200),
    deadline=None,  # and not too_slow: how fast a busy machine draws rows is not the claim
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    raw=st.lists(rows, min_size=1, max_size=6), asked=st.lists(arguments(), min_size=4, max_size=8)
)
def test_predicate_and_sql_agree(
    database: duckdb.DuckDBPyConnection, raw: list[dict[str, Any]], asked: list[dict[str, Any]]
) -> None:
    table = [COLUMNS.convert(row) for row in raw]
    store(database, table)
    for args in asked:
        matches = parse(args, COLUMNS).filter.matches
        expected = [sequence for sequence, row in enumerate(table) if matches(row)]
        assert found_by_sql(database, args) == expected, args


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    table=st.lists(texts, min_size=1, max_size=6),
    asked=st.lists(texts, min_size=1, max_size=3),
    operator=st.sampled_from([*EQUALITY, *MATCH]),
    forms=st.tuples(*[st.sampled_from(["NFC", "NFD"])] * 4),
)
def test_texts_that_differ_in_their_form_only_are_one(
    database: duckdb.DuckDBPyConnection,
    table: list[str],
    asked: list[str],
    operator: str,
    forms: tuple[str, ...],
) -> None:
    """Except for text with a NUL, which is compared as it is."""
    table = [text.replace("\0", "") for text in table]
    asked = [text.replace("\0", "") for text in asked]
    nothing = dict.fromkeys(KINDS)
    answers = []
    for row_form, asked_form in (forms[:2], forms[2:]):
        rows = [{**nothing, "text": normalize(row_form, text)} for text in table]  # type: ignore[arg-type]
        store(database, [COLUMNS.convert(row) for row in rows])
        wanted = [normalize(asked_form, text) for text in asked]  # type: ignore[arg-type]
        answers.append(found_by_sql(database, {"text" + operator: wanted}))
    assert answers[0] == answers[1]


def test_names_sort_without_case(database: duckdb.DuckDBPyConnection) -> None:
    names = ["Zoe", "bob", None, "Anna", "Éva", "anna", "e\u0301va", "Bob"]
    nothing = dict.fromkeys(KINDS)
    store(database, [COLUMNS.convert({**nothing, "text": name}) for name in names])
    for key, reverse in (("text*", False), ("-text*", True)):
        order = [names[n] for n in found_by_sql(database, {"_sort": [key]})]
        given = (name for name in names if name)
        ordered = sorted(given, key=lambda name: normalize("NFC", name).lower(), reverse=reverse)
        assert order == ([*ordered, None] if reverse else [None, *ordered])


FOLDING = [chr(code) for code in range(0x20000) if chr(code).casefold() != chr(code)]
FOLDED = sorted({character.casefold() for character in FOLDING})


def test_characters_beyond_planes_0_and_1_have_no_case() -> None:
    beyond = map(chr, range(0x20000, sys.maxunicode + 1))
    assert all(character.casefold() == character for character in beyond)


def test_folding_is_done_after_one_pass() -> None:
    """Hence what stays unfolded in the SQL cannot be part of a match."""
    assert all(folded.casefold() == folded for folded in FOLDED)


@pytest.fixture(scope="module")
def characters(database: duckdb.DuckDBPyConnection) -> list[str]:
    """Every character that folds or is folded to, between two letters: rows of a table."""
    rows = [f"x{character}y" for character in sorted({*FOLDING, *"".join(FOLDED)})]
    database.execute("CREATE TABLE characters AS SELECT unnest(?) AS text", [rows])
    return rows


def folded_match(
    database: duckdb.DuckDBPyConnection, rows: list[str], needles: list[str]
) -> tuple[set[str], set[str]]:
    """Return the rows that the predicate finds, and those that the SQL finds."""
    query = parse({"text*": needles}, COLUMNS)
    where, parameters = query.filter.sql()
    found = database.execute(f"SELECT text FROM characters WHERE {where}", parameters).fetchall()
    return {text for text in rows if query.filter.matches({"text": text})}, {f for (f,) in found}


@pytest.mark.parametrize("start", range(60))
def test_every_character_folds_alike_in_sql(
    database: duckdb.DuckDBPyConnection, characters: list[str], start: int
) -> None:
    """Test a few letters at a time, far apart: one that matched its neighbour would be noticed."""
    by_predicate, by_sql = folded_match(database, characters, FOLDED[start::60])
    assert by_predicate == by_sql
    assert {f"x{folded}y" for folded in FOLDED[start::60] if len(folded) == 1} <= by_sql


def test_a_match_may_begin_or_end_within_what_a_character_folds_to(
    database: duckdb.DuckDBPyConnection, characters: list[str]
) -> None:
    expansions = [folded for folded in FOLDED if len(folded) > 1]
    for expansion in expansions:
        parts = [expansion, f"x{expansion}y"]
        for cut in range(1, len(expansion)):
            parts += [expansion[cut:], expansion[cut:] + "y", "x" + expansion[:cut]]
        for needle in parts:
            by_predicate, by_sql = folded_match(database, characters, [needle])
            assert by_predicate == by_sql, needle
            assert by_sql


def test_the_longest_text_without_case_is_not_too_long_for_the_database(
    database: duckdb.DuckDBPyConnection, characters: list[str]
) -> None:
    crowded = max(FOLDED, key=lambda folded: sum(c.casefold() == folded for c in FOLDING))
    by_predicate, by_sql = folded_match(database, characters, [crowded * 4096])
    assert by_predicate == by_sql == set()
