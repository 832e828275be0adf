"""Writes are durable when they return, and changes go on where a program has stopped."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from eventhub_client import AsyncHub, Change, ConflictError, NotFoundError, RefusedError
from tests.e2e.eventhub_client.conftest import get
from tests.e2e.hub import Hub

pytestmark = pytest.mark.xdist_group("eventhub_client")


async def some(hub: AsyncHub, path: str, count: int, **options: object) -> list[Change]:
    """Return some changes, of which the last one is not confirmed."""
    changes = []
    async with (
        asyncio.timeout(20),
        aclosing(hub.changes(path, **options)) as following,  # type: ignore[arg-type]
    ):
        async for change in following:
            changes.append(change)
            if len(changes) == count:
                break
    return changes


async def test_a_write_is_stored_when_it_returns_and_a_refusal_has_its_class(
    hub: AsyncHub, server: Hub, path: str
) -> None:
    first = await hub.post(path, {"id": "a", "body": "x", "n": 1})
    assert (first["id"], first["_seq"], first["duplicate"]) == ("a", 1, False)
    await hub.put(path, {"id": "a", "n": 2, "_if_seq": first["_seq"]})
    assert [(row["body"], row["n"]) for row in get(server, path)] == [("x", 2)]
    with pytest.raises(ConflictError):
        await hub.put(path, {"id": "a", "n": 3, "_if_seq": first["_seq"]})
    with pytest.raises(ConflictError):
        await hub.post(path, {"id": "a"})
    with pytest.raises(RefusedError, match="bad_value") as refused:
        await hub.post(path, {"n": "many"})
    assert refused.value.column == "n"
    await hub.delete(path, "a")
    with pytest.raises(NotFoundError, match="no row with id 'a'"):
        await hub.delete(path, {"id": "a"})
    with pytest.raises(NotFoundError):
        await hub.post("nowhere", {})
    assert get(server, path) == []


async def test_a_message_with_a_key_of_its_own_is_stored_once(
    hub: AsyncHub, server: Hub, path: str
) -> None:
    message = {"_key": "order 7", "body": "x"}
    first = await hub.post(path, message)
    again = await hub.post(path, message)
    assert (again["id"], again["duplicate"]) == (first["id"], True)
    assert len(get(server, path)) == 1


async def test_changes_come_with_their_filter_columns_and_positions(
    hub: AsyncHub, path: str
) -> None:
    for n in range(4):
        await hub.post(path, {"id": str(n), "topic": "ab"[n % 2], "n": n})
    await hub.put(path, {"id": "1", "topic": "a"})
    found = await some(hub, path, 3, since="earliest", where={"topic": "a"}, columns=["n"])
    assert [(each.method, each.id, each.row) for each in found] == [
        ("POST", "0", {"n": 0, "id": "0"}),
        ("POST", "2", {"n": 2, "id": "2"}),
        ("POST", "1", {"n": 1, "id": "1"}),
    ]
    rest = await some(hub, path, 1, since=found[1].position)
    assert [(each.method, each.seq) for each in rest] == [("POST", 4)]


async def test_a_program_goes_on_after_the_change_that_its_loop_has_finished(
    hub: AsyncHub, path: str, tmp_path: Path
) -> None:
    """The last change was not finished: the loop was left in its body."""
    for n in range(5):
        await hub.post(path, {"n": n})
    file = tmp_path / "bot.checkpoint"
    assert [each.seq for each in await some(hub, path, 2, since="earliest", checkpoint=file)] == [
        1,
        2,
    ]
    assert [each.seq for each in await some(hub, path, 3, checkpoint=file)] == [2, 3, 4]


async def test_what_happens_between_two_runs_is_not_missed_though_the_first_saw_no_change(
    hub: AsyncHub, path: str, tmp_path: Path
) -> None:
    file = tmp_path / "bot.checkpoint"
    await hub.post(path, {"n": 0})
    async with aclosing(hub.changes(path, checkpoint=file)) as changes:
        waiting = asyncio.get_running_loop().create_task(anext(changes))
        async with asyncio.timeout(20):
            while not file.exists():
                await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])
    await hub.post(path, {"n": 1})
    assert [each.row["n"] for each in await some(hub, path, 1, checkpoint=file) if each.row] == [1]


async def test_a_position_of_another_log_is_a_reset_with_all_rows(
    hub: AsyncHub, path: str, tmp_path: Path
) -> None:
    await hub.post(path, {"id": "a"})
    await hub.post(path, {"id": "b"})
    await hub.delete(path, "a")
    found = await some(hub, path, 2, since="0another0log000.7")
    assert [(each.method, each.id, each.position) for each in found] == [
        ("RESET", "", None),
        ("POST", "b", None),
    ]
