"""Every message is answered as its sender asked for, and answers that come together go together."""

import asyncio
from typing import Any, cast

import pytest

from eventhub.delivery.frames import Form
from eventhub.errors import Rejected
from eventhub.gateway.answers import Answers, Frame
from eventhub.gateway.websocket import WebSocketConnection
from eventhub.ingest.receipts import Receipt
from eventhub.ingest.run import Outcome


class Written:
    """Keeps what a connection would write, one list for each write."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.writes: list[list[Frame]] = []

    def send(self, *frames: Frame) -> None:
        self.writes.append([*frames])


def answers(form: Form = Form.V1) -> tuple[Answers, Written]:
    written = Written(form)
    return Answers(cast(WebSocketConnection, written)), written


STORED = Receipt("a", 7, duplicate=False)
REFUSED = Rejected("bad_value", "no number", column="n")


@pytest.mark.parametrize(
    ("form", "message", "outcome", "expected"),
    [
        (Form.V1, {"_ref": 1}, STORED, {"_ack": 1, "id": "a", "_seq": 7, "duplicate": False}),
        (Form.V1, {}, STORED, None),
        (Form.BARE, {"_ref": 1}, STORED, None),
        (Form.V1, {"_ref": 1}, REFUSED, {"_error": REFUSED.as_dict(1)}),
        (Form.BARE, [], REFUSED, {"_error": REFUSED.as_dict()}),
    ],
)
def test_a_message_is_answered_as_its_sender_asked_for(
    form: Form, message: Any, outcome: Outcome, expected: Frame | None
) -> None:
    assert answers(form)[0].frame_of(message, outcome) == expected


def test_a_bare_client_hears_that_its_write_was_stored_before() -> None:
    frame = answers(Form.BARE)[0].frame_of({}, Receipt("a", 7, duplicate=True))
    assert frame is not None
    assert frame["_error"]["code"] == "duplicate"


async def test_answers_that_come_together_are_one_write() -> None:
    sending, written = answers()
    for number in range(3):
        sending.send_soon({"_ack": number}, is_last=False)
    assert written.writes == []
    await asyncio.sleep(0)
    assert written.writes == [[{"_ack": 0}, {"_ack": 1}, {"_ack": 2}]]
    sending.send_soon({"_ack": 3}, is_last=True)
    await asyncio.sleep(0)
    assert written.writes[1:] == [[{"_ack": 3}]]
