"""Subscription: one of the readings on a shared socket; to its subscriber it is the outlet."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final, NamedTuple, Protocol

from eventhub import metrics
from eventhub.delivery.broadcast import Sink
from eventhub.delivery.frames import Form, of_subscription
from eventhub.delivery.live_channel import LiveChannel
from eventhub.delivery.start import Start
from eventhub.delivery.subscriber import Subscriber
from eventhub.delivery.view import View
from eventhub.errors import EventHubError, Rejected
from eventhub.gateway.attending import attending
from eventhub.gateway.budget import Budget
from eventhub.gateway.connection import nothing
from eventhub.gateway.connection_login import sees_else
from eventhub.gateway.route import Route, Visit
from eventhub.gateway.websocket import WebSocketConnection
from eventhub.identity.authenticator import Login

NUMBERS: Final = count(1)
"""Name connections and subscriptions to operators."""


class OpenReading(NamedTuple):
    """A connection or a subscription, as operators see it."""

    number: int
    route: Route
    visit: Visit
    address: str
    form: Form
    opened: datetime
    behind: int
    """Events of the table that its client has not got."""


class Socket(Protocol):
    """What a subscription needs of the socket that it shares with others."""

    connection: WebSocketConnection

    def end(self, number: int, error: EventHubError) -> None:
        """End a subscription, and send its client the reason."""

    def tick(self, number: int, position: str) -> None:
        """Send the client soon that a subscription has everything up to a position."""


class Subscription:
    """One subscription; an `Outlet`."""

    def __init__(self, number: int, route: Route, visit: Visit, socket: Socket) -> None:
        """Prepare; `start` begins to send.

        Args:
            number: of the subscription.
            route: the endpoint.
            visit: the client, as the endpoint admitted it.
            socket: where frames are written.
        """
        self.number = number
        self.route = route
        self.visit = visit
        self.on_full: Callable[[], None] = nothing
        """See `Outlet`."""
        self.on_renewed: Callable[[], None] = nothing
        """See `Attendee`."""
        self._socket = socket
        self._connection = socket.connection
        self._held = ExitStack()
        self._is_closed = False
        self._subscriber: Subscriber | None = None
        self._id = next(NUMBERS)
        self._opened = datetime.now(UTC)

    def start(self, view: View, start: Start, budget: Budget) -> None:
        """Count the subscription, and begin to send.

        Args:
            view: what the client sees.
            start: where reading starts.
            budget: of the client, for which it is a connection.

        Raises:
            Rejected: `rate_limited`, `too_many_connections`.
            Unavailable: `too_many_reads`.
        """
        channel = self.route.channel
        budget.connect()
        with ExitStack() as held:
            held.enter_context(budget.connection())
            held.enter_context(channel.hold(view, budget.client))
            gauge = metrics.CONNECTIONS.labels(channel.name, Form.V2.value)
            held.enter_context(gauge.track_inprogress())
            held.enter_context(attending(self.route, self, self, self._connection))
            self._held = held.pop_all()
        self._subscriber = _Subscriber(view, channel, self, budget.client, self._socket)
        self._subscriber.start(start)

    def reading(self, address: str) -> OpenReading:
        """Return what operators see of it."""
        behind = 0 if self._subscriber is None else self._subscriber.behind
        return OpenReading(self._id, self.route, self.visit, address, Form.V2, self._opened, behind)

    def stop(self) -> None:
        """Send nothing more; idempotent."""
        self._is_closed = True
        if self._subscriber is not None:
            self._subscriber.stop()
        self._held.close()

    async def renew(self, login: Login) -> None:
        """Go on with another login of the client.

        Raises:
            Rejected: the login is not admitted; `changed`: it sees something else.
        """
        visit = await self.route.renew(self.visit, login)
        if sees_else(self.route, visit, self.visit, Form.V2):
            text = "with this login you see something else: subscribe again, without a position"
            raise Rejected("changed", text)
        self.visit = visit
        self.on_renewed()

    def follow(self, newer: Route) -> bool:
        """Go on with the endpoint of another configuration, if it admits the client as before."""
        if newer is not self.route and not newer.admits_like(self.route):
            return False
        self.route = newer
        return True

    # --- An outlet --------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """See `Outlet`."""
        return self._connection.is_full

    @property
    def is_closing(self) -> bool:
        """See `Outlet`."""
        return self._is_closed or self._connection.is_closing

    @property
    def sink(self) -> Sink:
        """See `Outlet`."""
        return self._connection.sink

    def push(self, data: bytes) -> None:
        """See `Outlet`."""
        if not self._is_closed:
            self._connection.push(data)

    def send(self, *frames: dict[str, Any]) -> None:
        """See `Watcher`."""
        if not self._is_closed:
            self._connection.send(*(of_subscription(self.number, each) for each in frames))

    def ping(self) -> None:
        """See `Outlet`."""
        self._connection.ping()

    async def drain(self) -> None:
        """See `Outlet`."""
        await self._connection.drain()
        if self._is_closed:
            raise ConnectionResetError("the subscription has ended")

    async def fail(self, error: EventHubError) -> None:
        """See `Outlet`: the others on the socket go on."""
        self._socket.end(self.number, error)


class _Subscriber(Subscriber):
    """A subscriber whose heartbeat is sent with those of others on its socket."""

    def __init__(
        self,
        view: View,
        channel: LiveChannel,
        outlet: Subscription,
        client: str,
        socket: Socket,
    ) -> None:
        super().__init__(view, channel, outlet, client)
        self._socket = socket

    def heartbeat(self) -> None:
        """See `Subscriber`."""
        position = self.view.position(self._channel.feed.head)
        self._socket.tick(self.view.number, str(position))
