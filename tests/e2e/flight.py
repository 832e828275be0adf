"""A hub with Arrow Flight SQL, and clients of it."""

import re
import time
from typing import Any

import adbc_driver_flightsql.dbapi
import jwt
import pytest
from adbc_driver_flightsql import ConnectionOptions, DatabaseOptions
from adbc_driver_manager import Error
from adbc_driver_manager.dbapi import Connection
from pyarrow import flight

from projections.flight.messages import Statement, pack
from tests.e2e.hub import Hub

SECRET = "a secret that is long enough to sign with"
CONFIG = f"""
server: {{flight_port: 0, stalled_after: 3}}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {{body: TEXT, n: INTEGER, price: "DECIMAL(10,2)", seen: TIMESTAMPTZ, tags: JSON}}
  secret:
    pattern: /secret
    handler: MessageHandler
    kwargs: {{columns: {{x: TEXT}}}}
  ask:
    pattern: /ask
    handler: SQLHandler
    kwargs:
      tables: notes
      limits: {{seconds: 4, rows: 1000000, concurrent: 3}}
  team:
    pattern: /the team's SQL
    handler: SQLHandler
    kwargs:
      tables: all
      auth: {{membership: {{role: analyst}}}}
auth:
  jwt: {{secret: {SECRET}}}
  proxy: {{header: X-User, trusted: any}}
"""
ENDLESS = "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT max(i) FROM r"
WIDE = "SELECT i, repeat('x', 400) AS text FROM range(500000) AS t(i)"
"""More than gRPC and the system hold for a client that does not read."""
MILLION = "SELECT i, 'row ' || i AS text FROM range(1000000) AS t(i)"
DEADLINE_SECONDS = 30


def flight_port(hub: Hub) -> int:
    ports = re.findall(r'"port": (\d+), "event": "flight_listening"', hub.stderr())
    return int(ports[-1])


def connect(hub: Hub, handler: str | None = "ask", headers: Any = None, **options: str) -> Any:
    """Return a connection, to be closed."""
    named = {} if handler is None else {"handler": handler}
    scheme = "grpc+tls" if DatabaseOptions.TLS_ROOT_CERTS.value in options else "grpc"
    prefix = ConnectionOptions.RPC_CALL_HEADER_PREFIX.value
    given = {prefix + name: value for name, value in {**named, **(headers or {})}.items()}
    return adbc_driver_flightsql.dbapi.connect(
        f"{scheme}://127.0.0.1:{flight_port(hub)}", {**options, **given}, autocommit=True
    )


def token(role: str, **claims: Any) -> dict[str, str]:
    """Return the option for a bearer token; it may be made long before its test runs."""
    held = {"sub": "ann", "role": role, "exp": int(time.time()) + 36_000, **claims}
    text = jwt.encode(held, SECRET, "HS256")
    return {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {text}"}


def rows(connection: Connection, sql: str, values: Any = None, **options: Any) -> list[Any]:
    with connection.cursor(**options) as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()


def refused(connection: Connection, sql: str, values: Any = None) -> str:
    """Return the text of an error, which names no file of the hub."""
    with pytest.raises(Error) as caught:
        rows(connection, sql, values)
    assert "Traceback" not in str(caught.value)
    assert "projections" not in str(caught.value)
    return str(caught.value)


def await_rows(connection: Connection, sql: str, count: int) -> None:
    give_up = time.monotonic() + DEADLINE_SECONDS
    while len(rows(connection, sql)) < count:
        assert time.monotonic() < give_up


def hub_pid(hub: Hub) -> int:
    assert hub.process is not None
    return hub.process.pid


def flight_pid(hub: Hub) -> int:
    pids = re.findall(r'"pid": (\d+), "event": "flight_process_ready"', hub.stderr())
    return int(pids[-1])


def raw_call(hub: Hub, sql: str) -> tuple[flight.FlightClient, flight.FlightStreamReader]:
    client = flight.connect(f"grpc://127.0.0.1:{flight_port(hub)}")
    ticket = flight.Ticket(pack("TicketStatementQuery", {1: Statement(sql).encode()}))
    headers = [(b"handler", b"ask")]
    return client, client.do_get(ticket, flight.FlightCallOptions(headers=headers))
