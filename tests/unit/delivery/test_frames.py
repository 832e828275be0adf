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
    for form in Form:
        assert frames.rows(form)(rows) == b"".join(frames.wire(form, row, None) for row in rows)


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
