"""A message becomes exactly one event, or one error that says why; a retry becomes neither."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from eventhub.errors import Conflict, EventHubError, Rejected
from eventhub.event import Event
from eventhub.ingest.receipts import Receipt
from eventhub.ingest.writing import MAX_REFUSED
from eventhub.memory import MemoryStream
from eventhub.stream import Appended
from tests.unit.ingest.writer import ALICE, CHANNEL, Writer, handler, outcome

# --- Events


async def test_an_event_holds_everything_about_its_message(write: Writer) -> None:
    event = await write.event(id="1", votes="3", extra=[1], _alert=False, user="bob", _ref=1)
    assert len(event.message.pop("timestamp")) >= 19
    assert event.row is not None
    assert len(event.row.pop("timestamp")) >= 19
    assert event == Event(
        method="POST",
        id="1",
        time="2026-11-23T10:00:00.000005Z",
        endpoint="front",
        columns=CHANNEL.columns.signature,
        write=event.write,
        user="alice",
        message={"id": "1", "votes": 3, "extra": [1], "user": "alice"},
        row={"text": None, "votes": 3, "data": None, "id": "1", "user": "alice"},
        alert=False,
    )


async def test_put_merges_into_the_row_and_delete_keeps_it_as_was(write: Writer) -> None:
    await write(id="1", text="a", votes=1)
    await write(_method="PUT", id="1", votes=2, extra="x")
    event = await write.event(_method="PUT", id="1", text="a", votes="")
    row = event.row
    assert row is not None
    assert (row["text"], row["votes"], row["user"]) == ("a", None, "alice")
    assert (event.was, event.created, event.message["votes"]) == ({"votes": 2}, 1, None)
    deleted = await write.event(_method="DELETE", id="1")
    assert (deleted.row, deleted.was, deleted.created) == (None, row, 1)
    again = await write.event(id="1", votes=9)
    assert (again.created, again.was, again.row and again.row["text"]) == (0, None, None)


@pytest.mark.parametrize(
    ("old", "new"), [(1, True), (0, False), (1, 1.0), ([1], [True]), ({"a": 0}, {"a": False})]
)
async def test_json_values_that_are_equal_only_for_python_are_a_change(
    write: Writer, old: Any, new: Any
) -> None:
    await write(id="1", data=old)
    event = await write.event(_method="PUT", id="1", data=new)
    assert repr(event.was) == repr({"data": old})


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"_method": "PUT"}, "bad_id"),
        ({"_method": "DELETE"}, "bad_id"),
        ({"id": "\n"}, "bad_id"),
        ({"id": "x" * 201}, "bad_id"),
        ({"_method": "PUT", "id": ""}, "bad_id"),
        ({"id": []}, "bad_value"),
        ({"id": "1"}, "exists"),
        ({"_method": "PUT", "id": "2"}, "not_found"),
        ({"_method": "DELETE", "id": "2"}, "not_found"),
        ({"_method": "PUT", "id": "1", "votes": "x"}, "bad_value"),
        ({"_method": "PUT", "id": "1", "text": "\ud800"}, "bad_value"),
        ({"_method": "PUT", "id": "1", "_if_seq": 2}, "conflict"),
        ({"_method": "PUT", "id": "1", "_if_seq": 0}, "conflict"),
        ({"_method": "DELETE", "id": "2", "_if_seq": 1}, "conflict"),
        ({"id": "1", "_if_seq": 0}, "conflict"),
        ({"id": "1", "_if_seq": 1}, "exists"),
        ({"id": "2", "_if_seq": 1}, "conflict"),
    ],
)
@pytest.mark.parametrize("is_known", [True, False])
async def test_a_refused_message_is_not_stored(
    stream: MemoryStream, write: Writer, message: dict[str, Any], code: str, is_known: bool
) -> None:
    """Whether this process has the row at hand or not."""
    await write(id="1")
    writer = write if is_known else Writer(stream)
    with pytest.raises(Rejected) as caught:
        await writer(message)
    assert caught.value.code == code
    assert stream.length == 1


async def test_if_seq_of_the_last_event_permits_the_write(write: Writer) -> None:
    assert (await write(id="1", _if_seq=0)).sequence == 1
    assert (await write(_method="PUT", id="1", _if_seq=1)).sequence == 2
    assert (await write(_method="DELETE", id="1", _if_seq="2")).sequence == 3
    with pytest.raises(Conflict):
        await write(id="1", _if_seq=0)
    assert (await write(id="1", _if_seq=3)).sequence == 4


async def test_an_event_too_large_is_refused(write: Writer) -> None:
    assert await outcome(write(id="1", text="x" * (8 << 20))) == "too_large"
    assert await outcome(write(id="1")) == "stored"


# --- Hooks


async def test_modify_changes_the_outgoing_message_and_not_the_row(stream: MemoryStream) -> None:
    event = await Writer(stream, modify="msg.update(text='MSG ' + msg['text'], new=1)").event(
        id="1", text="a"
    )
    assert event.row is not None
    assert (event.row["text"], event.message["text"]) == ("a", "a")
    assert (event.outgoing["text"], event.outgoing["new"]) == ("MSG a", 1)
    assert "_method" not in event.outgoing


@pytest.mark.parametrize("hook", ["prepare", "modify"])
@pytest.mark.parametrize(
    "change",
    [
        "msg.update(x=object())",
        "msg.update(x=chr(0xd800))",
        "msg.update({7: 1})",
        "msg.update(x=msg)",
        "msg.update(x=[lambda: 1])",
    ],
)
async def test_a_hook_value_that_is_not_json_is_an_internal_error(
    stream: MemoryStream, hook: str, change: str
) -> None:
    hooks: dict[str, Any] = {hook: change}
    writer = Writer(stream, **hooks)
    with capture_logs() as logs, pytest.raises(EventHubError) as caught:
        await writer(id="1")
    assert type(caught.value) is EventHubError
    assert caught.value.code == "internal"
    assert len(logs) == 1
    assert stream.length == 0


async def test_prepare_cannot_change_the_method_of_a_message(stream: MemoryStream) -> None:
    event = await Writer(stream, prepare="msg.update(_method='DELETE', _key='x', votes='7')").event(
        id="1"
    )
    assert (event.method, event.row and event.row["votes"]) == ("POST", 7)
    assert not [key for key in event.message if key.startswith("_")]


# --- Keys that are no column


@pytest.mark.parametrize("hooks", [{}, {"prepare": "msg.pop('secret', None)"}])
async def test_keys_that_are_no_columns_are_reported_to_the_sender(
    stream: MemoryStream, hooks: dict[str, Any]
) -> None:
    write = Writer(stream, **hooks)
    assert (await write(id="1", votes=1)).ignored == ()
    for message in ({"id": "2"}, {"_method": "PUT", "id": "1"}, {"_method": "DELETE", "id": "1"}):
        receipt = await write({**message, "colour": "red", "text": "x", "Votes": 2})
        assert receipt.ignored == ("colour", "Votes")
        assert receipt.as_dict()["ignored"] == ("colour", "Votes")
        assert stream.at(receipt.sequence).event.message["colour"] == "red"


async def test_a_retry_reports_keys_that_are_no_columns_as_well(write: Writer) -> None:
    first = await write(id="1", colour="red", _key="k")
    again = await write(id="1", colour="red", _key="k")
    assert again == first._replace(duplicate=True)
    assert again.ignored == ("colour",)


async def test_keys_that_hooks_remove_or_add_are_not_reported(stream: MemoryStream) -> None:
    default = {"POST": {"made": "1"}}
    write = Writer(stream, prepare="msg.pop('secret', None)", message_default=default)
    receipt = await write(id="1", secret="x")
    assert receipt.ignored == ()
    assert stream.at(receipt.sequence).event.message["made"] == 1


async def test_an_endpoint_refuses_keys_that_are_no_column(stream: MemoryStream) -> None:
    write = Writer(stream, unknown="refuse")
    for message in ({"id": "1", "vote": 1}, {"_method": "PUT", "id": "0", "vote": 1}):
        with pytest.raises(Rejected) as caught:
            await write(message)
        assert (caught.value.code, caught.value.column) == ("bad_value", "vote")
        assert "did you mean votes?" in caught.value.message
    assert stream.length == 0
    assert (await write(id="1", votes=1)).ignored == ()


# --- What leads to nothing


class Counting(MemoryStream):
    """A log that counts what it was asked to append."""

    def __init__(self) -> None:
        super().__init__(CHANNEL)
        self.appends = 0

    async def append(self, event: Event, *, expect: int) -> Appended:
        self.appends += 1
        return await super().append(event, expect=expect)

    def submit(self, event: Event, **kwargs: Any) -> bool:
        self.appends += 1
        return super().submit(event, **kwargs)


async def test_an_id_that_exists_is_found_without_an_append() -> None:
    """Whoever wrote it; the first conflict of a sender is the last that the log has to find."""
    stream = Counting()
    writer, other = Writer(stream), Writer(stream)
    for number in range(20):
        await other(id=f"{number}")
    sender = handler(ALICE)
    await writer.all({"id": "0"}, sender=sender)
    before = stream.appends
    for _ in range(5):
        outcomes = await writer.all(*[{"id": f"{number}"} for number in range(20)], sender=sender)
        assert [each.code for each in outcomes if isinstance(each, Conflict)] == ["exists"] * 20
    assert stream.appends == before
    [told_other] = await writer.all({"id": "7"})  # of another sender, but known by now
    assert isinstance(told_other, Conflict)
    assert stream.appends == before


async def test_a_sender_that_named_an_existing_id_can_store_other_rows(
    stream: MemoryStream,
) -> None:
    writer = Writer(stream)
    await writer(id="a")
    outcomes = await writer.all({"id": "a"}, {"id": "b"}, {"id": "c"}, {"id": "a"}, {"id": "d"})
    stored = [each.id for each in outcomes if isinstance(each, Receipt)]
    assert stored == ["b", "c", "d"]
    assert [isinstance(each, Conflict) for each in outcomes] == [True, False, False, True, False]


async def test_after_a_thousand_refusals_the_rest_of_an_array_is_not_looked_at(
    stream: MemoryStream,
) -> None:
    writer = Writer(stream)
    outcomes = await writer.all(
        *[{"id": ""} | {"votes": "x"}] * (MAX_REFUSED + 500), {"id": "good"}
    )
    codes = [each.code for each in outcomes if isinstance(each, EventHubError)]
    assert codes == ["bad_value"] * MAX_REFUSED + ["too_many"] * 501
    assert stream.length == 0


async def test_a_long_array_shares_the_event_loop(stream: MemoryStream) -> None:
    """However long it is: a turn of the loop comes between its messages, time and again."""
    turns = 0
    done = asyncio.Event()

    async def count() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await asyncio.sleep(0)

    writer = Writer(stream, prepare="sum(range(20000))")
    async with asyncio.TaskGroup() as group:
        group.create_task(count())
        outcomes = await writer.all(*[{"id": ["x"]}] * 200)
        done.set()
    assert len(outcomes) == 200
    assert turns > 20
