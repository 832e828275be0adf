"""Of a message that is not stored a client gets what it may read, if its filter matches."""

import msgspec
import pytest

from eventhub.delivery.frames import Form
from eventhub.delivery.send import Send
from eventhub.delivery.view import View
from eventhub.filters.query import parse
from tests.builders import channel
from tests.subscribing import Frame

ROW = {"text": "a", "votes": 1, "id": None, "user": "ann", "timestamp": None}


@pytest.mark.parametrize(
    ("args", "hidden", "message", "expected"),
    [
        ({}, (), {"text": "a", "other": 1}, {"text": "a", "other": 1}),
        ({"text": ["b"]}, (), {"text": "a"}, None),
        ({"_c": ["votes"]}, (), {"text": "a", "votes": 1}, {"votes": 1}),
        ({}, ("votes",), {"text": "a", "votes": 1}, {"text": "a"}),
        # nothing that the reader may read is in it
        ({}, ("votes",), {"votes": 1, "user": "ann", "id": "x"}, None),
        ({}, ("votes",), {"user": "ann"}, {"user": "ann"}),
    ],
)
def test_a_reader_gets_what_matches_and_what_it_may_read(
    args: dict[str, list[str]], hidden: tuple[str, ...], message: Frame, expected: Frame | None
) -> None:
    query = parse(args, channel().columns).hiding(frozenset(hidden))
    send = Send(ROW, message)
    assert send.payload(View(Form.POLL, query, history=False, epoch="e"), {}) is None
    assert send.payload(View(Form.V1, query, history=True, epoch="e"), {}) is None
    payload = send.payload(View(Form.V1, query, history=False, epoch="e"), {})
    if expected is None:
        assert payload is None
    else:
        assert payload is not None
        assert msgspec.json.decode(payload) == {"_method": "SEND", **expected}


def test_equal_columns_share_one_encoding() -> None:
    columns, send = channel().columns, Send(ROW, {"text": "a", "votes": 1})
    memo: dict[object, bytes] = {}
    for form in (Form.BARE, Form.V1, Form.V2, Form.SSE):
        for args in ({}, {"text": ["a"]}, {"_c": ["votes"]}):
            assert send.payload(View(form, parse(args, columns), history=False, epoch="e"), memo)
    assert len(memo) == 2
