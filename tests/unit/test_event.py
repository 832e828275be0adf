"""An event is read back as it was written, with old or new columns, or it is damaged."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.columns import Column, Columns, Kind
from eventhub.errors import Damaged
from eventhub.event import (
    LONG_TEXT,
    Event,
    Position,
    SealedEvent,
    StoredEvent,
    current,
    decode,
    encode,
    plain,
)
from eventhub.methods import METHODS

COLUMNS = Columns([Column("body"), Column("size", Kind.INTEGER)])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
OBJECT = st.dictionaries(st.text(), JSON, max_size=4)
EVENTS = st.builds(
    Event,
    method=st.sampled_from(METHODS),
    id=st.text(min_size=1),
    time=st.just("2023-01-02T03:04:05.000006Z"),
    endpoint=st.text(),
    columns=st.just(COLUMNS.signature),
    write=st.text(),
    user=st.none() | st.text(),
    created=st.integers(0, 2**63),
    message=OBJECT,
    broadcast=st.none() | OBJECT,
    row=st.none() | OBJECT,
    was=st.none() | OBJECT,
    rest=st.none() | OBJECT,
    alert=st.booleans(),
)


def event(**changes: Any) -> Event:
    made = Event(
        method="POST",
        id="1",
        time="2023-01-02T03:04:05.000006Z",
        endpoint="chat",
        columns=COLUMNS.signature,
        write="w1",
        message={"id": "1", "body": "Hello"},
        row=COLUMNS.new_row({"id": "1", "body": "Hello"}),
    )
    return msgspec.structs.replace(made, **changes)


@given(EVENTS)
def test_an_event_is_read_back_as_written(written: Event) -> None:
    assert decode(encode(written), COLUMNS) == written


@given(EVENTS)
def test_a_payload_is_one_json_object(written: Event) -> None:
    payload = msgspec.json.decode(encode(written))
    assert payload["id"] == written.id
    assert len(payload["crc"]) == 8


LONG = "long " * LONG_TEXT


@pytest.mark.parametrize(
    ("message", "row", "times"),
    [
        ({"body": LONG, "id": "1"}, {"body": LONG, "size": 1, "id": "1"}, 1),
        ({"body": LONG, "extra": LONG}, {"body": LONG, "id": "1"}, 2),
        ({"id": "1", "body": LONG}, {"body": f"another {LONG}", "id": "1"}, 2),
        ({"body": LONG, "id": "1"}, None, 1),
    ],
)
def test_a_long_text_of_the_row_is_stored_once(message: Any, row: Any, times: int) -> None:
    written = event(message=message, row=row and COLUMNS.new_row(row))
    payload = encode(written)
    assert payload.count(LONG.encode()) == times
    read = decode(payload, COLUMNS)
    assert read == written
    assert [*read.message] == [*message]  # in the order in which they came


def test_a_reader_that_decodes_nothing_gets_the_whole_message() -> None:
    written = event(message={"body": LONG}, row=COLUMNS.new_row({"id": "1", "body": LONG}))
    whole = plain(encode(written))
    assert msgspec.json.decode(whole)["message"] == {"body": LONG}
    assert decode(whole, COLUMNS) == written
    short = encode(event())
    assert plain(short) is short


def test_a_message_about_a_long_text_comes_back_with_other_columns() -> None:
    written = event(message={"body": LONG}, row=COLUMNS.new_row({"id": "1", "body": LONG}))
    other = Columns([Column("size", Kind.INTEGER)])
    seen = decode(encode(written), other)
    assert seen.message == {"body": LONG}
    assert seen.rest == {"body": LONG}
    assert decode(encode(seen), COLUMNS).row == written.row


def test_any_flipped_bit_is_found() -> None:
    payload = encode(event())
    for bit in range(len(payload) * 8):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Damaged):
            decode(bytes(flipped), COLUMNS)


@given(EVENTS, st.data())
def test_a_payload_cut_short_or_prolonged_is_damaged(written: Event, data: st.DataObject) -> None:
    payload = encode(written)
    cut = data.draw(st.integers(0, len(payload) - 1))
    for damaged in (payload[:cut], payload + b" ", payload + payload):
        with pytest.raises(Damaged):
            decode(damaged, COLUMNS)


def test_a_sealed_payload_that_is_not_an_event_is_damaged() -> None:
    class Stranger(msgspec.Struct):
        row: None = None

    payload = encode(Stranger())  # type: ignore[arg-type] # what another program may write
    with pytest.raises(Damaged, match="not an event"):
        decode(payload, COLUMNS)


def test_old_rows_are_lifted_to_todays_columns() -> None:
    old = Columns([Column("gone"), Column("size")])
    row = old.new_row({"id": "1", "gone": "x", "size": "2"})
    changed = event(
        method="PUT", columns=old.signature, row=row, was={"size": "1", "gone": "w"}, message={}
    )
    lifted = decode(encode(changed), COLUMNS)
    after = COLUMNS.new_row({"id": "1", "size": 2})
    assert lifted.row == after
    assert lifted.was == {"size": 1}
    assert lifted.before == {**after, "size": 1}
    assert lifted.columns == COLUMNS.signature
    assert lifted.rest == {"gone": "x"}
    again = decode(encode(lifted), old)
    assert again.row == row


def test_a_value_that_no_column_holds_comes_back_with_the_columns_that_do() -> None:
    """Of other types as well: neither text in a number nor a time in a date is lost."""
    wide = Columns([Column("size"), Column("day", Kind.TIMESTAMP), Column("more", default="d")])
    narrow = Columns([Column("size", Kind.INTEGER), Column("day", Kind.DATE)])
    row = wide.new_row({"id": "1", "size": "many", "day": "2026-11-23T10:00:00", "more": "m"})
    for method, there in (("PUT", {"row": row, "was": {}}), ("DELETE", {"row": None, "was": row})):
        seen = decode(encode(event(method=method, columns=wide.signature, **there)), narrow)
        held = seen.row or seen.was or {}
        assert (held["size"], held["day"]) == (None, "2026-11-23")
        back = decode(encode(seen), wide)
        assert (back.row or back.was) == row


@given(EVENTS)
def test_a_payload_of_todays_columns_is_unchanged(written: Event) -> None:
    payload = encode(written)
    assert current(payload, COLUMNS) is payload


HIDDEN = f'"columns":"{COLUMNS.signature}"'
"""What a client may send to make an old event look like one of today's columns."""


@given(EVENTS, st.sampled_from(["", HIDDEN]))
def test_a_payload_of_other_columns_is_rewritten_whatever_its_texts_hold(
    written: Event, hidden: str
) -> None:
    hostile = msgspec.structs.replace(
        written,
        columns="0" * 12,
        id=written.id + hidden,
        endpoint=hidden,
        message={"columns": COLUMNS.signature},
    )
    lifted = current(encode(hostile), COLUMNS)
    assert decode(lifted, COLUMNS) == decode(encode(hostile), COLUMNS)
    assert msgspec.json.decode(lifted)["columns"] == COLUMNS.signature


def test_a_stored_event_keeps_the_payload_that_it_is_made_of() -> None:
    old = encode(event(columns=Columns([]).signature, row={"id": "1", "body": "x"}))
    stored, sealed = StoredEvent.read(3, old, COLUMNS), SealedEvent.read(3, old, COLUMNS)
    assert (stored.sequence, stored.payload) == (sealed.sequence, sealed.payload)
    assert decode(stored.payload, COLUMNS) == stored.event
    assert stored.size == len(stored.payload)


def test_a_deleted_row_is_lifted_too() -> None:
    old = Columns([Column("size")])
    deleted = event(
        method="DELETE", columns=old.signature, row=None, was=old.new_row({"id": "1", "size": "7"})
    )
    lifted = decode(encode(deleted), COLUMNS)
    assert lifted.row is None
    assert lifted.before == COLUMNS.new_row({"id": "1", "size": 7})


def test_the_row_before_has_the_old_values_of_changed_columns() -> None:
    assert event().before is None
    assert event(row={"a": 2, "b": 3}, was={"a": 1}).before == {"a": 1, "b": 3}
    assert event(row={"a": 2}, was={}).before == {"a": 2}
    assert event(row=None, was={"a": 1}).before == {"a": 1}


def test_the_outgoing_message_is_the_one_after_modify() -> None:
    assert event(message={"a": 1}).outgoing == {"a": 1}
    assert event(message={"a": 1}, broadcast={"a": 2}).outgoing == {"a": 2}


def test_a_row_is_as_old_as_its_post() -> None:
    assert StoredEvent(7, event()).created == 7
    assert StoredEvent(9, event(method="PUT", created=7)).created == 7


@given(st.from_regex(r"[A-Za-z0-9]+", fullmatch=True), st.integers(0))
def test_a_position_is_read_back_as_written(epoch: str, sequence: int) -> None:
    position = Position(epoch, sequence)
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    "text", ["", ".", "a", "a.", ".1", "a.-1", "a.1.2", "a b.1", "a.\u0661", "1"]
)
def test_other_texts_are_not_positions(text: str) -> None:
    with pytest.raises(ValueError, match="is not a position"):
        Position.parse(text)
