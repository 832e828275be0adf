"""Dispatcher: what the frames of one WebSocket are for: messages of an endpoint, or a command."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from eventhub.errors import Rejected
from eventhub.gateway.answers import Frame
from eventhub.gateway.budget import Budgets, Share
from eventhub.gateway.connection_login import (
    RENEWAL_SECONDS,
    ConnectionLogin,
    NotAdmittedError,
    TokenFrame,
    has_token,
)
from eventhub.gateway.route import Route, Visit
from eventhub.gateway.websocket import WebSocketConnection
from eventhub.ingest.command import Sender

Command = Callable[[Frame], Awaitable[Frame | None]]
"""Does what a frame asks for, and returns the answer, if it has one.

It raises `NotAdmittedError` if the connection has to end.
"""


class Target(NamedTuple):
    """Where messages are stored, and as whose."""

    route: Route
    sender: Sender


class Dispatcher(Protocol):
    """Decides what the frames of one WebSocket are for."""

    name: str
    """Of the endpoint, for the log."""

    @property
    def reads_decimals(self) -> bool:
        """Whether numbers have to be read as decimals."""

    def command_of(self, messages: list[Any]) -> Command | None:
        """Return what a frame asks for, if it is no message."""

    def target_of(self, messages: list[Any]) -> Target:
        """Return where the messages of a frame are stored.

        Raises:
            Rejected: none of them can be stored.
        """


class EndpointDispatcher:
    """The dispatcher of a WebSocket at an endpoint's path: all messages are for the endpoint."""

    def __init__(
        self, route: Route, login: ConnectionLogin, connection: WebSocketConnection, share: Share
    ) -> None:
        self.name = route.endpoint.name
        self._login = login
        self._connection = connection
        self._share = share
        self._target = Target(route, login.visit.sender(share.spend, share.client))

    def follow(self, route: Route) -> None:
        """Store what is read from now on through this endpoint, which admits the same clients."""
        self._target = self._target._replace(route=route)

    @property
    def reads_decimals(self) -> bool:
        """See `Dispatcher`."""
        return self._target.route.reads_decimals

    def command_of(self, messages: list[Any]) -> Command | None:
        """See `Dispatcher`: a client with a subprotocol may send another token."""
        is_token = has_token(messages) and self._connection.form.controlled
        return self._log_in if is_token else None

    def target_of(self, _messages: list[Any]) -> Target:
        """See `Dispatcher`."""
        return self._target

    async def _log_in(self, message: Frame) -> Frame:
        self._connection.charge(RENEWAL_SECONDS)
        asked, route = TokenFrame.parse(message), self._target.route
        answer = await self._login.renew(route, asked.token)
        visit = self._login.visit
        move(self._share, visit, route.shared.budgets, self._connection)
        self._target = Target(route, visit.sender(self._share.spend, self._share.client))
        return answer


def move(share: Share, visit: Visit, budgets: Budgets, connection: WebSocketConnection) -> None:
    """Charge what a connection sends to the user of another login.

    Raises:
        NotAdmittedError: the user has too many connections.
    """
    user = visit.handler.current_user
    if user is None or connection.is_lost:
        return
    try:
        share.move(budgets.of(f"user {user.id}"))
    except Rejected as error:
        raise NotAdmittedError(error) from None
