"""A few large messages are under way at once; who waits is served in order, or gives up."""

import asyncio

import pytest

from eventhub.errors import Rejected
from eventhub.gateway import large as large_module
from eventhub.gateway.large import UNDER_WAY_BYTES, Large, Ticket


class Sender:
    """A connection with a large message."""

    def __init__(self, large: Large) -> None:
        self.granted = 0
        self.late = 0
        self.ticket = Ticket(large, self._on_granted, self._on_late)

    def _on_granted(self) -> None:
        self.granted += 1

    def _on_late(self) -> None:
        self.late += 1


async def test_so_many_have_a_place_as_there_are_bytes_for_and_the_next_come_in_order() -> None:
    large = Large(UNDER_WAY_BYTES // 2)
    first, second, third, fourth = (Sender(large) for _ in range(4))
    assert [each.ticket.ask() for each in (first, second, third, fourth)] == [True, True] + [
        False
    ] * 2
    second.ticket.give_back()
    assert (third.granted, fourth.granted) == (1, 0)
    assert third.ticket.ask()
    third.ticket.give_back()
    third.ticket.give_back()  # once is enough
    assert fourth.granted == 1
    for each in (first, fourth):
        each.ticket.give_back()
    assert [Sender(large).ticket.ask() for _ in range(3)] == [True, True, False]


async def test_who_leaves_while_waiting_takes_no_place() -> None:
    large = Large(UNDER_WAY_BYTES)
    first, gone, last = (Sender(large) for _ in range(3))
    for each in (first, gone, last):
        each.ticket.ask()
    gone.ticket.give_back()
    first.ticket.give_back()
    assert (gone.granted, last.granted) == (0, 1)


async def test_a_message_larger_than_all_room_has_a_place_alone() -> None:
    assert Sender(Large(2 * UNDER_WAY_BYTES)).ticket.ask()


async def test_what_was_large_makes_the_next_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_module, "BYTES_A_SECOND", 10_000_000)
    large = Large(UNDER_WAY_BYTES // 8)
    first, second, third = (Sender(large) for _ in range(3))
    assert first.ticket.ask()
    first.ticket.note(1_000_000)  # a tenth of a second
    first.ticket.give_back()
    began = asyncio.get_running_loop().time()
    assert not second.ticket.ask()
    assert not third.ticket.ask()
    async with asyncio.timeout(10):
        while not (second.granted and third.granted):
            await asyncio.sleep(0.001)
    assert asyncio.get_running_loop().time() - began > 0.09


async def test_one_that_does_not_come_is_late_if_others_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(large_module, "LATE_SECONDS", 0.01)
    large = Large(UNDER_WAY_BYTES)
    first, second = Sender(large), Sender(large)
    assert first.ticket.ask()
    await asyncio.sleep(0.05)
    assert first.late == 0
    second.ticket.ask()
    async with asyncio.timeout(10):
        while not first.late:
            await asyncio.sleep(0.01)
    first.ticket.give_back()
    assert second.granted == 1
    second.ticket.give_back()


async def test_text_is_decoded_beside_the_loop() -> None:
    large = Large(UNDER_WAY_BYTES)
    assert await large.decoded(b'[{"a": 1.5}, 2]', exact=False) == [{"a": 1.5}, 2]
    with pytest.raises(Rejected):
        await large.decoded(b"[" * 100_000 + b"]" * 100_000, exact=False)
