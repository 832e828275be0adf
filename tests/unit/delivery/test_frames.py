"""The bytes on the wire conform to RFC 6455 and WHATWG server-sent events."""

import json
import re
from typing import Any

import pytest

from eventhub.delivery import frames
from eventhub.delivery.frames import PING, SSE_PING, Form
from eventhub.errors import Rejected, Unavailable
from eventhub.event import Position
from tests.subscribing import parse_frames

HERE = Position("e1", 7)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
def test_a_text_frame_is_final_unmasked_and_of_the_shortest_form(size: int) -> None:
    payload = b"x" * size
    assert parse_frames(frames.text_frame(payload) * 2) == [(1, payload), (1, payload)]


def test_a_ping_is_an_empty_control_frame() -> None:
    assert parse_frames(PING) == [(9, b"")]


def test_an_event_carries_its_position_if_it_has_one() -> None:
    assert frames.sse_event(b"{}", HERE) == b"id: e1.7\ndata: {}\n\n"
    assert frames.sse_event(b"{}", None) == b"data: {}\n\n"


def test_a_ping_of_a_stream_is_a_comment() -> None:
    assert SSE_PING == b":\n\n"


def test_a_line_break_in_a_value_does_not_get_into_the_stream() -> None:
    """A raw line break would end the field, and the rest would be read as another one."""
    payload = frames.encode({"body": "a\nid: 9\r\n\r\u2028\u0085\n\nend"})
    assert not re.search(rb"[\r\n]", payload)


def test_only_sse_carries_the_position() -> None:
    for form in Form:
        assert (b"e1.7" in frames.wire(form, b"{}", HERE)) is (form is Form.SSE)


@pytest.mark.parametrize("sizes", [[], [1], [125, 126, 1, 65535, 65536, 2]])
def test_replayed_rows_are_the_frames_of_their_form_joined(sizes: list[int]) -> None:
    rows = [b"x" * size for size in sizes]
    for form in set(Form) - {Form.V2}:
        assert frames.rows(form)(rows) == b"".join(frames.wire(form, row, None) for row in rows)


@pytest.mark.parametrize("number", [0, 7])
def test_rows_and_events_come_in_arrays_of_64_kib(number: int) -> None:
    """One that is larger is alone in its frame; nothing is lost, doubled or out of order."""
    sizes = [10, 40_000, 20_000, 10_000, 3, 70_000, 5, 65_536, 2]
    payloads = [json.dumps("x" * (size - 2)).encode() for size in sizes]
    subscription = {"_sub": number} if number else {}
    for name, data in [
        ("_rows", frames.rows(Form.V2, number)(payloads)),
        ("_changes", frames.events(Form.V2, [(each, HERE) for each in payloads], number)),
    ]:
        decoded = [json.loads(payload) for _, payload in parse_frames(data)]
        lengths = [[len(each) + 2 for each in frame[name]] for frame in decoded]
        assert lengths == [[10, 40_000, 20_000], [10_000, 3], [70_000], [5], [65_536], [2]]
        assert all(frame == {**subscription, name: frame[name]} for frame in decoded)
        assert [*decoded[0]] == [*subscription, name]
    assert frames.rows(Form.V2, number)([]) == b""


@pytest.mark.parametrize("form", Form)
def test_bytes_are_cut_after_a_whole_frame(form: Form) -> None:
    rows = [json.dumps("x" * size).encode() for size in (1, 125, 300, 70_000, 124, 123)]
    data = b"".join(frames.rows(form)([row]) for row in rows)
    ends = [len(b"".join(frames.rows(form)([row]) for row in rows[:count])) for count in range(7)]
    cuts = [0, 1, 2, 3, 4, 127, 130, 440, 445, len(data) - 1, len(data)]
    cuts += [end + step for end in ends for step in (-1, 0, 1, 3, 4)]
    for cut in cuts:
        if 0 <= cut <= len(data):
            assert frames.whole(form, data[:cut]) == max(end for end in ends if end <= cut)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (
            frames.ready(HERE, recovered=False),
            {"_ready": {"position": "e1.7", "recovered": False}},
        ),
        (
            frames.resume(recovered=True, reason="now"),
            {"_resume": {"recovered": True, "reason": "now"}},
        ),
        (frames.tick(HERE), {"_tick": "e1.7"}),
        (
            frames.ack([1], {"id": "a", "_seq": 3, "duplicate": False}),
            {"_ack": [1], "id": "a", "_seq": 3, "duplicate": False},
        ),
        (
            frames.refusal(Rejected("bad_value", "no", column="c"), 0),
            {
                "_error": {
                    "code": "bad_value",
                    "message": "no",
                    "column": "c",
                    "ref": 0,
                    "retry": False,
                }
            },
        ),
        (
            frames.refusal(Unavailable("later")),
            {"_error": {"code": "unavailable", "message": "later", "retry": True}},
        ),
    ],
)
def test_control_frames(frame: dict[str, Any], expected: dict[str, Any]) -> None:
    assert json.loads(frames.encode(frame)) == expected


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (Form.V1, b'\x81\x07{"a":1}\x81\x07{"a":2}'),
        (Form.SSE, b'data: {"a":1}\n\ndata: {"a":2}\n\n'),
        (Form.V2, b'\x81\x24{"_sub":3,"_sent":[{"a":1},{"a":2}]}'),
    ],
)
def test_what_is_not_stored_has_no_position_and_in_v2_an_array_of_its_own(
    form: Form, expected: bytes
) -> None:
    assert frames.sent(form, [b'{"a":1}', b'{"a":2}'], 3) == expected
