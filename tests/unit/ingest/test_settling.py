"""A draft is stored once, on the newest state of its row, however often others were faster."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from eventhub.errors import Damaged, EventHubError, Rejected, Unavailable
from eventhub.event import Event, StoredEvent
from eventhub.ingest.command import Command
from eventhub.ingest.draft import Draft
from eventhub.ingest.receipts import Owner, Receipt, Receipts, write_id
from eventhub.ingest.row_cache import RowCache
from eventhub.ingest.settling import MAX_CONFLICTS, Settling
from eventhub.memory import MemoryStream
from eventhub.stream import Appended, WrongSequence
from tests.builders import channel, make_event

NEW_SESSION = Owner(session="s1", is_new=True)


def make_draft(raw: dict[str, Any], *, time: str = "now", owner: Owner | None = None) -> Draft:
    command = Command.parse(raw, owner=owner or Owner(user="ann"))
    message = {key: value for key, value in raw.items() if key[:1] != "_"}
    return Draft(
        command=command,
        id=str(raw.get("id", "random")),
        time=time,
        endpoint="chat",
        user="ann",
        message=message,
        broadcast=None,
    )


class Process:
    """What one process of a hub has to settle drafts with."""

    def __init__(self, stream: MemoryStream) -> None:
        self.rows = RowCache(stream)
        self.receipts = Receipts(stream, after=stream.length)
        self.settling = Settling(stream, self.rows, self.receipts)

    async def store(self, raw: dict[str, Any], *, reads_row: bool = False, **more: Any) -> Receipt:
        return await self.settling.store(make_draft(raw, **more), reads_row=reads_row)


@pytest.fixture
def stream() -> MemoryStream:
    return MemoryStream(channel())


async def post(stream: MemoryStream, row_id: str = "a", **changes: Any) -> None:
    await stream.append(make_event(id=row_id, **changes), expect=0)


async def test_a_stale_cache_leads_to_a_second_append_and_to_no_refusal(
    stream: MemoryStream,
) -> None:
    process, other = Process(stream), Process(stream)
    await post(stream)
    assert (await process.store({"_method": "PUT", "id": "a", "votes": 1})).sequence == 2
    assert (await other.store({"_method": "DELETE", "id": "a"})).sequence == 3
    await post_again(stream)
    assert (await process.store({"_method": "PUT", "id": "a", "votes": 2})).sequence == 5
    last = await stream.last("a")
    assert last is not None
    assert last.event.row is not None
    assert (last.event.row["votes"], last.event.created) == (2, 4)


async def post_again(stream: MemoryStream) -> None:
    await stream.append(make_event(id="a"), expect=3)


async def test_a_stale_row_that_refuses_is_read_again_before_the_refusal(
    stream: MemoryStream,
) -> None:
    process, other = Process(stream), Process(stream)
    await post(stream)
    await process.store({"_method": "DELETE", "id": "a"})
    await other.store({"id": "a", "text": "back"}, reads_row=True)
    receipt = await process.store({"_method": "PUT", "id": "a", "votes": 1})
    assert receipt == Receipt("a", 4, duplicate=False)


class Contested(MemoryStream):
    """Another writer is faster, as often as a test wants."""

    def __init__(self, times: int) -> None:
        super().__init__(channel())
        self.times = times

    async def append(self, event: Event, *, expect: int) -> Appended:
        if self.times:
            self.times -= 1
            raise WrongSequence("the row has another last event")
        return self.store(event, expect)


@pytest.mark.parametrize("times", [1, MAX_CONFLICTS - 1, MAX_CONFLICTS])
async def test_a_put_is_merged_again_so_often_and_no_more(times: int) -> None:
    stream = Contested(times)
    stream.store(make_event(id="a"), 0)
    process = Process(stream)
    if times < MAX_CONFLICTS:
        assert (await process.store({"_method": "PUT", "id": "a", "votes": 1})).sequence == 2
        return
    with pytest.raises(Unavailable, match="too many writers change row 'a'"):
        await process.store({"_method": "PUT", "id": "a", "votes": 1})
    assert stream.length == 1


async def test_a_retry_gets_the_first_receipt_although_the_row_has_changed(
    stream: MemoryStream,
) -> None:
    message = {"id": "a", "text": "x", "_key": "k1"}
    first = await Process(stream).store(message, time="one")
    await Process(stream).store({"_method": "PUT", "id": "a", "votes": 1})
    again = await Process(stream).store(message, time="two", reads_row=True)
    assert again == Receipt("a", first.sequence, duplicate=True)
    assert stream.length == 2


async def test_an_attempt_of_the_same_draft_is_no_repetition(stream: MemoryStream) -> None:
    """Only its acknowledgement was lost: the sender sent it once."""
    message = {"id": "a", "text": "x", "_key": "k1"}
    await Process(stream).store(message, time="one")
    again = await Process(stream).store(message, time="one", reads_row=True)
    assert (again.sequence, again.duplicate) == (1, False)


async def test_a_key_of_another_message_is_refused_and_nothing_is_stored(
    stream: MemoryStream,
) -> None:
    await Process(stream).store({"id": "a", "text": "x", "_key": "k1"})
    with pytest.raises(Rejected) as refusal:
        await Process(stream).store({"id": "a", "text": "y", "_key": "k1"}, reads_row=True)
    assert refusal.value.code == "bad_control"
    assert stream.length == 1


async def test_a_write_from_before_the_session_is_found_by_its_digest(
    stream: MemoryStream,
) -> None:
    """A browser has no cookie at its first write, and retries with the cookie."""
    message = {"text": "x", "_key": "k1"}
    before = make_draft(message, owner=Owner())
    event = make_event(id="a", write=write_id("k1"), asked=before.command.digest)
    await stream.append(event, expect=0)
    process = Process(stream)
    again = await process.store(message, owner=NEW_SESSION)
    assert again == Receipt("a", 1, duplicate=True)
    other = await process.store({**message, "id": "b", "text": "other"}, owner=NEW_SESSION)
    assert (other.id, other.duplicate) == ("b", False)


class Broken(MemoryStream):
    """The newest event of every row is damaged."""

    async def last(self, row_id: str) -> StoredEvent | None:
        raise Damaged(f"the checksum of {row_id} is wrong")


async def test_a_damaged_row_is_an_internal_error_without_details_and_a_log_line() -> None:
    stream = Broken(channel())
    stream.store(make_event(id="a"), 0)
    with capture_logs() as logs, pytest.raises(EventHubError) as error:
        await Process(stream).store({"_method": "PUT", "id": "a"})
    assert (error.value.code, error.value.message) == (
        "internal",
        "the row's last event is damaged",
    )
    assert [(line["event"], line["id"]) for line in logs] == [("row_damaged", "a")]


async def test_a_plain_post_reads_no_row(stream: MemoryStream) -> None:
    broken = Broken(channel())
    assert (await Process(broken).store({"id": "a"})).sequence == 1


async def test_a_row_that_changed_lately_is_known(stream: MemoryStream) -> None:
    process = Process(stream)
    await process.store({"id": "a"})
    assert process.settling.has_recent("a")
    assert not process.settling.has_recent("b")
