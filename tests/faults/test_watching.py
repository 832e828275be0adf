"""A watcher of records ends up with what was put last, over any outage of the broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from eventhub.broker import EmbeddedBroker
from eventhub.jetstream import JetStreamLog
from eventhub.stream import Records
from tests.faults.proxy import Proxy
from tests.faults.test_writer import until


@asynccontextmanager
async def _seen(records: Records) -> AsyncIterator[dict[str, bytes]]:
    """Yield what a watcher knows, as long as the block runs."""
    seen: dict[str, bytes] = {}

    async def watch() -> None:
        async with records.watch() as watching:
            async for watched in watching:
                if watched.is_whole:
                    seen.clear()
                seen.update({each.key: each.value for each in watched.records})

    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch())
        yield seen
        task.cancel()


async def test_a_watcher_gets_what_was_put_while_its_connection_was_cut(
    broker: EmbeddedBroker, log: JetStreamLog
) -> None:
    records = await log.records("access")
    async with (
        Proxy(int(broker.url.rpartition(":")[2])).running() as proxy,
        JetStreamLog.connect(proxy.url, token=broker.token) as cut,
        _seen(await cut.records("access")) as seen,
    ):
        for number in range(1, 6):
            proxy.abort()
            await records.put("a", b"%d" % number)
            await records.put(f"b.{number}", b"")
            await until(lambda number=number: seen.get("a") == b"%d" % number)  # type: ignore[misc]
        assert seen.keys() == {"a", *(f"b.{number}" for number in range(1, 6))}


async def test_a_watcher_that_reads_everything_again_forgets_what_is_gone(
    broker: EmbeddedBroker, log: JetStreamLog
) -> None:
    records = await log.records("access")
    await records.put("a", b"1")
    async with (
        Proxy(int(broker.url.rpartition(":")[2])).running() as proxy,
        JetStreamLog.connect(proxy.url, token=broker.token) as cut,
        _seen(await cut.records("access")) as seen,
    ):
        await until(lambda: "a" in seen)
        await records.delete("a")
        proxy.abort()
        await records.put("b", b"2")
        await until(lambda: "b" in seen and "a" not in seen)
