"""The log of a table: each event with its row and the old values, between two ends."""

from datetime import UTC, datetime, timedelta

import pytest

from eventhub_client import AsyncHub, EventHubError, LogEvent

pytestmark = pytest.mark.xdist_group("eventhub_client")


async def test_the_log_has_each_event_with_its_row_and_what_it_changed(
    hub: AsyncHub, path: str
) -> None:
    await hub.post(path, {"id": "a", "n": 1})
    await hub.put(path, {"id": "a", "n": 2})
    await hub.delete(path, "a")
    events = [event async for event in hub.log(path, columns="n")]
    assert [(each.seq, each.method, each.row, each.was) for each in events] == [
        (1, "POST", {"n": 1}, None),
        (2, "PUT", {"n": 2}, {"n": 1}),
        (3, "DELETE", None, {"n": 2}),
    ]
    assert {each.id for each in events} == {"a"}
    assert abs(datetime.now(UTC) - events[0].time) < timedelta(minutes=1)


async def test_a_part_of_the_log_is_between_positions_sequences_or_times(
    hub: AsyncHub, path: str
) -> None:
    """Also if it takes more than one answer of a hub, which has 4 MB."""
    await hub.bulk(path, ({"n": n, "body": "x" * 10_000} for n in range(500)))
    events = [event async for event in hub.log(path)]
    assert [each.seq for each in events] == list(range(1, 501))

    async def part(**ends: object) -> list[int]:
        log = hub.log(path, **ends)  # type: ignore[arg-type]
        return [each.seq async for each in log]

    assert await part(since=events[496].position) == [498, 499, 500]
    assert await part(until=2) == [1, 2]
    assert await part(until=events[1].position) == [1, 2]
    assert await part(until=events[-1].time + timedelta(days=1), since="-2") == [499, 500]
    assert await part(until=events[0].time - timedelta(seconds=1)) == []
    assert await part(until="2020-01-01") == []
    assert await part(since=events[-1].position) == []


async def test_a_log_without_an_end_waits_for_what_follows(hub: AsyncHub, path: str) -> None:
    log = hub.log(path, since="now", until=None, where={"n>": 1})
    await hub.post(path, {"n": 0})
    seen: list[LogEvent] = []
    await hub.post(path, {"n": 2})
    log = hub.log(path, until=None, where={"n>": 1})
    seen.append(await anext(log))
    await hub.post(path, {"n": 3})
    seen.append(await anext(log))
    assert [each.row and each.row["n"] for each in seen] == [2, 3]
    await log.aclose()


async def test_a_log_that_was_replaced_is_an_error(hub: AsyncHub, path: str) -> None:
    with pytest.raises(EventHubError) as raised:
        await anext(hub.log(path, since="0another0log000.7"))
    assert raised.value.code == "gone"
    with pytest.raises(ValueError, match="position of another log"):
        await anext(hub.log(path, until="0another0log000.7"))
