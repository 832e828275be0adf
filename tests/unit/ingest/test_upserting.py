"""An upsert changes its row, or creates it, whatever other writers do in the meantime."""

import pytest

from eventhub.errors import EventHubError
from eventhub.event import Event
from eventhub.ingest.upserting import MAX_DECISIONS
from eventhub.memory import MemoryStream
from eventhub.stream import Appended
from tests.builders import make_event
from tests.unit.ingest.writer import CHANNEL, Writer


class Contested(MemoryStream):
    """Another process creates or deletes the row before each of the first few appends."""

    def __init__(self, *, times: int) -> None:
        super().__init__(CHANNEL)
        self.times = times

    def store(self, event: Event, expect: int) -> Appended:
        if event.write.startswith("w-other") or not self.times:
            return super().store(event, expect)
        self.times -= 1
        last = self.at(self.length) if self.length else None
        is_there = last is not None and last.event.row is not None
        row = {"text": "theirs", "votes": None, "data": None, "id": "1"}
        other = make_event(
            id="1",
            method="DELETE" if is_there else "POST",
            row=None if is_there else row,
            was=row if is_there else None,
            write=f"w-other{self.times}",
        )
        super().store(other, last.sequence if last else 0)
        return super().store(event, expect)


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_an_upsert_creates_a_row_and_then_changes_what_it_names(method: str) -> None:
    stream = MemoryStream(CHANNEL)
    write = Writer(stream, message_default={"POST": {"votes": 7}, "PUT": {"data": '"changed"'}})
    upsert = {"_method": method, "id": "1", "_upsert": True}
    first = await write({**upsert, "text": "a"})
    assert (first.created, stream.at(first.sequence).event.method) == (True, "POST")
    again = await write({**upsert, "text": "b"})
    event = stream.at(again.sequence).event
    assert (again.created, event.method, event.was) == (False, "PUT", {"text": "a", "data": None})
    assert event.row is not None
    assert (event.row["text"], event.row["votes"], event.row["data"]) == ("b", 7, "changed")
    await write(_method="DELETE", id="1")
    assert (await write(upsert)).created


async def test_an_upsert_whose_row_appears_or_disappears_is_decided_again() -> None:
    for times in range(1, MAX_DECISIONS):
        stream = Contested(times=times)
        receipt = await Writer(stream)(id="1", text="ours", _upsert=True)
        event = stream.at(receipt.sequence).event
        assert event.method == ("PUT" if times % 2 else "POST")
        assert event.row is not None
        assert event.row["text"] == "ours"


async def test_an_upsert_gives_up_where_others_never_stop() -> None:
    [outcome] = await Writer(Contested(times=1000)).all({"id": "1", "_upsert": True})
    assert isinstance(outcome, EventHubError)
    assert outcome.code == "unavailable"


async def test_an_upsert_needs_an_id_and_keeps_its_conditions() -> None:
    write = Writer(MemoryStream(CHANNEL))
    outcomes = await write.all(
        {"_upsert": True},
        {"_upsert": True, "id": ""},
        {"_upsert": True, "id": "1", "_if_seq": 3},
        {"_upsert": True, "id": "1", "_if_seq": 0},
        {"_upsert": True, "id": "1", "_if_seq": 0},
        {"_upsert": True, "id": "1", "votes": "many"},
    )
    codes = [getattr(each, "code", None) or getattr(each, "created", None) for each in outcomes]
    assert codes == ["bad_id", "bad_id", "conflict", True, "conflict", "bad_value"]


async def test_a_row_of_the_same_array_is_known_to_an_upsert() -> None:
    write = Writer(MemoryStream(CHANNEL))
    outcomes = await write.all({"id": "1"}, {"id": "1", "_upsert": True, "text": "b"})
    assert [getattr(each, "created", each) for each in outcomes] == [None, False]


async def test_the_same_key_of_a_post_that_is_no_upsert_is_refused() -> None:
    write = Writer(MemoryStream(CHANNEL))
    await write(id="1", _key="k")
    [outcome] = await write.all({"id": "1", "_key": "k", "_upsert": True})
    assert isinstance(outcome, EventHubError)
    assert outcome.code == "bad_control"
