"""A few large messages are in progress at once; those that wait are served in order."""

import asyncio

import pytest

from eventhub.errors import Rejected
from eventhub.gateway import large as large_module
from eventhub.gateway.large import IN_PROGRESS_BYTES, LargeMessages, Permit


class Sender:
    """A connection with a large message."""

    def __init__(self, large: LargeMessages) -> None:
        self.granted = 0
        self.late = 0
        self.permit = Permit(large, self._on_granted, self._on_late)

    def _on_granted(self) -> None:
        self.granted += 1

    def _on_late(self) -> None:
        self.late += 1


async def test_permits_are_bounded_by_bytes_and_granted_in_order() -> None:
    large = LargeMessages(IN_PROGRESS_BYTES // 2)
    first, second, third, fourth = (Sender(large) for _ in range(4))
    assert [each.permit.request() for each in (first, second, third, fourth)] == [True, True] + [
        False
    ] * 2
    second.permit.give_back()
    assert (third.granted, fourth.granted) == (1, 0)
    assert third.permit.request()
    third.permit.give_back()
    third.permit.give_back()  # once is enough
    assert fourth.granted == 1
    for each in (first, fourth):
        each.permit.give_back()
    assert [Sender(large).permit.request() for _ in range(3)] == [True, True, False]


async def test_a_connection_that_ends_while_waiting_takes_no_permit() -> None:
    large = LargeMessages(IN_PROGRESS_BYTES)
    first, gone, last = (Sender(large) for _ in range(3))
    for each in (first, gone, last):
        each.permit.request()
    gone.permit.give_back()
    first.permit.give_back()
    assert (gone.granted, last.granted) == (0, 1)


async def test_a_message_larger_than_the_whole_limit_gets_a_permit_alone() -> None:
    assert Sender(LargeMessages(2 * IN_PROGRESS_BYTES)).permit.request()


async def test_after_a_large_message_the_next_waits_by_its_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(large_module, "BYTES_A_SECOND", 10_000_000)
    large = LargeMessages(IN_PROGRESS_BYTES // 8)
    first, second, third = (Sender(large) for _ in range(3))
    assert first.permit.request()
    first.permit.note(1_000_000)  # a tenth of a second
    first.permit.give_back()
    began = asyncio.get_running_loop().time()
    assert not second.permit.request()
    assert not third.permit.request()
    async with asyncio.timeout(40):
        while not (second.granted and third.granted):
            await asyncio.sleep(0.001)
    assert asyncio.get_running_loop().time() - began > 0.09


@pytest.mark.parametrize("is_behind", [True, False])
async def test_large_messages_come_slowly_while_the_tables_are_behind(
    monkeypatch: pytest.MonkeyPatch, is_behind: bool
) -> None:
    """Otherwise readers would wait for what the tables lack."""
    monkeypatch.setattr(large_module, "BEHIND_BYTES_A_SECOND", 1)
    large = LargeMessages(IN_PROGRESS_BYTES // 8, lambda: is_behind)
    first, second = Sender(large), Sender(large)
    assert first.permit.request()
    first.permit.note(100)
    first.permit.give_back()
    await asyncio.sleep(0.001)  # a hundred bytes take less at the usual pace
    assert second.permit.request() is not is_behind
    second.permit.give_back()


async def test_a_message_that_does_not_arrive_is_late_if_others_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(large_module, "LATE_SECONDS", 0.01)
    large = LargeMessages(IN_PROGRESS_BYTES)
    first, second = Sender(large), Sender(large)
    assert first.permit.request()
    await asyncio.sleep(0.05)
    assert first.late == 0
    second.permit.request()
    async with asyncio.timeout(40):
        while not first.late:
            await asyncio.sleep(0.01)
    first.permit.give_back()
    assert second.granted == 1
    second.permit.give_back()


async def test_large_text_is_decoded_in_a_thread() -> None:
    large = LargeMessages(IN_PROGRESS_BYTES)
    assert await large.decode(b'[{"a": 1.5}, 2]', exact=False) == [{"a": 1.5}, 2]
    with pytest.raises(Rejected):
        await large.decode(b"[" * 100_000 + b"]" * 100_000, exact=False)
