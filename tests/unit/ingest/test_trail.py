"""An entry of the audit trail is stored, counted or reported as lost; nothing waits for it."""

import asyncio
from collections.abc import Hashable
from typing import Any

import pytest
from structlog.testing import capture_logs

from eventhub.channel import Channel
from eventhub.columns import Columns
from eventhub.config.handlers.audit import COLUMNS
from eventhub.errors import Unavailable
from eventhub.event import Event
from eventhub.ingest.trail import MAX_TEXT, STATEMENTS, Trail
from eventhub.logs import FIRST
from eventhub.memory import MemoryStream
from eventhub.metrics import AUDIT_LOST
from eventhub.stream import Appended, OnAppended


@pytest.fixture
def stream() -> MemoryStream:
    return MemoryStream(Channel("_audit", Columns(COLUMNS)))


@pytest.fixture
def trail(stream: MemoryStream) -> Trail:
    trail = Trail()
    trail.write_to(stream, "audit")
    return trail


def rows(stream: MemoryStream) -> list[dict[str, Any]]:
    return [stream.at(sequence).event.row or {} for sequence in range(1, stream.length + 1)]


async def test_an_entry_has_who_did_what_to_what(trail: Trail, stream: MemoryStream) -> None:
    await trail.record("token_created", user="ann", target="k1", address="1.2.3.4")
    trail.note("logged_out", user="ann", detail={"a": 1})
    first, second = rows(stream)
    assert (first["action"], first["user"], first["target"]) == ("token_created", "ann", "k1")
    assert (first["outcome"], first["count"], first["detail"]) == ("ok", 1, None)
    assert (second["action"], second["detail"]) == ("logged_out", {"a": 1})
    event = stream.at(1).event
    assert (event.endpoint, event.user, event.method) == ("audit", "ann", "POST")
    assert event.time == f"{first['timestamp']}Z"


async def test_without_a_table_nothing_is_kept(stream: MemoryStream) -> None:
    trail = Trail()
    await trail.record("logged_in", user="ann")
    trail.note("logged_out", user="ann")
    trail.limit("access_refused", by="1.2.3.4", reason="forbidden")
    await trail.close()
    assert stream.length == 0


async def test_a_flood_is_counted(trail: Trail, stream: MemoryStream) -> None:
    for number in range(1_000):
        trail.limit("login_failed", by="1.2.3.4", reason="unauthorized", user=f"u{number}")
    assert stream.length == FIRST
    await trail.close()
    last = rows(stream)[-1]
    assert (last["count"], last["address"], last["outcome"]) == (995, "1.2.3.4", "unauthorized")
    assert sum(row["count"] for row in rows(stream)) == 1_000


async def test_statements_are_counted_for_each_user(trail: Trail, stream: MemoryStream) -> None:
    for _ in range(STATEMENTS + 5):
        for user in ("ann", "bob"):
            trail.limit_statements("queried", by=f"user {user}", reason="sql", user=user)
    await trail.close()
    counted = [row for row in rows(stream) if row["count"] > 1]
    assert [(row["count"], row["target"], row["detail"]["by"]) for row in counted] == [
        (5, "sql", "user ann"),
        (5, "sql", "user bob"),
    ]


async def test_what_a_client_sent_is_bounded_and_printable(
    trail: Trail, stream: MemoryStream
) -> None:
    trail.note("queried", user="a\x1bb", detail={"sql": "\udcff" + "x" * 9 * MAX_TEXT, "rows": 1})
    (row,) = rows(stream)
    assert row["user"] == "a\\u001bb"
    assert row["detail"]["sql"].startswith("\\udcffxx")
    assert len(row["detail"]["sql"]) < 2 * MAX_TEXT


class Away(MemoryStream):
    """A log that does not answer, or has no room."""

    def __init__(self, *, has_room: bool) -> None:
        super().__init__(Channel("_audit", Columns(COLUMNS)))
        self.has_room = has_room
        self.waiting: list[OnAppended] = []

    async def append(self, event: Event, *, expect: int) -> Appended:
        raise Unavailable("away")

    def submit(
        self, event: Event, *, expect: int, sender: Hashable, on_appended: OnAppended
    ) -> bool:
        self.waiting.append(on_appended)
        return self.has_room


async def test_what_must_be_seen_fails_if_it_cannot_be_stored() -> None:
    trail = Trail()
    trail.write_to(Away(has_room=True), "audit")
    with pytest.raises(Unavailable, match="audit trail cannot be written"):
        await trail.record("logged_in", user="ann")


async def test_entries_that_are_lost_are_counted_and_logged() -> None:
    lost = AUDIT_LOST._value.get()
    for has_room in (True, False):
        stream, trail = Away(has_room=has_room), Trail()
        trail.write_to(stream, "audit")
        with capture_logs() as logs:
            trail.note("logged_out", user="ann")
            if has_room:
                stream.waiting[0](Unavailable("away"))
        assert [(line["event"], line["action"]) for line in logs] == [("audit_lost", "logged_out")]
    assert AUDIT_LOST._value.get() == lost + 2


async def test_the_end_waits_for_what_is_under_way() -> None:
    stream, trail = Away(has_room=True), Trail()
    trail.write_to(stream, "audit")
    trail.note("logged_out", user="ann")
    closing = asyncio.ensure_future(trail.close())
    await asyncio.sleep(0)
    assert not closing.done()
    stream.waiting[0](Appended(1, duplicate=False))
    await closing
