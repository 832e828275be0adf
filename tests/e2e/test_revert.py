"""A message with `_revert` restores a version of a row; nothing is removed from the log."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.client import connect, request, write_row
from tests.e2e.hub import Hub, running_hub

COLUMNS = 'columns: {topic: TEXT, n: INTEGER, exact: "DECIMAL(20, 2)", data: JSON}'
RULES = """
def check(msg):
    if msg.get("topic") == "forbidden":
        raise ValueError("not this topic")
    if msg["_method"] == "PUT":
        msg["n"] = 99
"""
CONFIG = f"""
url:
  notes: {{pattern: /notes, handler: MessageHandler, kwargs: {{{COLUMNS}}}}}
  mine:
    pattern: /mine
    handler: MessageHandler
    kwargs:
      table: notes
      {COLUMNS}
      open: 'args.update({{"topic": ["mine"]}})'
  hooked:
    pattern: /hooked
    handler: MessageHandler
    kwargs:
      table: notes
      {COLUMNS}
      prepare: rules.check(msg)
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file; each has rows of its own."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG, {"rules.py": RULES}) as hub:
        yield hub


async def write(hub: Hub, method: str, row_id: str, **values: Any) -> int:
    return await write_row(f"{hub.url}/notes", method, row_id, **values)


async def revert(hub: Hub, endpoint: str = "notes", **message: Any) -> tuple[int, Any]:
    return await request("PUT", f"{hub.url}/{endpoint}", json=message)


async def reverted(hub: Hub, **message: Any) -> int:
    status, answer = await revert(hub, **message)
    assert status == 200, answer
    return int(answer["_seq"])


async def rows(hub: Hub, row_id: str) -> list[Any]:
    _, found = await request("GET", f"{hub.url}/notes?id={row_id}")
    return list(found)


async def methods(hub: Hub, row_id: str) -> list[str]:
    _, found = await request("GET", f"{hub.url}/notes?id={row_id}&_history")
    return [each["_method"] for each in found]


async def test_each_version_can_be_restored_from_each_later_one(hub: Hub) -> None:
    row_id = uuid4().hex
    first = await write(
        hub, "POST", row_id, topic="a", exact=12345678901234567.25, data={"x": [1, 1.0, True]}
    )
    [original] = await rows(hub, row_id)
    changed = await write(hub, "PUT", row_id, topic="b", data={"x": [1.0, 1, 1]}, exact=0)
    back = await reverted(hub, id=row_id, _revert=first, _if_seq=changed)
    assert await rows(hub, row_id) == [original]
    deleted = await write(hub, "DELETE", row_id)
    again = await reverted(hub, id=row_id, _revert=back, _if_seq=deleted)
    assert await rows(hub, row_id) == [original]
    gone = await reverted(hub, id=row_id, _revert=deleted, _if_seq=again)
    assert await rows(hub, row_id) == []
    once_more = await reverted(hub, id=row_id, _revert=changed, _if_seq=gone)
    assert [each["topic"] for each in await rows(hub, row_id)] == ["b"]
    await reverted(hub, id=row_id, _revert=0, _if_seq=once_more)
    assert await methods(hub, row_id) == [
        *("POST", "PUT", "PUT", "DELETE", "POST", "DELETE", "POST", "DELETE")
    ]


async def test_a_row_that_moved_on_is_not_reverted(hub: Hub) -> None:
    row_id = uuid4().hex
    first = await write(hub, "POST", row_id, n=1)
    seen = await write(hub, "PUT", row_id, n=2)
    await write(hub, "PUT", row_id, n=3)
    status, answer = await revert(hub, id=row_id, _revert=first, _if_seq=seen)
    assert (status, answer["_error"]["code"]) == (412, "conflict")
    assert f"has changed since event {seen}" in answer["_error"]["message"]
    assert [each["n"] for each in await rows(hub, row_id)] == [3]


async def test_a_retry_with_the_same_key_gets_the_first_receipt(hub: Hub) -> None:
    row_id = uuid4().hex
    first = await write(hub, "POST", row_id, n=1)
    seen = await write(hub, "PUT", row_id, n=2)
    message: dict[str, Any] = {"_revert": first, "_if_seq": seen, "_key": uuid4().hex}
    sequence = await reverted(hub, id=row_id, **message)
    await write(hub, "PUT", row_id, n=3)
    status, answer = await revert(hub, id=row_id, **message)
    assert (status, answer["_seq"], answer["duplicate"]) == (200, sequence, True)
    status, answer = await revert(hub, id=row_id, **{**message, "_revert": 0})
    assert (status, answer["_error"]["code"]) == (400, "bad_control")
    assert "this _key was used" in answer["_error"]["message"]


async def test_who_may_not_see_a_version_can_neither_restore_nor_recognise_it(hub: Hub) -> None:
    row_id, other = uuid4().hex, uuid4().hex
    hidden = await write(hub, "POST", row_id, topic="secret")
    visible = await write(hub, "PUT", row_id, topic="mine", n=1)
    seen = await write(hub, "PUT", row_id, n=2)
    strange = await write(hub, "POST", other, topic="mine")
    errors = []
    for target in (hidden, strange, seen + 1000):
        status, answer = await revert(hub, "mine", id=row_id, _revert=target, _if_seq=seen)
        assert (status, answer["_error"]["code"]) == (404, "not_found")
        errors.append(answer["_error"]["message"].replace(f"event {target}:", "event N:"))
    assert len(set(errors)) == 1
    status, _ = await revert(hub, "mine", id=row_id, _revert=visible, _if_seq=seen)
    assert status == 200
    left = await write(hub, "PUT", row_id, topic="secret")
    status, answer = await revert(hub, "mine", id=row_id, _revert=visible, _if_seq=left)
    assert (status, answer["_error"]["code"]) == (404, "not_found")
    gone = await write(hub, "DELETE", row_id)
    status, answer = await revert(hub, "mine", id=row_id, _revert=visible, _if_seq=gone)
    assert (status, answer["_error"]["code"]) == (404, "not_found")
    assert "secret" not in json.dumps(answer)


async def test_hooks_may_refuse_a_revert_and_cannot_change_what_it_restores(hub: Hub) -> None:
    row_id = uuid4().hex
    forbidden = await write(hub, "POST", row_id, topic="forbidden", n=1)
    allowed = await write(hub, "PUT", row_id, topic="a", n=2)
    seen = await write(hub, "PUT", row_id, topic="b", n=3)
    status, answer = await revert(hub, "hooked", id=row_id, _revert=forbidden, _if_seq=seen)
    assert (status, answer["_error"]["code"]) == (400, "refused")
    assert answer["_error"]["message"] == "not this topic"
    status, _ = await revert(hub, "hooked", id=row_id, _revert=allowed, _if_seq=seen)
    assert status == 200
    assert [(each["topic"], each["n"]) for each in await rows(hub, row_id)] == [("a", 2)]


async def test_subscribers_see_a_revert_as_the_write_that_it_is(hub: Hub) -> None:
    row_id = uuid4().hex
    first = await write(hub, "POST", row_id, n=1)
    seen = await write(hub, "PUT", row_id, n=2)
    async with connect(f"{hub.url}/notes?id={row_id}") as client:
        await client.until(lambda frame: "_ready" in frame)
        await client.send({"id": row_id, "_revert": first, "_if_seq": seen, "_ref": 1})
        frames = await client.until(lambda frame: frame.get("n") == 1)
    assert frames[-1]["_method"] == "PUT"


@pytest.mark.parametrize(
    ("message", "code", "says"),
    [
        ({"_revert": 1}, "bad_control", "_revert needs _if_seq"),
        ({"_revert": 1, "_if_seq": 2, "n": 3}, "bad_control", "an id and no values"),
        ({"_revert": 1, "_if_seq": 2, "_method": "DELETE"}, "bad_control", "is no DELETE"),
        ({"_revert": -1, "_if_seq": 2}, "bad_control", "_revert must be a sequence"),
        ({"_revert": "x", "_if_seq": 2}, "bad_control", "_revert must be a sequence"),
        ({"_revert": 0, "_if_seq": 0}, "conflict", "does not exist"),
        ({"_revert": 10**15, "_if_seq": 0}, "not_found", "has no event 1000000000000000"),
    ],
)
async def test_what_cannot_be_reverted_is_refused(
    hub: Hub, message: dict[str, Any], code: str, says: str
) -> None:
    status, answer = await revert(hub, id="never", **message)
    assert status >= 400
    assert answer["_error"]["code"] == code
    assert says in answer["_error"]["message"]


async def test_nothing_is_written_where_nothing_differs(hub: Hub) -> None:
    row_id = uuid4().hex
    first = await write(hub, "POST", row_id, n=1)
    second = await write(hub, "PUT", row_id, n=1)
    status, answer = await revert(hub, id=row_id, _revert=first, _if_seq=second)
    assert (status, answer["_error"]["code"]) == (412, "conflict")
    assert "is already as it was" in answer["_error"]["message"]
    assert await methods(hub, row_id) == ["POST", "PUT"]
