"""First frames: clients with a subprotocol that log in with the first frame that they send.

Such a client has no login in its handshake, though its endpoint needs one. It is asked for its
token. Until that is there, nothing else is read from it or sent to it. So it costs little more than
a refused client, and its end counts as a refusal if it brings no token that is valid.
"""

import asyncio
from contextlib import suppress
from math import inf
from typing import Final

from eventhub.delivery import frames as protocol
from eventhub.errors import EventHubError, Rejected, Unavailable
from eventhub.gateway.connection_login import TokenFrame, has_token
from eventhub.gateway.turns import IsOver
from eventhub.gateway.websocket import WebSocketConnection
from eventhub.ingest.decoding import parse_json

FIRST_FRAME_SECONDS: Final = 10.0
"""From the handshake to the whole frame."""
MAX_FRAME_BYTES: Final = 17 << 10
"""Of the frame: the largest token, and what is around it."""
MAX_WAITING: Final = 1000
"""Clients that wait at once. One more takes the place of the one that has waited longest: an honest
client needs no longer than its way to the hub and back."""
_HOW: Final = 'log in to use this endpoint: the first frame must be {"_auth": TOKEN}'


class FirstFrames:
    """The clients that have not logged in yet."""

    def __init__(self) -> None:
        self._waiting: dict[_Client, None] = {}
        self._is_stopping = False

    async def next(self, connection: WebSocketConnection) -> TokenFrame:
        """Return the first frame of a client.

        Nothing that follows it is read, until the connection's call-backs are set and it is woken.

        Args:
            connection: just opened.

        Raises:
            Rejected: `unauthorized`: no frame came in time, or another one than a token; or the
                client has left.
            Unavailable: too many other clients came, or the hub stops.
        """
        if self._is_stopping:
            raise _stopping()
        connection.send(protocol.login_required())
        client = _Client(connection)
        if len(self._waiting) >= MAX_WAITING:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.refuse(Unavailable("too many clients log in: try again", code="busy"))
        self._waiting[client] = None
        try:
            async with asyncio.timeout(FIRST_FRAME_SECONDS):
                return await client.frame
        except TimeoutError:
            text = f"no token came within {FIRST_FRAME_SECONDS:.0f} s: {_HOW}"
            raise Rejected("unauthorized", text) from None
        finally:
            connection.most_begun = inf
            self._waiting.pop(client, None)

    def stop(self) -> None:
        """Refuse all of them; their clients connect again."""
        self._is_stopping = True
        for client in self._waiting:
            client.refuse(_stopping())


class _Client:
    """A client whose first frame is awaited."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self.frame: asyncio.Future[TokenFrame] = asyncio.get_running_loop().create_future()
        self._connection = connection
        connection.most_begun = MAX_FRAME_BYTES
        connection.on_text = self._on_text
        connection.on_binary = self._on_binary
        connection.on_turn = self._on_turn
        connection.on_end = connection.leave
        connection.on_lost = self._on_lost
        if connection.is_lost:
            self._on_lost()
        connection.start()

    def refuse(self, error: EventHubError) -> None:
        if not self.frame.done():
            self.frame.set_exception(error)

    def _on_text(self, data: bytes) -> None:
        if self.frame.done():
            return
        try:
            self.frame.set_result(_token_frame(data))
        except Rejected as error:
            self.refuse(Rejected("unauthorized", error.message))

    def _on_binary(self) -> None:
        self.refuse(Rejected("unauthorized", _HOW))

    def _on_turn(self, _: IsOver) -> bool:
        return not self.frame.done()

    def _on_lost(self) -> None:
        self.refuse(Rejected("unauthorized", "the client left before it logged in"))


def _token_frame(data: bytes) -> TokenFrame:
    """Read a frame.

    Raises:
        Rejected: it is not a token.
    """
    messages = []
    if len(data) <= MAX_FRAME_BYTES:
        with suppress(Rejected):
            messages = parse_json(data)
    if not has_token(messages):
        raise Rejected("unauthorized", _HOW)
    return TokenFrame.parse(messages[0])


def _stopping() -> Unavailable:
    return Unavailable("the hub is stopping: connect again")
