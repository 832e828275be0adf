"""A message becomes exactly one event, or one error that says why; a retry becomes neither."""

import asyncio
from collections.abc import Coroutine, Hashable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from eventhub.channel import Channel, Endpoint
from eventhub.columns import Column, Columns, Kind
from eventhub.config import MessageEndpoint
from eventhub.errors import Conflict, EventHubError, Rejected, Unavailable
from eventhub.event import Event, StoredEvent
from eventhub.handler import Handler, User
from eventhub.hooks import Hooks
from eventhub.ingest.command import Sender
from eventhub.ingest.receipts import Receipt, Receipts
from eventhub.ingest.row_cache import RowCache
from eventhub.ingest.settling import MAX_CONFLICTS, Settling
from eventhub.ingest.writing import MAX_REFUSED, Ingest
from eventhub.memory import MemoryStream
from eventhub.stream import Appended, OnAppended, WrongSequence
from tests.builders import channel, make_event

CHANNEL = Channel(
    "chat", Columns([Column("text"), Column("votes", Kind.INTEGER), Column("data", Kind.JSON)])
)
NOW = datetime(2026, 11, 23, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
ALICE = User({"id": "alice"})


def handler(user: User | None = None) -> Handler:
    return Handler(current_user=user, session={"id": "s1"})


class Writer:
    """The ingest of one process; a test decides when it notes the events of other processes."""

    def __init__(self, stream: MemoryStream, *, after: int = 0, **hooks: Any) -> None:
        config = MessageEndpoint(name="front", pattern="/chat", table="chat", **hooks)
        self.stream = stream
        self.rows = RowCache(stream)
        self.receipts = Receipts(stream, after=after)
        self._ingest = Ingest(
            Endpoint(config, stream.channel),
            Hooks(config, Path()),
            stream,
            Settling(stream, self.rows, self.receipts),
            self._spawn,
            now=lambda: NOW + timedelta(microseconds=stream.length),  # a log takes time
        )

    async def __call__(self, raw: object = None, /, **message: Any) -> Receipt:
        [outcome] = await self.all(message if raw is None else raw)
        if isinstance(outcome, EventHubError):
            raise outcome
        return outcome

    async def all(
        self, *raw: object, sender: Handler | None = None
    ) -> list[Receipt | EventHubError]:
        """Write messages as of one array."""
        client = Sender(sender or handler(ALICE))
        return [outcome async for outcome in self._ingest.write(raw, client)]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        raise AssertionError("`write` settles what it has to")

    async def event(self, **message: Any) -> Event:
        receipt = await self(message)
        return self.stream.at(receipt.sequence).event


@pytest.fixture
def stream() -> MemoryStream:
    return MemoryStream(CHANNEL)


@pytest.fixture
def write(stream: MemoryStream) -> Writer:
    return Writer(stream)


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


# --- Races


class Paced(MemoryStream):
    """Reading takes a while, as over a network: others write meanwhile."""

    async def last(self, row_id: str) -> StoredEvent | None:
        found = await super().last(row_id)
        await asyncio.sleep(0)
        return found


async def test_all_changes_of_writers_that_race_for_a_row_are_stored() -> None:
    names = [f"n{number}" for number in range(MAX_CONFLICTS)]
    stream = Paced(Channel("chat", Columns([Column(name) for name in names])))
    writers = [Writer(stream), Writer(stream)]
    await writers[0](id="1")
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(writers[n % 2]({"_method": "PUT", "id": "1", name: name}))
            for n, name in enumerate(names)
        ]
    assert sorted(task.result().sequence for task in tasks) == list(range(2, len(names) + 2))
    last = stream.at(stream.length).event
    assert last.row is not None
    assert {name: last.row[name] for name in names} == {name: name for name in names}
    before = stream.at(1).event.row
    for number in range(2, stream.length + 1):
        event = stream.at(number).event
        assert event.before == before, "each event follows the one before"
        before = event.row


async def test_the_second_of_two_posts_of_one_id_is_refused_as_exists() -> None:
    stream = Paced(CHANNEL)
    first, second = Writer(stream), Writer(stream)
    await first(id="1", text="a")
    await first(_method="DELETE", id="1")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(outcome(writer(id="1", text="b"))) for writer in (first, second)]
    assert sorted(str(task.result()) for task in tasks) == ["exists", "stored"]


async def outcome(writing: Any) -> str:
    try:
        await writing
    except EventHubError as error:
        return error.code
    return "stored"


class Busy(MemoryStream):
    """Somebody else is always first."""

    attempts = 0

    def store(self, event: Event, expect: int) -> Appended:
        self.attempts += 1
        raise WrongSequence("somebody was first")


async def test_a_writer_that_always_loses_the_race_is_asked_to_retry() -> None:
    stream = Busy(CHANNEL)
    with pytest.raises(Unavailable) as caught:
        await Writer(stream)(id="1")
    assert (caught.value.code, caught.value.as_dict()["retry"]) == ("unavailable", True)
    assert stream.attempts == 1 + MAX_CONFLICTS  # begun once, then settled


async def test_a_row_that_another_process_changed_is_read_again(stream: MemoryStream) -> None:
    here, there = Writer(stream), Writer(stream)
    await here(id="1", text="a")
    await there(_method="PUT", id="1", votes=1)
    event = await here.event(_method="PUT", id="1", text="b")
    assert event.row is not None
    assert (event.row["text"], event.row["votes"], event.was) == ("b", 1, {"text": "a"})
    await there(_method="DELETE", id="1")
    assert await outcome(here(_method="PUT", id="1", text="c")) == "not_found"
    await there(id="1")
    assert await outcome(here(_method="DELETE", id="1")) == "stored"


# --- Retries


class Strict(MemoryStream):
    """As JetStream on one server: the expectation is checked before the id of the write."""

    async def append(self, event: Event, *, expect: int) -> Appended:
        last = await self.last(event.id)
        if (last.sequence if last else 0) != expect:
            raise WrongSequence("the row has another last event")
        return await super().append(event, expect=expect)


class Resent(MemoryStream):
    """Loses the answer to each submission, sends it again, and says that it is stored already.

    Meanwhile the process has received the event as a follower does, and what came after it.
    """

    rows: RowCache
    meanwhile: Event | None = None

    def submit(
        self, event: Event, *, expect: int, sender: Hashable, on_appended: OnAppended
    ) -> bool:
        stored = self.store(event, expect)
        if self.meanwhile is not None:
            self.store(self.meanwhile, stored.sequence)
        self.rows.note(map(self.at, range(stored.sequence, self.length + 1)))
        again = Appended(stored.sequence, duplicate=True)
        asyncio.get_running_loop().call_soon(on_appended, again)
        return True


@pytest.mark.parametrize("key", [{}, {"_key": "k"}])
@pytest.mark.parametrize("is_changed", [False, True])
async def test_a_post_whose_acknowledgement_was_lost_is_not_a_duplicate(
    key: dict[str, str], is_changed: bool
) -> None:
    stream = Resent(CHANNEL)
    write = Writer(stream)
    stream.rows = write.rows
    if is_changed:
        stream.meanwhile = make_event(id="1", method="PUT", write="w-other")
    assert await write({"id": "1", "text": "a", **key}) == Receipt("1", 1, duplicate=False)


MEANWHILE: dict[str, list[dict[str, Any]]] = {
    "nothing": [],
    "edited": [{"_method": "PUT", "id": "1", "text": "edited"}],
    "deleted": [{"_method": "DELETE", "id": "1"}],
    "made again": [{"_method": "DELETE", "id": "1"}, {"_method": "POST", "id": "1"}],
}
RETRIED: dict[str, list[dict[str, Any]]] = {
    "POST": [{"id": "1", "text": "a", "_key": "k"}],
    "POST if new": [{"id": "1", "_key": "k", "_if_seq": 0}],
    "PUT": [{"id": "1"}, {"_method": "PUT", "id": "1", "text": "b", "_key": "k"}],
    "PUT if": [{"id": "1"}, {"_method": "PUT", "id": "1", "_key": "k", "_if_seq": 1}],
    "upsert that creates": [{"id": "1", "text": "a", "_key": "k", "_upsert": True}],
    "upsert that changes": [{"id": "1"}, {"id": "1", "text": "b", "_key": "k", "_upsert": True}],
}


@pytest.mark.parametrize("meanwhile", MEANWHILE)
@pytest.mark.parametrize("retried", RETRIED)
@pytest.mark.parametrize("kind", [MemoryStream, Strict])
@pytest.mark.parametrize("process", ["same", "other", "restarted"])
async def test_a_retry_with_a_key_gets_the_first_receipt_and_stores_nothing(
    meanwhile: str, retried: str, kind: type[MemoryStream], process: str
) -> None:
    stream = kind(CHANNEL)
    writer = Writer(stream)
    *earlier, keyed = RETRIED[retried]
    for message in earlier:
        await writer(message)
    first = await writer(keyed)
    for message in MEANWHILE[meanwhile]:
        await writer(message)
    length = stream.length
    if process == "same":
        writer.receipts.note([stream.at(number + 1) for number in range(length)])
    else:
        writer = Writer(stream, after=length if process == "restarted" else 0)
        if process == "other":
            writer.receipts.note([stream.at(number + 1) for number in range(length)])
    again = await writer(keyed)
    assert again == first._replace(duplicate=True)
    assert stream.length == length


@pytest.mark.parametrize("retried", RETRIED)
@pytest.mark.parametrize("kind", [MemoryStream, Strict])
async def test_an_immediate_retry_is_known_before_the_feed_has_the_event(
    retried: str, kind: type[MemoryStream]
) -> None:
    writer = Writer(kind(CHANNEL))
    *earlier, keyed = RETRIED[retried]
    for message in earlier:
        await writer(message)
    first = await writer(keyed)
    assert await writer(keyed) == first._replace(duplicate=True)


async def test_a_retried_delete_gets_the_first_receipt(stream: MemoryStream) -> None:
    writer = Writer(stream)
    await writer(id="1")
    first = await writer(_method="DELETE", id="1", _key="k")
    again = await Writer(stream, after=2)(_method="DELETE", id="1", _key="k")
    assert again == Receipt(first.id, first.sequence, True)
    assert stream.length == 2


async def test_a_retried_post_without_an_id_gets_the_id_of_the_first(write: Writer) -> None:
    first = await write(text="a", _key="k")
    again = await write(text="a", _key="k")
    assert again == Receipt(first.id, first.sequence, True)


async def test_a_refusal_of_a_new_key_stays_one(stream: MemoryStream) -> None:
    await Writer(stream)(id="1", _key="k")
    for writer in (Writer(stream, after=0), Writer(stream, after=1)):
        assert await outcome(writer(id="1", _key="other")) == "exists"
        assert await outcome(writer(id="1")) == "exists"


class Lossy(MemoryStream):
    """Stores the first event, but its acknowledgement is lost."""

    is_lossy = True

    def store(self, event: Event, expect: int) -> Appended:
        appended = super().store(event, expect)
        if self.is_lossy:
            self.is_lossy = False
            raise Unavailable("no answer", code="unknown_outcome")
        return appended


async def test_an_unknown_outcome_is_reported_and_a_retry_settles_it() -> None:
    stream = Lossy(CHANNEL)
    writer = Writer(stream)
    assert await outcome(writer(id="1", _key="k")) == "unknown_outcome"
    assert await writer(id="1", _key="k") == Receipt("1", 1, True)
    assert stream.length == 1


async def test_an_event_too_large_is_refused(write: Writer) -> None:
    assert await outcome(write(id="1", text="x" * (8 << 20))) == "too_large"
    assert await outcome(write(id="1")) == "stored"


# --- Arrays


async def test_posts_of_one_array_keep_their_order_and_each_has_its_own_answer() -> None:
    writer = Writer(MemoryStream(channel()))
    messages: list[dict[str, Any]] = [{"text": str(number)} for number in range(600)]
    messages[5] = {"votes": "many"}
    messages[300] = {"_method": "PUT", "id": "nobody"}
    outcomes = await writer.all(*messages)
    refused = {n: each.code for n, each in enumerate(outcomes) if isinstance(each, EventHubError)}
    assert refused == {5: "bad_value", 300: "not_found"}
    stored = [each for each in outcomes if isinstance(each, Receipt)]
    assert [each.sequence for each in stored] == list(range(1, 599))
    texts = [writer.stream.at(each.sequence).event.message["text"] for each in stored]
    assert texts == [m["text"] for n, m in enumerate(messages) if n not in refused]


async def test_messages_of_one_array_see_the_rows_of_those_before_them() -> None:
    writer = Writer(MemoryStream(channel()))
    outcomes = await writer.all(
        {"id": "a", "text": "1"},
        {"id": "a", "text": "again"},
        {"_method": "PUT", "id": "a", "text": "2"},
        {"_method": "DELETE", "id": "a"},
        {"id": "a", "text": "3"},
        {"id": "b"},
    )
    codes = [each.code if isinstance(each, EventHubError) else None for each in outcomes]
    assert codes == [None, "exists", None, None, None, None]
    last = await writer.stream.last("a")
    assert last is not None
    assert last.event.row is not None
    assert last.event.row["text"] == "3"


async def test_a_retry_is_recognized_although_a_hook_makes_the_ids() -> None:
    defaults = {"POST": {"id": "uuid.uuid4().hex"}}
    writer = Writer(MemoryStream(channel()), message_default=defaults)
    first = await writer(id="mine", _key="k1")
    assert await writer(id="mine", _key="k1") == first._replace(duplicate=True)


async def test_a_message_does_not_overtake_one_whose_row_was_deleted(stream: MemoryStream) -> None:
    """A POST of a deleted id has to look where the row ended; what follows it waits."""
    writer = Writer(stream)
    await writer(id="1")
    await writer(_method="DELETE", id="1")
    outcomes = await writer.all({"id": "0"}, {"id": "1"}, {"id": "2"}, {"id": "1"}, {"id": "3"})
    sequences = [t.sequence for t in outcomes if isinstance(t, Receipt)]
    assert sequences == [3, 4, 5, 6]
    assert [t.code for t in outcomes if isinstance(t, EventHubError)] == ["exists"]


# --- Keys that are no column ---------------------------------------------------------------------


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
