"""An answer on the tables socket arrives whole, as what it is, or as an error."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eventhub.errors import EventHubError, Rejected, Unavailable
from eventhub.unix_socket import bound
from projections.progress import Progress
from projections.tables_socket import NAME, Answer, Request, asked, is_served

PROGRESS = Progress("e1", 9, 7)
Give = Callable[[Answer, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def answering(folder: Path, give: Give) -> AsyncIterator[None]:
    """Answer every request in the same way."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        await give(Answer(writer), writer)
        writer.close()

    server = await asyncio.start_unix_server(answer, sock=bound(folder, NAME))
    async with asyncio.timeout(40), server:
        yield


LISTING = Request(want="listing", table="chat")


async def test_the_parts_of_an_answer_keep_their_frames(tmp_path: Path) -> None:
    parts = [[b"a", b"x" * 100_000], [], [b"b"]]

    async def give(answer: Answer, _: asyncio.StreamWriter) -> None:
        await answer.begin(PROGRESS)
        for part in parts:
            for frame in (*part, b""):
                await answer.put(frame)

    async with answering(tmp_path, give), asked(tmp_path, LISTING) as reply:
        assert await reply.begin() == PROGRESS
        assert [[frame async for frame in reply.part()] for _ in parts] == parts


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Rejected("bad_request", "no such table"), Rejected),
        (Unavailable("the tables are behind", code="busy"), Unavailable),
        (EventHubError("internal error"), Rejected),
    ],
)
async def test_a_refusal_is_raised_by_whether_a_retry_helps(
    tmp_path: Path, error: EventHubError, kind: type[EventHubError]
) -> None:
    async def give(answer: Answer, _: asyncio.StreamWriter) -> None:
        await answer.refuse(error)

    async with answering(tmp_path, give), asked(tmp_path, LISTING) as reply:
        with pytest.raises(kind, match=error.message):
            await reply.begin()


@pytest.mark.parametrize("cut", [0, 3, 4, 7])
async def test_an_answer_that_was_cut_off_is_no_shorter_answer(tmp_path: Path, cut: int) -> None:
    async def give(answer: Answer, writer: asyncio.StreamWriter) -> None:
        await answer.begin(PROGRESS)
        await answer.put(b"first")
        writer.write((struct.pack("!I", 5) + b"second"[:5])[:cut])

    async with answering(tmp_path, give), asked(tmp_path, LISTING) as reply:
        await reply.begin()
        found = []
        with pytest.raises(Unavailable, match="the hub stopped sending"):
            found.extend([frame async for frame in reply.part()])
        assert found == []


async def test_a_hub_that_sends_nothing_is_given_up(tmp_path: Path) -> None:
    stop = asyncio.Event()

    async def give(_: Answer, __: asyncio.StreamWriter) -> None:
        await stop.wait()

    async with answering(tmp_path, give):
        async with asked(tmp_path, LISTING) as reply:
            with pytest.raises(Unavailable):
                await reply.begin(0.02)
        stop.set()


def test_a_hub_that_was_killed_does_not_seem_to_serve(tmp_path: Path) -> None:
    assert not is_served(tmp_path)
    with bound(tmp_path, NAME):
        assert is_served(tmp_path)
    assert (tmp_path / NAME).exists()
    assert not is_served(tmp_path)
