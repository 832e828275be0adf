"""A draft becomes the event that follows its row's last one, or is refused by that row."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from eventhub.channel import Channel, Endpoint
from eventhub.columns import Column, Columns, Kind
from eventhub.config import MessageEndpoint
from eventhub.errors import Conflict, Rejected
from eventhub.event import Event, StoredEvent
from eventhub.handler import Handler, User
from eventhub.hooks import Hooks
from eventhub.ingest.command import Command, Precondition, Sender
from eventhub.ingest.draft import Draft, Drafting
from eventhub.methods import METHODS
from tests.builders import make_event

CHANNEL = Channel("chat", Columns([Column("text"), Column("data", Kind.JSON)]))
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
SOMEBODY = Handler(current_user=User({"id": "ann"}), session={"id": "s1"})
VALUES = st.none() | st.booleans() | st.integers(-1, 2) | st.sampled_from([1.0, "a", [1], [True]])
ROWS = st.fixed_dictionaries(
    {"text": st.none() | st.text(max_size=2), "data": VALUES, "id": st.just("r1")}
)


def drafting(**settings: Any) -> Drafting:
    config = MessageEndpoint(name="front", pattern="/chat", table="chat", **settings)
    return Drafting(Endpoint(config, CHANNEL), Hooks(config, Path()), lambda: NOW)


async def draft(raw: dict[str, Any], **settings: Any) -> Draft:
    return await drafting(**settings).draft(Command.parse(raw), Sender(SOMEBODY))


def draft_of(method: str, message: dict[str, Any], **settings: Any) -> Draft:
    command = Command.parse({"_method": method, "id": "r1"})
    made = Draft(
        command=command,
        id="r1",
        time="2026-11-23T10:00:00.000000Z",
        endpoint="front",
        user=None,
        message={"id": "r1", **message},
        broadcast=None,
    )
    return msgspec.structs.replace(made, **settings)


def last_event(row: dict[str, Any] | None, sequence: int = 7, created: int = 3) -> StoredEvent:
    return StoredEvent(sequence, make_event(id="r1", row=row, created=created))


@given(ROWS, st.fixed_dictionaries({}, optional={"text": st.text(max_size=2), "data": VALUES}))
def test_a_put_keeps_the_other_columns_and_its_event_leads_back(
    row: dict[str, Any], change: dict[str, Any]
) -> None:
    event = draft_of("PUT", change).event_after(last_event(row), CHANNEL.columns)
    assert event.row == {**row, **change}
    assert repr(event.before) == repr(row)  # 1, 1.0 and True are three values
    assert event.was is not None
    assert event.was.keys() <= change.keys()
    assert event.created == 3


@given(ROWS)
def test_a_delete_keeps_the_whole_row_as_it_was(row: dict[str, Any]) -> None:
    event = draft_of("DELETE", {}).event_after(last_event(row), CHANNEL.columns)
    assert (event.row, event.was, event.created) == (None, row, 3)


def test_a_post_after_a_delete_makes_a_new_row() -> None:
    event = draft_of("POST", {"text": "new"}).event_after(last_event(None), CHANNEL.columns)
    assert event.row is not None
    assert (event.row["text"], event.was, event.created) == ("new", None, 0)


@pytest.mark.parametrize(
    ("method", "row", "code", "message"),
    [
        ("POST", {"id": "r1"}, "exists", "a row with id 'r1' exists"),
        ("PUT", None, "not_found", "no row with id 'r1'"),
        ("DELETE", None, "not_found", "no row with id 'r1'"),
    ],
)
def test_a_row_that_does_not_fit_the_method_refuses_it_by_its_id(
    method: str, row: dict[str, Any] | None, code: str, message: str
) -> None:
    for last in (last_event(row), None) if row is None else (last_event(row),):
        with pytest.raises(Conflict) as refusal:
            draft_of(method, {}).event_after(last, CHANNEL.columns)
        assert (refusal.value.code, refusal.value.message) == (code, message)


SEQUENCES = st.none() | st.just("*") | st.frozensets(st.integers(0, 3), max_size=2)


@given(st.sampled_from(METHODS), st.integers(0, 3), st.booleans(), SEQUENCES, SEQUENCES)
def test_a_precondition_is_checked_against_the_last_event_before_all_else(
    method: str, sequence: int, exists: bool, match: Any, none_match: Any
) -> None:
    exists = exists and sequence > 0
    last = last_event({"id": "r1"} if exists else None, sequence) if sequence else None
    holds = match is None or (exists if match == "*" else sequence in match)
    holds &= none_match is None or not (exists if none_match == "*" else sequence in none_match)
    condition = Precondition(match=match, none_match=none_match)
    command = msgspec.structs.replace(draft_of(method, {}).command, precondition=condition)
    try:
        draft_of(method, {}, command=command).event_after(last, CHANNEL.columns)
        code = ""
    except Conflict as refusal:
        code = refusal.code
    assert (code == "conflict") is not holds


async def test_a_plain_draft_is_the_draft_that_hooks_would_have_made() -> None:
    command = Command.parse({"text": "a", "data": [1], "extra": 1, "id": "x"})
    plain = drafting().draft_plain(command, Sender(SOMEBODY))
    assert plain == await drafting().draft(command, Sender(SOMEBODY))
    assert (plain.user, plain.ignored) == ("ann", ("extra",))
    assert "_method" not in plain.message


@given(
    st.lists(
        st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))
        | st.sampled_from([NOW, NOW + timedelta(microseconds=1), NOW + timedelta(seconds=1)]),
        min_size=2,
    )
)
def test_a_draft_has_the_utc_time_of_its_own_clock(times: list[datetime]) -> None:
    """Whatever the drafts before it had."""
    try:
        expected = [time.astimezone(UTC).isoformat(timespec="microseconds") for time in times]
    except OverflowError:  # the first hours of the year 1
        assume(False)
    clock = iter(times)
    config = MessageEndpoint(name="front", pattern="/chat", table="chat")
    made = Drafting(Endpoint(config, CHANNEL), Hooks(config, Path()), lambda: next(clock))
    drafts = [made.draft_plain(Command.parse({"text": "a"}), Sender(SOMEBODY)) for _ in times]
    assert [draft.time for draft in drafts] == [text.replace("+00:00", "Z") for text in expected]


async def test_a_key_that_is_no_column_is_kept_and_named_or_refused_with_the_nearest_one() -> None:
    assert (await draft({"txt": "a"})).ignored == ("txt",)
    assert (await draft({"txt": "a"})).message["txt"] == "a"
    with pytest.raises(Rejected, match="did you mean text") as refusal:
        await draft({"txt": "a"}, unknown="refuse")
    assert refusal.value.column == "txt"


async def test_a_key_that_only_a_hook_added_is_not_reported_to_the_sender() -> None:
    assert (await draft({"text": "a"}, prepare="msg.update(score=1)")).ignored == ()


@pytest.mark.parametrize(
    ("first", "is_same"),
    [
        ({"asked": "digest"}, True),
        ({"asked": "another"}, False),
        ({"asked": "", "method": "POST"}, True),
        ({"asked": "", "method": "PUT"}, False),
        ({"asked": "", "id": "r2"}, False),
    ],
)
def test_a_key_belongs_to_one_message(first: dict[str, Any], is_same: bool) -> None:
    command = msgspec.structs.replace(draft_of("POST", {}).command, digest="digest")
    event: Event = make_event(**{"id": "r1", **first})
    if is_same:
        draft_of("POST", {}, command=command).check_same_write(event)
        return
    with pytest.raises(Rejected, match="another message: use a new one"):
        draft_of("POST", {}, command=command).check_same_write(event)
