"""The table of limits says what the code does: each default, error, wait and metric."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from prometheus_client.metrics import MetricWrapperBase

from eventhub import metrics, stream
from eventhub.channel import MAX_ID_LENGTH
from eventhub.config import Limits, Quota, Server
from eventhub.delivery import attendance, last_events, outlet, sends
from eventhub.errors import CODES, Close
from eventhub.filters import weight
from eventhub.gateway import (
    body,
    first_frames,
    newcomers,
    refusal,
    server,
    shared_socket,
    subscribe_frame,
    throttle,
    tls,
)
from eventhub.identity import attempts
from eventhub.ingest import command, decoding, receipts, sending, writing
from projections import pace, price, snapshot
from tests.unit.test_docs import page, table

DEFAULTS = Server(), Limits()


def size(count: float) -> str:
    """Return a number of bytes as people write it."""
    for unit, bits in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << bits:
            return f"{count / (1 << bits):g} {unit}"
    return f"{count:g} bytes"


def _limits() -> dict[str, str]:
    base, rates = DEFAULTS
    burst = f"a second, {rates.burst:g} s of it at once"
    return {
        "connections of one user": f"{base.max_connections_per_user:,}",
        "subscriptions of one socket": f"{subscribe_frame.MAX_SUBSCRIPTIONS}; each counts as a"
        " connection of its user",
        "path and query of a subscription": size(subscribe_frame.MAX_URL_BYTES),
        "time without a subscription on a shared socket": f"{shared_socket.IDLE_SECONDS:g} s;"
        f" frames of {size(shared_socket.MAX_COMMAND_BYTES)}",
        "connections of one address": "a quarter of all; loopback and trusted proxies any",
        "connections in all": "`ulimit -n` less a reserve of an eighth (32 to 256)",
        "messages of one client": f"{rates.messages:,.0f} {burst}",
        "bytes of one client, received or stored": f"{size(rates.bytes)} {burst}",
        "WebSockets and streams that one client opens": f"{rates.connects:,.0f} {burst}",
        "connections that one address opens": f"{rates.connects:,.0f} {burst}",
        "rows, events and bytes of a user, a table and a day": "none; `quota:`",
        "a frame or body": size(base.max_message),
        "an event, with old and new row": size(stream.MAX_PAYLOAD),
        "the URL": size(refusal.MAX_LINE),
        "headers": f"{refusal.MAX_HEADERS} of {size(refusal.MAX_HEADER)} each",
        "a message that is not stored": size(sending.MAX_SENT_BYTES),
        "messages of one sender that are not stored, and wait": f"{sends.MAX_WAITING}; of all"
        f" senders {size(sends.MAX_WAITING_BYTES)} for each table",
        "users of an endpoint who are named as present": f"{attendance.MAX_USERS:,}",
        "nesting of a message": f"{decoding.MAX_DEPTH}",
        "messages of one array, lines of one body": f"{decoding.MAX_MESSAGES:,}",
        "keys of a message": f"{command.MAX_KEYS:,}",
        "an `id`": f"{MAX_ID_LENGTH} characters",
        "a `_key`": f"{receipts.MAX_KEY_LENGTH} characters",
        "a filter": f"{weight.MAX_CONDITIONS} conditions, {weight.MAX_MATCHES} search texts,"
        f" {weight.MAX_VALUES:,} other values",
        "the cost of a query": f"{price.MAX_SECONDS:g} s of a core",
        "events that `_since=-N` searches": f"{last_events.MAX_SEARCHED:,}",
        "large reads at once": f"{snapshot.LARGE_SLOTS} in all, {snapshot.LARGE_SLOTS - 1} of one"
        f" client; {snapshot.LARGE_WAITING} of it wait",
        "rows that are ready and not taken": f"{size(snapshot.EACH_BYTES)} of one client,"
        f" {size(snapshot.ALL_BYTES)} in all",
        "readers of rows while others wait": f"must take 100 KiB a second over"
        f" {pace.PATIENCE_SECONDS:g} s",
        "live filters of one client": "about 300 with one comparison",
        "bodies in progress": f"{size(body.CLIENT_BYTES)} of one client,"
        f" {size(body.SHARES * body.CLIENT_BYTES)} in all",
        "time for a body": f"{body.SECONDS:g} s, and a second for each {size(body.BYTES_A_SECOND)}",
        "answers that are not read": f"{size(outlet.MAX_UNSENT_BYTES)};"
        f" {base.stalled_after:g} s without progress",
        "refusals of one array": f"{writing.MAX_REFUSED:,}",
        "refused connections": f"{throttle.ATTEMPTS} in a row and"
        f" {throttle.ATTEMPTS_PER_SECOND:g} a second",
        "large or compressed bodies that are refused": f"{throttle.BODIES} in a row and"
        f" {throttle.BODIES_PER_SECOND:g} a second",
        "failed logins": f"{attempts.FREE_OF_ACCOUNT} of an account,"
        f" {attempts.FREE_OF_ADDRESS} of an address",
        "time to the first byte; handshake of TLS": f"{newcomers.FIRST_BYTE_SECONDS:g} s;"
        f" {tls.HANDSHAKE_SECONDS:g} s",
        "time to the end of the first request's head": f"{newcomers.HEAD_SECONDS:g} s",
        "time to the first frame, if it has to log in": f"{first_frames.FIRST_FRAME_SECONDS:g} s",
        "time without a request after an answer": f"{server.IDLE_SECONDS:g} s",
    }


ROWS = table(page("operations.md"), "Of clients")
_CODE = re.compile(r"`([a-z_]+)`")
WHEN = {
    "rate_limited": "when it is paid",
    "quota_exceeded": "midnight UTC",
    "too_many_logins": "grows to 60",
}
"""Errors whose wait depends on what the client did."""


def test_every_limit_has_its_default() -> None:
    assert {row[0]: row[1] for row in ROWS} == _limits()


def wait_of(code: str) -> str:
    return WHEN.get(code) or str(CODES[code].retry_after or "none")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_the_client_is_told_exists_and_says_how_long_to_wait(row: list[str]) -> None:
    told = _CODE.findall(row[2])
    assert set(told) <= CODES.keys()
    for close in re.findall(r"\b[14]\d{3}\b", row[2]):
        assert int(close) in [int(each) for each in Close]
    if told:
        assert row[3] == wait_of(told[0])


def _metrics() -> Iterator[str]:
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            yield family.name + ("_total" if family.type == "counter" else "")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_limit_has_a_metric_and_a_test(row: list[str]) -> None:
    assert row[4].strip("`") in {*_metrics(), "none"}  # of a client that is done
    assert re.findall(r"`(test_\w+|tests/[\w/]+\.py)`", row[5])


def test_no_error_of_a_limit_is_missing() -> None:
    told = {code for row in ROWS for code in _CODE.findall(row[2])}
    of_limits = {code for code, each in CODES.items() if each.http in (408, 413, 414, 429, 431)}
    assert of_limits | {"busy", "too_costly"} <= told


@pytest.mark.parametrize("section", [Limits, Quota])
def test_every_setting_is_in_the_table(section: Any) -> None:
    words = " ".join(row[0] for row in ROWS)
    for field in msgspec.structs.fields(section):
        assert field.name in ("burst", "connects") or field.name in words


def test_sizes_are_written_as_people_do() -> None:
    assert [size(n) for n in (200, 16 << 10, 1 << 20, 3 << 30)] == [
        "200 bytes",
        "16 KiB",
        "1 MiB",
        "3 GiB",
    ]
