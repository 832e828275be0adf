"""A message that is sent again is stored once, and gets the receipt of the first."""

import asyncio
from collections.abc import Hashable
from typing import Any

import pytest

from eventhub.errors import Unavailable
from eventhub.event import Event
from eventhub.ingest.receipts import Receipt
from eventhub.ingest.row_cache import RowCache
from eventhub.memory import MemoryStream
from eventhub.stream import Appended, OnAppended, WrongSequence
from tests.builders import make_event
from tests.unit.ingest.writer import CHANNEL, Writer, outcome


class Strict(MemoryStream):
    """As JetStream on one server: the expectation is checked before the id of the write."""

    async def append(self, event: Event, *, expect: int) -> Appended:
        last = await self.last(event.id)
        if (last.sequence if last else 0) != expect:
            raise WrongSequence("the row has another last event")
        return await super().append(event, expect=expect)


class Resent(MemoryStream):
    """Loses the answer to each submission, sends it again, and says that it is stored already.

    Meanwhile the process has received the event as a follower does, and what came after it.
    """

    rows: RowCache
    meanwhile: Event | None = None

    def submit(
        self, event: Event, *, expect: int, sender: Hashable, on_appended: OnAppended
    ) -> bool:
        stored = self.store(event, expect)
        if self.meanwhile is not None:
            self.store(self.meanwhile, stored.sequence)
        self.rows.note(map(self.at, range(stored.sequence, self.length + 1)))
        again = Appended(stored.sequence, duplicate=True)
        asyncio.get_running_loop().call_soon(on_appended, again)
        return True


@pytest.mark.parametrize("key", [{}, {"_key": "k"}])
@pytest.mark.parametrize("is_changed", [False, True])
async def test_a_post_whose_acknowledgement_was_lost_is_not_a_duplicate(
    key: dict[str, str], is_changed: bool
) -> None:
    stream = Resent(CHANNEL)
    write = Writer(stream)
    stream.rows = write.rows
    if is_changed:
        stream.meanwhile = make_event(id="1", method="PUT", write="w-other")
    assert await write({"id": "1", "text": "a", **key}) == Receipt("1", 1, duplicate=False)


MEANWHILE: dict[str, list[dict[str, Any]]] = {
    "nothing": [],
    "edited": [{"_method": "PUT", "id": "1", "text": "edited"}],
    "deleted": [{"_method": "DELETE", "id": "1"}],
    "made again": [{"_method": "DELETE", "id": "1"}, {"_method": "POST", "id": "1"}],
}
RETRIED: dict[str, list[dict[str, Any]]] = {
    "POST": [{"id": "1", "text": "a", "_key": "k"}],
    "POST if new": [{"id": "1", "_key": "k", "_if_seq": 0}],
    "PUT": [{"id": "1"}, {"_method": "PUT", "id": "1", "text": "b", "_key": "k"}],
    "PUT if": [{"id": "1"}, {"_method": "PUT", "id": "1", "_key": "k", "_if_seq": 1}],
    "upsert that creates": [{"id": "1", "text": "a", "_key": "k", "_upsert": True}],
    "upsert that changes": [{"id": "1"}, {"id": "1", "text": "b", "_key": "k", "_upsert": True}],
}


@pytest.mark.parametrize("meanwhile", MEANWHILE)
@pytest.mark.parametrize("retried", RETRIED)
@pytest.mark.parametrize("kind", [MemoryStream, Strict])
@pytest.mark.parametrize("process", ["same", "other", "restarted"])
async def test_a_retry_with_a_key_gets_the_first_receipt_and_stores_nothing(
    meanwhile: str, retried: str, kind: type[MemoryStream], process: str
) -> None:
    stream = kind(CHANNEL)
    writer = Writer(stream)
    *earlier, keyed = RETRIED[retried]
    for message in earlier:
        await writer(message)
    first = await writer(keyed)
    for message in MEANWHILE[meanwhile]:
        await writer(message)
    length = stream.length
    if process == "same":
        writer.receipts.note([stream.at(number + 1) for number in range(length)])
    else:
        writer = Writer(stream, after=length if process == "restarted" else 0)
        if process == "other":
            writer.receipts.note([stream.at(number + 1) for number in range(length)])
    again = await writer(keyed)
    assert again == first._replace(duplicate=True)
    assert stream.length == length


@pytest.mark.parametrize("retried", RETRIED)
@pytest.mark.parametrize("kind", [MemoryStream, Strict])
async def test_an_immediate_retry_is_known_before_the_feed_has_the_event(
    retried: str, kind: type[MemoryStream]
) -> None:
    writer = Writer(kind(CHANNEL))
    *earlier, keyed = RETRIED[retried]
    for message in earlier:
        await writer(message)
    first = await writer(keyed)
    assert await writer(keyed) == first._replace(duplicate=True)


async def test_a_retried_delete_gets_the_first_receipt(stream: MemoryStream) -> None:
    writer = Writer(stream)
    await writer(id="1")
    first = await writer(_method="DELETE", id="1", _key="k")
    again = await Writer(stream, after=2)(_method="DELETE", id="1", _key="k")
    assert again == Receipt(first.id, first.sequence, True)
    assert stream.length == 2


async def test_a_retried_post_without_an_id_gets_the_id_of_the_first(write: Writer) -> None:
    first = await write(text="a", _key="k")
    again = await write(text="a", _key="k")
    assert again == Receipt(first.id, first.sequence, True)


async def test_a_refusal_of_a_new_key_stays_one(stream: MemoryStream) -> None:
    await Writer(stream)(id="1", _key="k")
    for writer in (Writer(stream, after=0), Writer(stream, after=1)):
        assert await outcome(writer(id="1", _key="other")) == "exists"
        assert await outcome(writer(id="1")) == "exists"


class Lossy(MemoryStream):
    """Stores the first event, but its acknowledgement is lost."""

    is_lossy = True

    def store(self, event: Event, expect: int) -> Appended:
        appended = super().store(event, expect)
        if self.is_lossy:
            self.is_lossy = False
            raise Unavailable("no answer", code="unknown_outcome")
        return appended


async def test_an_unknown_outcome_is_reported_and_a_retry_settles_it() -> None:
    stream = Lossy(CHANNEL)
    writer = Writer(stream)
    assert await outcome(writer(id="1", _key="k")) == "unknown_outcome"
    assert await writer(id="1", _key="k") == Receipt("1", 1, True)
    assert stream.length == 1
