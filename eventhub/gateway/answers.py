"""Answers: the frames that answer the messages of one WebSocket."""

import asyncio
from typing import Any

from eventhub.delivery import frames as protocol
from eventhub.errors import EventHubError, Rejected
from eventhub.gateway.websocket import WebSocketConnection
from eventhub.ingest.run import Outcome
from eventhub.ingest.sending import Sent

Frame = dict[str, Any]


class Answers:
    """Answers one client."""

    __slots__ = ("_connection", "_is_controlled", "_waiting")

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection
        self._is_controlled = connection.form.controlled
        self._waiting: list[Frame] = []

    def frame_of(self, message: Any, outcome: Outcome) -> Frame | None:
        """Return the frame that answers a message, if any does."""
        ref = message.get("_ref") if isinstance(message, dict) else None
        if isinstance(outcome, EventHubError):
            return protocol.refusal(outcome, ref)
        if self._is_controlled:
            return None if ref is None else protocol.ack(ref, outcome.as_dict())
        if isinstance(outcome, Sent) or not outcome.duplicate:
            return None
        known = f"{outcome.id} is stored already, at {outcome.sequence}"
        return protocol.refusal(Rejected("duplicate", known), ref)

    def send_soon(self, frame: Frame, *, is_last: bool) -> None:
        """Answer messages that are stored together in one write to the socket.

        Args:
            frame: the answer to one of them.
            is_last: no other message waits for its answer.
        """
        self._waiting.append(frame)
        if is_last:
            self._send()
        elif len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        if self._waiting:
            frames, self._waiting = self._waiting, []
            self._connection.send(*frames)
