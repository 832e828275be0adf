"""A user writes no more in a day than the quota, in any process, across restarts and bursts."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from datetime import datetime, timedelta
from typing import Any

import pytest

from eventhub.config import Quota
from eventhub.demand import Demand
from eventhub.errors import EventHubError, Rejected
from eventhub.event import Event
from eventhub.ingest.quotas import Quotas
from eventhub.memory import MemoryStream
from eventhub.stream import Appended
from tests.builders import channel, make_event

NOW = datetime.fromisoformat("2026-11-23T23:59:00+00:00")


class Process:
    """The quotas of one process, whose feed a test moves on."""

    def __init__(
        self,
        stream: MemoryStream,
        group: asyncio.TaskGroup,
        demand: Demand | None = None,
        **quota: int,
    ) -> None:
        self.stream = stream
        self.head = stream.length
        self.now = NOW
        self.quotas = Quotas(stream, lambda: self.head, group.create_task, lambda: self.now, demand)
        self._quota = Quota(**quota)
        self.outcomes: list[Appended | EventHubError] = []

    async def started(self) -> "Process":
        self.quotas.limit({"chat": self._quota})
        async with asyncio.timeout(40):
            await self.quotas._counted.wait()
        return self

    def deliver(self) -> None:
        """Let the feed deliver everything."""
        batch = [self.stream.at(n) for n in range(self.head + 1, self.stream.length + 1)]
        self.head = self.stream.length
        self.quotas.note(batch)

    def wake(self) -> None:
        """Let the feed go on at the end of the log, after a rest."""
        self.head = self.stream.length
        self.quotas.on_followed(self.head)

    def event(self, number: int, user: str | None = "ann", **fields: Any) -> Event:
        return make_event(
            id=f"{user}{number}",
            write=f"w{id(self)}.{user}.{number}.{fields.get('method')}",
            endpoint="chat",
            user=user,
            time=f"{self.now:%Y-%m-%dT%H:%M:%S.%f}Z",
            **fields,
        )

    async def post(self, number: int, user: str | None = "ann") -> str:
        try:
            await self.quotas.append(self.event(number, user), expect=0)
        except Rejected as error:
            return error.code
        return "stored"

    async def posts(self, count: int, first: int = 0, user: str | None = "ann") -> int:
        return [await self.post(first + n, user) for n in range(count)].count("stored")

    def burst(self, count: int) -> int:
        """Submit without waiting for an outcome; return how many were taken."""
        taken = 0
        for number in range(count):
            try:
                taken += self.quotas.submit(
                    self.event(number), expect=0, sender="s", on_appended=self.outcomes.append
                )
            except Rejected as error:
                assert error.code == "quota_exceeded"  # noqa: PT017 - counted, and not the last
        return taken


@pytest.fixture
async def group() -> AsyncIterator[asyncio.TaskGroup]:
    """Owns the tasks of a test."""
    async with asyncio.TaskGroup() as tasks:
        yield tasks


@pytest.fixture
def stream() -> MemoryStream:
    """The log of all processes."""
    return MemoryStream(channel())


async def test_a_user_creates_as_many_rows_as_the_quota_and_no_more(
    stream: MemoryStream, group: asyncio.TaskGroup
) -> None:
    hub = await Process(stream, group, rows=3).started()
    assert await hub.posts(5) == 3
    hub.deliver()
    assert await hub.posts(5, first=5) == 0
    assert await hub.posts(5, user="bob") == 3
    assert await hub.posts(5, user=None) == 3  # clients without a login are one user
    put = hub.event(0, method="PUT", was={})
    assert (await hub.quotas.append(put, expect=1)).sequence == stream.length


async def test_a_refusal_says_when_to_try_again(
    stream: MemoryStream, group: asyncio.TaskGroup
) -> None:
    hub = await Process(stream, group, events=1).started()
    assert await hub.posts(1) == 1
    with pytest.raises(Rejected) as refused:
        await hub.quotas.append(hub.event(1), expect=0)
    assert refused.value.as_dict() == {
        "code": "quota_exceeded",
        "message": "you have sent 1 changes to this table today, as many as allowed:"
        " try again after midnight UTC",
        "retry": True,
        "retry_after": 61,
    }
    hub.now += timedelta(seconds=61)
    hub.deliver()
    assert await hub.post(2) == "stored"


async def test_a_burst_that_is_not_stored_yet_exceeds_nothing(
    stream: MemoryStream, group: asyncio.TaskGroup
) -> None:
    hub = await Process(stream, group, rows=4).started()
    assert hub.burst(10) == 4
    await asyncio.sleep(0)
    assert len(hub.outcomes) == 4  # stored, and not delivered
    assert await hub.post(20) == "quota_exceeded"
    hub.deliver()
    assert await hub.post(21) == "quota_exceeded"
    assert hub.quotas._under_way == {}
    assert hub.quotas._stored == {}


async def test_what_was_not_stored_does_not_count(
    stream: MemoryStream, group: asyncio.TaskGroup
) -> None:
    hub = await Process(stream, group, rows=2).started()
    await hub.post(0)
    for _ in range(5):
        with pytest.raises(EventHubError, match="another last event"):
            await hub.quotas.append(make_event(id="ann0", endpoint="chat", user="ann"), expect=0)
    again = hub.event(0)
    assert (await hub.quotas.append(again, expect=0)).duplicate
    assert await hub.posts(5, first=1) == 1


async def test_the_bytes_of_events_count_and_only_the_last_may_exceed(
    stream: MemoryStream, group: asyncio.TaskGroup
) -> None:
    hub = await Process(stream, group, bytes=1000).started()
    stored = await hub.posts(50)
    sizes = [stream.at(n + 1).size for n in range(stream.length)]
    assert sum(sizes[:-1]) < 1000 <= sum(sizes)
    assert stored == len(sizes)
    hub.deliver()
    assert await hub.post(60) == "quota_exceeded"


async def test_a_restart_forgets_nothing_of_today(group: asyncio.TaskGroup) -> None:
    stream = MemoryStream(channel())
    first = await Process(stream, group, rows=3).started()
    first.now -= timedelta(days=1)
    assert await first.posts(3) == 3  # yesterday
    first.deliver()
    first.now += timedelta(days=1)
    assert await first.posts(2, first=10) == 2
    again = await Process(stream, group, rows=3).started()
    assert await again.posts(5, first=20) == 1


async def test_what_another_process_stored_counts_once_the_feed_delivers_it(
    stream: MemoryStream, group: asyncio.TaskGroup
) -> None:
    one = await Process(stream, group, rows=3).started()
    two = await Process(stream, group, rows=3).started()
    assert await one.posts(2) == 2
    two.deliver()
    assert await two.posts(5, first=10) == 1


async def test_what_was_written_while_the_feed_rested_counts_once(
    stream: MemoryStream, group: asyncio.TaskGroup
) -> None:
    one = await Process(stream, group, rows=9).started()
    two = Process(stream, group, Demand(0))
    two.quotas.limit({"chat": Quota(rows=9)})
    assert await one.posts(2) == 2
    for round_ in (1, 2):
        assert two.burst(1) == 0  # it is not known whether the user may
        posts = group.create_task(two.posts(2, first=100 * round_))
        await asyncio.sleep(0)
        assert not posts.done()
        two.wake()
        assert await posts == 2
        two.quotas.on_followed(None)  # before the feed has delivered them
    assert await one.posts(1, first=10) == 1
    two.wake()
    assert await two.posts(5, first=300) == 2
    two.deliver()
    assert two.quotas._under_way == {}


async def test_nothing_is_submitted_before_today_is_counted(
    stream: MemoryStream, group: asyncio.TaskGroup
) -> None:
    waiting: list[Coroutine[Any, Any, None]] = []
    quotas = Quotas(stream, lambda: 0, waiting.append, lambda: NOW)
    quotas.limit({"chat": Quota(rows=1)})
    event = make_event(id="a", endpoint="chat", user="ann")
    assert not quotas.submit(event, expect=0, sender="s", on_appended=lambda _: None)
    append = group.create_task(quotas.append(event, expect=0))
    await asyncio.sleep(0)
    assert stream.length == 0
    (count,) = waiting
    await count
    assert (await append).sequence == 1


async def test_rows_of_an_import_do_not_count(
    stream: MemoryStream, group: asyncio.TaskGroup
) -> None:
    hub = await Process(stream, group, rows=1).started()
    for number in range(3):
        today = f"{NOW:%Y-%m-%dT%H:%M:%S.%f}Z"
        stream.store(make_event(id=f"i{number}", user="ann", write=f"i{number}", time=today), 0)
    hub.deliver()
    assert await hub.posts(3) == 1


async def test_an_endpoint_without_a_quota_is_not_counted(
    stream: MemoryStream, group: asyncio.TaskGroup
) -> None:
    hub = Process(stream, group, rows=1)
    assert await hub.posts(3) == 3
    hub.deliver()
    assert hub.quotas._used == {}


async def test_an_event_of_the_future_does_not_begin_a_day(
    stream: MemoryStream, group: asyncio.TaskGroup
) -> None:
    hub = await Process(stream, group, rows=2).started()
    await hub.post(0)
    stream.store(make_event(id="x", user="eve", time="2031-01-01T00:00:00.000000Z"), 0)
    hub.deliver()
    assert await hub.posts(5, first=1) == 1
