"""Clients of ADBC ask, and bind what they like."""

import time
import urllib.parse
import urllib.request
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from pyarrow import flight

from projections.flight.messages import pack
from tests.e2e.flight import DEADLINE_SECONDS, WIDE, connect, flight_port, raw_call, refused, rows
from tests.e2e.hub import Hub


def test_a_query_has_its_rows_with_their_types(hub: Hub) -> None:
    sql = "SELECT id, n, price, seen, tags FROM ask.main.notes ORDER BY id"
    with connect(hub) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        table = cursor.fetch_arrow_table()
        assert table.to_pylist()[0] == {
            "id": "a",
            "n": 5,
            "price": Decimal("1.50"),
            "seen": None,
            "tags": '{"x":[1,null]}',
        }
        assert table["seen"].to_pylist()[1] == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
        assert cursor.adbc_execute_schema(sql) == table.schema
        assert cursor.adbc_execute_schema("SELECT error('it was run') AS e").names == ["e"]
        url = f"{hub.url}/ask?{urllib.parse.urlencode({'sql': sql, '_format': 'arrow'})}"
        with urllib.request.urlopen(url) as answer:
            assert pa.ipc.open_stream(answer.read()).read_all() == table


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("INTEGER", 5),
        ("BIGINT", 2**62),
        ("DOUBLE", 0.1),
        ("BOOLEAN", True),
        ("VARCHAR", "it's; -- ünï"),
        ("DECIMAL(10,2)", Decimal("1.50")),
        ("BLOB", b"\x00'\xff"),
        ("DATE", date(2026, 1, 2)),
        ("TIMESTAMP", datetime(2026, 1, 2, 3, 4, 5, 6)),  # noqa: DTZ001 - it has no zone
        ("TIMESTAMPTZ", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("INTEGER[]", [1, 2]),
        ("VARCHAR", None),
    ],
)
def test_a_bound_value_arrives_as_it_is(hub: Hub, kind: str, value: object) -> None:
    with connect(hub) as connection:
        assert rows(connection, f"SELECT ?::{kind}", (value,)) == [(value,)]


def test_parameters_are_bound_in_order_and_again(hub: Hub) -> None:
    sql = "SELECT id FROM notes WHERE n >= $least AND body = $body"
    with connect(hub) as connection, connection.cursor() as cursor:
        assert cursor.adbc_prepare(sql).names == ["least", "body"]
        for values, expected in (((5, "one"), [("a",)]), ((6, "one"), []), ((7, "two"), [("b",)])):
            cursor.execute(sql, values)
            assert cursor.fetchall() == expected
        evil = "x' OR 1=1 --"
        assert rows(connection, sql, (5, evil)) == []
        assert "2 parameters, and got 1 values" in refused(connection, sql, (5,))
        assert "has a parameter $" in refused(connection, sql)
        assert rows(connection, "SELECT $1 - $2", (5, 3)) == [(2,)]
    named = pa.RecordBatch.from_pydict({"body": ["one"], "least": [5]})
    with connect(hub) as connection, connection.cursor() as cursor:
        cursor.adbc_prepare(sql)
        cursor.execute(sql, named)
        assert cursor.fetchall() == [("a",)]


def test_a_client_that_does_not_read_is_closed_and_no_other(hub: Hub) -> None:
    stalled, reader = raw_call(hub, WIDE)
    with closing(stalled), connect(hub) as other:
        before = hub.stderr().count("flight_client_stalled")
        give_up = time.monotonic() + DEADLINE_SECONDS
        while hub.stderr().count("flight_client_stalled") == before:
            assert time.monotonic() < give_up
            assert rows(other, "SELECT 1") == [(1,)]
        with pytest.raises(flight.FlightUnavailableError):
            reader.read_all()


@pytest.mark.parametrize(
    "ticket",
    [b"", b"\xff", b"x" * 1000, pack("TicketStatementQuery", {1: b"\x93"}), pack("CommandX", {})],
)
def test_a_malformed_ticket_is_an_error(hub: Hub, ticket: bytes) -> None:
    with flight.connect(f"grpc://127.0.0.1:{flight_port(hub)}") as client:
        with pytest.raises((pa.ArrowInvalid, pa.ArrowNotImplementedError), match="bad_request: "):
            client.do_get(flight.Ticket(ticket)).read_all()
        with pytest.raises((pa.ArrowInvalid, pa.ArrowNotImplementedError), match="bad_request: "):
            client.get_flight_info(flight.FlightDescriptor.for_command(ticket))
