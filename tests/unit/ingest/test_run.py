"""A run collects the outcomes of messages that are stored at the same time."""

import asyncio

import pytest

from eventhub.errors import EventHubError, Rejected, Unavailable
from eventhub.ingest.receipts import Receipt
from eventhub.ingest.run import Run


def receipt(sequence: int) -> Receipt:
    return Receipt(f"row {sequence}", sequence, duplicate=False)


async def test_outcomes_that_come_in_any_order_are_returned_in_that_of_the_messages() -> None:
    run = Run(lambda _count, _size: None)
    first = run.expect()
    refusal = Rejected("bad_value", "no")
    run.add(refusal)
    last = run.expect()
    async with asyncio.TaskGroup() as group:
        outcomes = group.create_task(run.outcomes())
        await asyncio.sleep(0)
        last(receipt(2), 20)
        await asyncio.sleep(0)
        assert not outcomes.done()
        first(receipt(1), 10)
    assert outcomes.result() == [receipt(1), refusal, receipt(2)]


async def test_what_was_stored_is_reported_once_nothing_is_missing() -> None:
    """Even if nobody waits for the outcomes any more: the client has left."""
    stored: list[tuple[int, int]] = []
    run = Run(lambda count, size: stored.append((count, size)))
    first, second, refused = run.expect(), run.expect(), run.expect()
    first(receipt(1), 10)
    refused(Rejected("bad_value", "no"), 0)
    assert not stored
    second(receipt(2), 20)
    run.expect()(receipt(3), 40)
    assert stored == [(2, 30), (1, 40)]


async def test_a_place_that_is_withdrawn_is_not_waited_for() -> None:
    run = Run(lambda _count, _size: None)
    run.expect()(receipt(1), 10)
    run.expect()
    run.withdraw()
    assert len(run) == 1
    assert await run.outcomes() == [receipt(1)]


@pytest.mark.parametrize(
    ("error", "is_refused"), [(Rejected("bad_value", "no"), True), (Unavailable("later"), False)]
)
def test_only_what_may_not_be_sent_again_is_a_refusal(
    error: EventHubError, is_refused: bool
) -> None:
    run = Run(lambda _count, _size: None)
    run.add(error)
    assert run.is_refused is is_refused
