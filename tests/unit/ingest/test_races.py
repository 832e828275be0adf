"""Of writers that race for a row, each is stored once, or gets the reason why not."""

import asyncio

import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns
from eventhub.errors import Unavailable
from eventhub.event import Event, StoredEvent
from eventhub.ingest.settling import MAX_CONFLICTS
from eventhub.memory import MemoryStream
from eventhub.stream import Appended, WrongSequence
from tests.unit.ingest.writer import CHANNEL, Writer, outcome


class Paced(MemoryStream):
    """Reading takes a while, as over a network: others write meanwhile."""

    async def last(self, row_id: str) -> StoredEvent | None:
        found = await super().last(row_id)
        await asyncio.sleep(0)
        return found


async def test_all_changes_of_writers_that_race_for_a_row_are_stored() -> None:
    names = [f"n{number}" for number in range(MAX_CONFLICTS)]
    stream = Paced(Channel("chat", Columns([Column(name) for name in names])))
    writers = [Writer(stream), Writer(stream)]
    await writers[0](id="1")
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(writers[n % 2]({"_method": "PUT", "id": "1", name: name}))
            for n, name in enumerate(names)
        ]
    assert sorted(task.result().sequence for task in tasks) == list(range(2, len(names) + 2))
    last = stream.at(stream.length).event
    assert last.row is not None
    assert {name: last.row[name] for name in names} == {name: name for name in names}
    before = stream.at(1).event.row
    for number in range(2, stream.length + 1):
        event = stream.at(number).event
        assert event.before == before, "each event follows the one before"
        before = event.row


async def test_the_second_of_two_posts_of_one_id_is_refused_as_exists() -> None:
    stream = Paced(CHANNEL)
    first, second = Writer(stream), Writer(stream)
    await first(id="1", text="a")
    await first(_method="DELETE", id="1")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(outcome(writer(id="1", text="b"))) for writer in (first, second)]
    assert sorted(str(task.result()) for task in tasks) == ["exists", "stored"]


class Busy(MemoryStream):
    """Somebody else is always first."""

    attempts = 0

    def store(self, event: Event, expect: int) -> Appended:
        self.attempts += 1
        raise WrongSequence("somebody was first")


async def test_a_writer_that_always_loses_the_race_is_asked_to_retry() -> None:
    stream = Busy(CHANNEL)
    with pytest.raises(Unavailable) as caught:
        await Writer(stream)(id="1")
    assert (caught.value.code, caught.value.as_dict()["retry"]) == ("unavailable", True)
    assert stream.attempts == 1 + MAX_CONFLICTS  # begun once, then settled


async def test_a_row_that_another_process_changed_is_read_again(stream: MemoryStream) -> None:
    here, there = Writer(stream), Writer(stream)
    await here(id="1", text="a")
    await there(_method="PUT", id="1", votes=1)
    event = await here.event(_method="PUT", id="1", text="b")
    assert event.row is not None
    assert (event.row["text"], event.row["votes"], event.was) == ("b", 1, {"text": "a"})
    await there(_method="DELETE", id="1")
    assert await outcome(here(_method="PUT", id="1", text="c")) == "not_found"
    await there(id="1")
    assert await outcome(here(_method="DELETE", id="1")) == "stored"
