"""Readers of segments and stream see what they would see of a log that nothing has left."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from eventhub.broker import EmbeddedBroker
from eventhub.jetstream import JetStreamLog
from eventhub.methods import Method
from projections.segment_file import ParquetSegments
from tests.builders import channel
from tests.sealing import all_read, followed, now, seal, seen, write

METHODS: list[Method] = ["POST", "PUT", "DELETE"]
CHANGES = st.lists(
    st.tuples(st.sampled_from(METHODS), st.sampled_from("abcde")), min_size=1, max_size=10
)


@settings(max_examples=8)
@given(parts=st.lists(CHANGES, min_size=1, max_size=3), rest=CHANGES, most=st.integers(1, 9))
def test_any_cut_leaves_what_every_reader_sees(
    parts: list[list[tuple[Method, str]]], rest: list[tuple[Method, str]], most: int
) -> None:
    """Also a process that knew the log before anything was sealed, and one that comes later."""
    asyncio.run(_compare(parts, rest, most))


async def _compare(
    parts: list[list[tuple[Method, str]]], rest: list[tuple[Method, str]], most: int
) -> None:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        broker = await stack.enter_async_context(EmbeddedBroker(Path(folder)))

        async def connected() -> JetStreamLog:
            return await stack.enter_async_context(
                JetStreamLog.connect(broker.url, token=broker.token, segments=ParquetSegments())
            )

        log, other = await connected(), await connected()
        whole, sealed = await log.open(channel("whole")), await log.open(channel())
        # Each reads in one way first: any of them may notice for the others what has left.
        stale = [await other.open(channel()) for _ in range(5)]
        moments = [now()]
        for part in parts:
            await write(part, whole, sealed)
            moments.append(now())
            await seal(log, sealed, most)
        await write(rest, whole, sealed)
        expected = await seen(whole, moments)
        assert await seen(sealed, moments) == expected
        last = expected["bounds"].last
        assert await followed(stale[0], 0, last) == expected["followed"][0]
        assert [e.payload for e in await all_read(stale[1])] == expected["read"][0]
        assert [await stale[2].get(n) for n in range(last + 2)] == expected["events"]
        assert [await stale[3].sequence_before(each) for each in moments] == expected["before"]
        assert await stale[4].bounds() == expected["bounds"]
        for each in stale:
            assert await seen(each, moments) == expected
        assert await seen(await (await connected()).open(channel()), moments) == expected
