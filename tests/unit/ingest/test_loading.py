"""Rows of another source become one event each, once, however often they are loaded."""

from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Digits, Kind
from eventhub.errors import Unavailable
from eventhub.event import Event
from eventhub.ingest import loading
from eventhub.ingest.loading import BadRow, Loaded, Loader
from eventhub.memory import MemoryStream
from eventhub.stream import OnAppended
from tests.builders import make_event

CHANNEL = Channel(
    "old",
    Columns(
        [
            Column("body"),
            Column("votes", Kind.INTEGER),
            Column("due", Kind.DATE),
            Column("price", Kind.DECIMAL, digits=Digits(10, 2)),
        ]
    ),
)
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
Row = Mapping[str, Any]


@pytest.fixture
def stream() -> MemoryStream:
    return MemoryStream(CHANNEL)


async def arrays(rows: Sequence[Row], size: int = 2) -> AsyncIterator[Sequence[Row]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


async def load(
    stream: MemoryStream, *rows: Row, dry_run: bool = False
) -> tuple[Loaded, list[BadRow]]:
    bad: list[BadRow] = []
    loaded = await Loader(stream, lambda: NOW).load(arrays(rows), bad.append, dry_run=dry_run)
    assert loaded.bad == len(bad)
    return loaded, bad


def events(stream: MemoryStream) -> list[Event]:
    return [stream.at(sequence).event for sequence in range(1, stream.length + 1)]


ROWS: list[Row] = [
    {"id": "b", "user": "ann", "timestamp": "2020-01-02 03:04:05+01:00", "body": "first"},
    {"id": 7, "user": None, "timestamp": None, "body": None, "votes": "3"},
    {"id": "a", "due": date(2021, 2, 3), "price": Decimal("1.5"), "body": "third", "old": "kept"},
]


async def test_rows_are_posted_in_order_with_their_id_user_and_timestamp(
    stream: MemoryStream,
) -> None:
    assert await load(stream, *ROWS) == (Loaded(stored=3), [])
    first, second, third = events(stream)
    assert (first.id, first.user, first.method) == ("b", "ann", "POST")
    assert first.row == {
        "body": "first",
        "votes": None,
        "due": None,
        "price": None,
        "id": "b",
        "user": "ann",
        "timestamp": "2020-01-02T02:04:05",
    }
    assert first.time == "2026-11-23T10:00:00.000000Z"
    assert (second.id, second.row and second.row["votes"]) == ("7", 3)
    assert second.row is not None
    assert second.row["timestamp"] is None
    assert third.row is not None
    assert (third.row["due"], third.row["price"]) == ("2021-02-03", "1.50")
    assert third.message["old"] == "kept"
    assert not any(event.alert for event in (first, second, third))


async def test_loading_again_posts_only_what_is_new(stream: MemoryStream) -> None:
    await load(stream, *ROWS[:2])
    assert await load(stream, *ROWS) == (Loaded(stored=1, known=2), [])
    assert await load(stream, *ROWS) == (Loaded(known=3), [])
    assert stream.length == 3


async def test_a_row_that_was_changed_or_deleted_since_is_not_posted_again(
    stream: MemoryStream,
) -> None:
    await load(stream, *ROWS)
    row = stream.at(1).event.row
    changed = make_event(id="b", method="PUT", created=1, row={**(row or {}), "body": "new"})
    await stream.append(changed, expect=1)
    deleted = make_event(id="a", method="DELETE", created=3, row=None)
    await stream.append(deleted, expect=3)
    assert await load(stream, *ROWS) == (Loaded(known=3), [])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"id": "x", "votes": "many"}, 'votes: "many" is not a whole number'),
        ({"id": None}, "the message has no id, which names its row"),
        ({"id": ""}, "id must be text of 1 to 200 characters"),
        ({"body": "no id"}, "the message has no id, which names its row"),
        ({"id": "x", "timestamp": "last week"}, 'timestamp: "last week" is not a time'),
        ({"id": "x", "_seq": 3}, "_seq: no column begins with _"),
        ({"id": "b", "body": "another"}, "its id exists with other values"),
        ({"id": "x", "body": b"bytes"}, "body: a bytes is not text"),
        ({"id": "x", "old": object()}, "a value is not JSON"),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_row_that_does_not_fit_is_named_and_the_others_are_posted(
    stream: MemoryStream, row: Row, reason: str, dry_run: bool
) -> None:
    loaded, [bad] = await load(stream, ROWS[0], row, ROWS[2], dry_run=dry_run)
    assert loaded == Loaded(stored=2, bad=1)
    assert bad.number == 2
    assert str(bad).startswith("row 2")
    assert reason in str(bad)
    assert [event.id for event in events(stream)] == ([] if dry_run else ["b", "a"])


class Forgetful(MemoryStream):
    """A log that stores the second event without an answer, and soon forgets its write id."""

    has_failed = False

    def submit(
        self, event: Event, *, expect: int, sender: Hashable, on_appended: OnAppended
    ) -> bool:
        if self.has_failed or self.length != 1:
            return super().submit(event, expect=expect, sender=sender, on_appended=on_appended)
        self.has_failed = True
        self.store(event, expect)
        del self._writes[event.write]
        on_appended(Unavailable("no answer", code="unknown_outcome"))
        return True


async def test_a_log_that_does_not_answer_is_asked_again_and_stores_each_row_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loading, "RETRY_SECONDS", (0.0, 0.0))
    stream = Forgetful(CHANNEL)
    loaded, bad = await load(stream, *ROWS)
    assert (loaded, bad) == (Loaded(stored=3), [])
    assert [event.id for event in events(stream)] == ["b", "7", "a"]


async def test_a_log_that_never_answers_ends_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dead(MemoryStream):
        def submit(self, *_: Any, on_appended: OnAppended, **__: Any) -> bool:
            on_appended(Unavailable("no answer"))
            return True

    monkeypatch.setattr(loading, "RETRY_SECONDS", (0.01, 0.01))
    monkeypatch.setattr(loading, "PATIENCE_SECONDS", 0.02)
    with pytest.raises(Unavailable, match="no answer"):
        await load(Dead(CHANNEL), *ROWS)


async def test_an_id_that_another_writer_took_meanwhile_is_named() -> None:
    class Raced(MemoryStream):
        def submit(
            self, event: Event, *, expect: int, sender: Hashable, on_appended: OnAppended
        ) -> bool:
            if event.id == "a":
                self.store(make_event(id="a"), 0)
            return super().submit(event, expect=expect, sender=sender, on_appended=on_appended)

    loaded, [bad] = await load(Raced(CHANNEL), *ROWS)
    assert loaded == Loaded(stored=2, bad=1)
    assert str(bad) == "row 3 (id 'a'): its id exists, written while the rows were loaded (exists)"
