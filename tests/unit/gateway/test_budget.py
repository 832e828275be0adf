"""A client uses no more than it may, over all of its connections, and others are not concerned."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub import metrics
from eventhub.config import Limits
from eventhub.errors import Rejected
from eventhub.gateway import budget as budget_module
from eventhub.gateway.budget import Budgets, Share
from tests.unit.gateway.test_throttle import Clock


def budgets(clock: Clock | None = None, most: int = 1000, **limits: float) -> Budgets:
    return Budgets(Limits(**limits), most, clock or Clock())


def limited(limit: str) -> float:
    return float(metrics.LIMITED.labels(limit)._value.get())


STEP = st.tuples(st.floats(0, 20), st.integers(1, 30), st.integers(0, 5000), st.integers(0, 2))
"""Seconds that pass, messages, their bytes, and which connection sends them."""


@given(st.lists(STEP, max_size=60), st.floats(1, 50), st.floats(10, 3000), st.floats(0.1, 30))
def test_no_more_is_used_than_the_burst_and_the_rate_allow(
    steps: list[tuple[float, int, int, int]], messages: float, size: float, burst: float
) -> None:
    """Each connection waits for as long as it was told; only the last charge may exceed."""
    clock = Clock()
    began = clock.now
    client = budgets(clock, messages=messages, bytes=size, burst=burst).of("user ann")
    may_send_at = [0.0, 0.0, 0.0]
    sent, sent_bytes = 0, 0
    for seconds, count, length, connection in steps:
        clock.now = max(clock.now + seconds, may_send_at[connection])
        passed = clock.now - began
        others = sum(at > began for at in may_send_at)  # each may have sent one that is not paid
        assert sent <= (burst + passed) * messages + 30 * (1 + others) + 1e-6
        assert sent_bytes <= (burst + passed) * size + 5000 * (1 + others) + 1e-6
        may_send_at[connection] = clock.now + client.charge(count, length)
        sent, sent_bytes = sent + count, sent_bytes + length


@given(st.lists(STEP, max_size=60))
def test_a_client_below_its_rates_never_waits(steps: list[tuple[float, int, int, int]]) -> None:
    clock = Clock()
    client = budgets(clock, messages=30, bytes=5000, burst=1).of("user ann")
    for _, count, length, _ in steps:
        assert client.charge(count, length) == 0
        client.check()
        clock.now += 1


def test_a_client_that_waited_may_go_on() -> None:
    clock = Clock()
    client = budgets(clock, messages=10, burst=2).of("user ann")
    before = limited("messages")
    assert client.charge(20, 0) == 0
    assert client.charge(5, 0) == pytest.approx(0.5)
    assert limited("messages") == before + 1
    with pytest.raises(Rejected, match="too many messages a second") as refused:
        client.check()
    assert refused.value.as_dict() == {
        "code": "rate_limited",
        "message": "too many messages a second: wait before you send more",
        "retry": True,
        "retry_after": 1,
    }
    clock.now += 0.51
    client.check()


def test_the_bytes_of_stored_events_count_like_those_received() -> None:
    clock = Clock()
    client = budgets(clock, bytes=1e6, burst=1).of("address 192.0.2.1")
    for _ in range(94):  # a change of a few bytes, of a row of a megabyte
        assert client.charge(1, 60) >= 0
        client.spend(1_000_000)
    with pytest.raises(Rejected, match="too many bytes a second") as refused:
        client.check()
    assert refused.value.retry_after == 94 - 1 + 1  # rounded up, because of what was received


def test_users_and_addresses_have_budgets_of_their_own() -> None:
    known = budgets(messages=10, burst=1)
    known.of("user ann").charge(1000, 0)
    with pytest.raises(Rejected):
        known.of("user ann").check()
    for other in ("user bob", "address ann", "address 192.0.2.1"):
        known.of(other).check()


def test_connections_are_opened_no_faster_than_the_limit() -> None:
    clock = Clock()
    client = budgets(clock, connects=2, burst=2).of("user ann")
    for _ in range(5):  # four at once, and one that is paid later
        client.connect()
    with pytest.raises(Rejected, match="opened too often") as refused:
        client.connect()
    assert (refused.value.code, refused.value.retry_after) == ("rate_limited", 1)
    clock.now += 0.6
    client.connect()


def test_a_user_has_no_more_connections_than_the_limit() -> None:
    known = budgets(most=2)
    before = limited("connections")
    with known.of("user ann").connection(), known.of("user ann").connection():
        with (
            pytest.raises(Rejected, match="2 connections open") as refused,
            known.of("user ann").connection(),
        ):
            pass
        assert refused.value.code == "too_many_connections"
        assert refused.value.retry_after == 5
        assert limited("connections") == before + 1
        with known.of("user bob").connection(), known.of("user bob").connection():
            pass
    with known.of("user ann").connection():
        assert known.of("user ann").connections == 1


def test_addresses_are_limited_where_connections_are_accepted() -> None:
    known = budgets(most=1)
    with known.of("address 192.0.2.1").connection(), known.of("address 192.0.2.1").connection():
        assert known.of("address 192.0.2.1").connections == 2


async def test_what_is_paced_waits_for_what_each_step_stores() -> None:
    known = Budgets(Limits(bytes=1000, burst=0.001), 1)  # with a real clock
    client = known.of("user ann")

    async def steps() -> AsyncIterator[int]:
        for number in range(3):
            client.spend(20)
            yield number

    began = known.clock()
    assert [number async for number in client.paced(steps())] == [0, 1, 2]
    assert known.clock() - began >= 0.058


def test_budgets_that_allow_everything_again_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(budget_module, "FEW_BUDGETS", 10)
    clock = Clock()
    known = budgets(clock, messages=1)
    known._sweep_at = 10
    known.of("user spender").charge(50, 0)
    with known.of("user listener").connection():
        for number in range(100):
            known.of(f"address {number}").charge(1, 0)
            clock.now += 2
            assert len(known._of) <= 10
        assert known.of("user listener").connections == 1
    assert known.of("user spender").charge(1, 0) == 0


async def test_a_connection_waits_until_its_charge_is_due_and_then_goes_on() -> None:
    due = asyncio.Event()
    share = Share(Budgets(Limits(messages=100, burst=0.001), 1).of("user ann"), due.set)
    waits = [share.is_waiting]
    share.charge(5, 0)
    waits.append(share.is_waiting)
    async with asyncio.timeout(40):
        await due.wait()
    waits.append(share.is_waiting)
    assert waits == [False, True, False]
    share.release()


async def test_a_connection_counts_as_that_of_the_user_who_logs_in_by_a_frame() -> None:
    known = budgets(most=1, bytes=1000, burst=1)
    share = Share(known.of("address 192.0.2.1"), lambda: None)
    share.move(known.of("user ann"))
    share.spend(50_000)
    with pytest.raises(Rejected, match="too many bytes a second"):
        known.of("user ann").check()
    known.of("address 192.0.2.1").check()
    another = Share(known.of("address 192.0.2.1"), lambda: None)
    with pytest.raises(Rejected, match="1 connections open"):
        another.move(known.of("user ann"))
    share.release()
    another.move(known.of("user ann"))
    another.release()
