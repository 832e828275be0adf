"""Pieces of work follow each other, whoever waits for them."""

import asyncio
from contextlib import suppress
from threading import Event

import pytest

from eventhub.gateway.one_thread import OneThread


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_piece_begins_when_the_one_before_has_ended(leaves: bool) -> None:
    """It is so if the client of the one before has left, too."""
    thread, order, begun, go_on = OneThread(), list[str](), Event(), Event()

    def first() -> None:
        begun.set()
        assert go_on.wait(20)
        order.append("first ends")

    def second() -> str:
        order.append("second begins")
        return "result"

    one = asyncio.create_task(thread.do(first))
    assert await asyncio.to_thread(begun.wait, 20)
    if leaves:
        one.cancel()
        with suppress(asyncio.CancelledError):
            await one
    two = asyncio.create_task(thread.do(second))
    for _ in range(20):  # time for a thread that ought not to be there
        await asyncio.to_thread(int)
    assert order == []
    go_on.set()
    assert await two == "result"
    assert order == ["first ends", "second begins"]
    await asyncio.gather(one, return_exceptions=True)
