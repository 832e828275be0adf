"""A round is the front of the queue, and has no row and no sender in common with another one."""

import asyncio
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventhub.errors import Unavailable
from eventhub.jetstream import write_queue
from eventhub.jetstream.write import Write
from eventhub.jetstream.write_queue import WriteQueue
from tests.examples import examples

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "take", "release", "forget"]),
        st.integers(0, 4),
        st.sampled_from([None, "ann", "bob"]),
    ),
    max_size=60,
)


def make_write(row: object = "row", sender: str | None = None, size: int = 10) -> Write:
    return Write(f"eh.chat.{row}", b"x" * size, 0, "w", lambda _: None, sender)


def may_join(write: Write, taken: list[Write], rounds: list[list[Write]]) -> bool:
    """Tell by the rule, written plainly, whether a write may go with a round."""
    if write.subject in [each.subject for each in taken]:
        return False
    under_way = [each for round_ in rounds for each in round_]
    senders = [each.sender for each in under_way if each.sender is not None]
    return write.subject not in [each.subject for each in under_way] and write.sender not in senders


@settings(max_examples=examples(300))
@given(STEPS)
async def test_rounds_keep_the_order_and_share_no_row_or_sender(
    steps: list[tuple[str, int, str | None]],
) -> None:
    queue, rounds = WriteQueue(), list[list[Write]]()
    waiting: list[Write] = []  # the model: everything that was put and not taken
    for step, number, sender in steps:
        if step == "put":
            waiting.append(make_write(number, sender))
            queue.put(waiting[-1])
        elif step == "forget" and number < len(waiting):
            waiting[number].forget()
        elif step == "release" and number < len(rounds):
            queue.release(rounds.pop(number))
        elif step == "take":
            expected: list[Write] = []
            for write in waiting:
                if not may_join(write, expected, rounds):
                    break
                expected.append(write)
            if len(expected) < max(number, 1):
                expected = []
            waiting = waiting[len(expected) :]
            taken = queue.take(max(number, 1))
            assert taken == [write for write in expected if not write.is_settled]
            rounds.append(taken)
        assert list(queue) == waiting


@pytest.mark.parametrize(("name", "most"), [("BATCH", 4), ("ROUND_BYTES", 40)])
async def test_a_round_is_bounded_in_messages_and_bytes(
    monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    monkeypatch.setattr(write_queue, name, most)
    queue = WriteQueue()
    for row in range(10):
        queue.put(make_write(row))
    assert [len(queue.take()) for _ in range(4)] == [4, 4, 2, 0]


@pytest.mark.parametrize(("name", "most"), [("QUEUE_COUNT", 3), ("QUEUE_BYTES", 30)])
async def test_a_full_queue_has_no_room_until_a_round_is_taken(
    monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    monkeypatch.setattr(write_queue, name, most)
    queue = WriteQueue()
    for row in range(3):
        assert queue.has_room
        queue.put(make_write(row))
    assert not queue.has_room
    queue.take()
    assert queue.has_room


async def test_writers_that_wait_for_room_get_it_in_the_order_they_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(write_queue, "QUEUE_COUNT", 1)
    queue, numbers, came = WriteQueue(), count(), list[int]()
    queue.put(make_write("first"))

    async def write(number: int) -> None:
        await queue.room()
        came.append(number)
        queue.put(make_write(next(numbers)))

    async with asyncio.timeout(40), asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(write(number))
        while len(came) < 20:
            await asyncio.sleep(0)
            queue.release(queue.take())
    assert came == list(range(20))


async def test_a_writer_that_finds_no_room_in_time_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(write_queue, "QUEUE_COUNT", 1)
    monkeypatch.setattr(write_queue, "ROOM_SECONDS", 0.02)
    queue = WriteQueue()
    queue.put(make_write())
    with pytest.raises(Unavailable, match="too slow; nothing was stored"):
        await queue.room()
    queue.take()
    await queue.room()  # the entrance is free again


async def test_gathering_waits_for_the_writers_that_were_answered_last() -> None:
    queue = WriteQueue()
    for row in range(8):
        queue.put(make_write(row))
    queue.release(queue.take())
    queue.put(make_write(0))
    gathering = asyncio.ensure_future(queue.gather())
    await asyncio.sleep(0)
    for row in range(1, 8):
        queue.put(make_write(row))
    await gathering
    assert len(queue.take()) == 8


async def test_gathering_does_not_wait_for_writers_that_do_not_come() -> None:
    queue = WriteQueue()
    for row in range(8):
        queue.put(make_write(row))
    queue.release(queue.take())
    queue.put(make_write(0))
    async with asyncio.timeout(40):
        await queue.gather()
    assert len(queue.take()) == 1
