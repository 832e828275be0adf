"""Shared socket: one WebSocket with any number of subscriptions, each as a connection of its own.

A subscription is admitted by its endpoint exactly as a connection to its path would be: origin,
login, rules and `open` see a request for that path, with the headers of the handshake. What one of
them must not do ends this one, and the others go on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any, Final

import structlog
from aiohttp import web
from yarl import URL

from eventhub import deadlines, metrics
from eventhub.delivery import frames as protocol
from eventhub.delivery.frames import Form
from eventhub.delivery.start import arrival
from eventhub.errors import Close, EventHubError, Rejected, Unavailable
from eventhub.gateway.answers import Frame
from eventhub.gateway.budget import Share, client_of_limits
from eventhub.gateway.connection_login import (
    AUTH,
    RENEWAL_SECONDS,
    ConnectionLogin,
    TokenFrame,
    has_token,
)
from eventhub.gateway.dispatcher import Command, Target, move
from eventhub.gateway.inbox import Inbox
from eventhub.gateway.reading import reading
from eventhub.gateway.route import Route, Shared, Visit
from eventhub.gateway.server import has_to_wait
from eventhub.gateway.subscribe_frame import SUB, SUBSCRIBE, UNSUBSCRIBE, SubscribeFrame, number_of
from eventhub.gateway.subscription import OpenReading, Subscription
from eventhub.gateway.websocket import WebSocketConnection
from eventhub.identity.authenticator import Login
from eventhub.identity.bearer import QUERY
from eventhub.identity.proxies import client_of

NAME: Final = "socket"
"""What log lines call it."""
IDLE_SECONDS: Final = 10.0
"""How long a client may have no subscription: it is not counted among those of its user."""
MAX_COMMAND_BYTES: Final = 80 << 10
"""Of a frame of a client that has no subscription: it cannot be a message."""
Find = Callable[[web.Request, URL], Awaitable[tuple[Route, web.Request]]]
"""Returns the endpoint at a path, as `Endpoints.find`."""

logger = structlog.get_logger(__name__)


class SharedSocket:
    """One open socket. It is the `Dispatcher` of its frames."""

    name = NAME

    def __init__(
        self,
        request: web.Request,
        connection: WebSocketConnection,
        visit: Visit,
        shared: Shared,
        find: Find,
    ) -> None:
        """Get ready to read from a client.

        Args:
            request: the handshake.
            connection: with v2; nothing was read from it.
            visit: the client, as it came; of no endpoint.
            shared: the limits of all clients.
            find: finds the endpoint of a path.
        """
        self.connection = connection
        self._request = request
        self.shared = shared
        self._find = find
        self._subscriptions: dict[int, Subscription] = {}
        self._ticks: dict[str, str] = {}
        proxies = shared.authenticator.proxies
        self._login = ConnectionLogin(visit, connection, client_of(request, proxies))
        client = client_of_limits(request, visit.handler.current_user, proxies)
        self._share = Share(shared.budgets.of(client), connection.wake)
        self._inbox = Inbox(self, shared, connection, self._share)
        self._idle: asyncio.TimerHandle | None = None
        connection.on_full = self._on_full
        self._note_count()

    @property
    def _user_login(self) -> Login:
        handler = self._login.visit.handler
        return Login(handler.current_user, handler.validity)  # type: ignore[arg-type] # of a Login

    # --- Called by `Live` -------------------------------------------------------------------------

    def begin(self) -> None:
        """End the connection when its client's login ends."""
        self._login.watch(self._fail_soon)

    @property
    def readings(self) -> list[OpenReading]:
        """What operators see of it."""
        return [each.reading(self._login.address) for each in self._subscriptions.values()]

    def reads(self, channel: str) -> bool:
        """Return whether a subscription reads a channel."""
        return any(each.route.channel.name == channel for each in self._subscriptions.values())

    def go_on(self, routes: Mapping[str, Route]) -> bool:
        """Go on with other endpoints, or close if its client might be another user to them."""
        shared = next((route.shared for route in routes.values()), None)
        if shared is None or not shared.identifies_like(self.shared):
            _ = self.shared.tasks.spawn(self.dismiss())
            return False
        self.shared = shared
        for number, subscription in tuple(self._subscriptions.items()):
            newer = routes.get(subscription.route.endpoint.name)
            if newer is None or not subscription.follow(newer):
                self.end(number, Unavailable("the endpoint was configured anew: subscribe again"))
        return True

    async def dismiss(self, code: Close = Close.RESTART) -> None:
        """Send nothing more, and close; the client connects again, if it may."""
        self._stop_sending()
        await self.stop(code)

    async def stop(self, code: Close = Close.RESTART) -> None:
        """Answer what was sent, and close; the client connects again."""
        await self._close(partial(self.connection.close, code))

    async def _close(self, close: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(deadlines.CONNECTION_SECONDS):
                await self._inbox.empty()
                await close()
        except TimeoutError:  # the client takes nothing, not even the close frame
            logger.info("close_cut_short")
            self.connection.abort()

    def release(self) -> None:
        """Stop what works for the connection, which has ended."""
        self._stop_sending()
        self._login.release()
        self._inbox.release()
        if self._idle is not None:
            self._idle.cancel()

    def _stop_sending(self) -> None:
        for subscription in self._subscriptions.values():
            subscription.stop()
        self._subscriptions.clear()

    def _fail_soon(self, reason: EventHubError) -> None:
        _ = self.shared.tasks.spawn(self._fail(reason))

    async def _fail(self, reason: EventHubError) -> None:
        self._stop_sending()
        await self._close(partial(self.connection.fail, reason))

    # --- Called by subscriptions ------------------------------------------------------------------

    def end(self, number: int, error: EventHubError, ref: Any = None) -> None:
        """See `Socket`."""
        self._drop(number)
        metrics.REFUSED.labels(error.code).inc()
        self.connection.send(protocol.of_subscription(number, protocol.refusal(error, ref)))
        self._note_count()

    def _drop(self, number: int) -> None:
        if (subscription := self._subscriptions.pop(number, None)) is not None:
            subscription.stop()
        self._ticks.pop(str(number), None)  # it would come after the end, or to the next one

    def tick(self, number: int, position: str) -> None:
        """See `Socket`: one frame and one ping, however many subscriptions are silent."""
        if not self._ticks:
            asyncio.get_running_loop().call_soon(self._send_ticks)
        self._ticks[str(number)] = position

    def _send_ticks(self) -> None:
        ticks, self._ticks = self._ticks, {}
        if ticks:
            self.connection.ping()
            self.connection.send({"_tick": ticks})

    def _on_full(self) -> None:
        # Not now: it may be within a turn's events, of which other subscriptions get theirs next.
        asyncio.get_running_loop().call_soon(self._let_lag)

    def _let_lag(self) -> None:
        if self.connection.is_full or self.connection.is_closing:
            for subscription in tuple(self._subscriptions.values()):
                subscription.on_full()

    def _note_count(self) -> None:
        """Bound what a client may do that reads nothing yet."""
        is_idle = not self._subscriptions and not self.connection.is_lost
        self.connection.most_begun = MAX_COMMAND_BYTES if is_idle else inf
        if is_idle and self._idle is None:  # what is refused meanwhile gives it no more time
            later = asyncio.get_running_loop().call_later
            self._idle = later(IDLE_SECONDS, self._fail_soon, _too_idle())
        elif not is_idle and self._idle is not None:
            self._idle.cancel()
            self._idle = None

    # --- A dispatcher -----------------------------------------------------------------------------

    @property
    def reads_decimals(self) -> bool:
        """See `Dispatcher`."""
        return any(each.route.reads_decimals for each in self._subscriptions.values())

    def command_of(self, messages: list[Any]) -> Command | None:
        """See `Dispatcher`."""
        if has_token(messages):
            return self._log_in
        if len(messages) == 1 and isinstance(messages[0], dict):
            if SUBSCRIBE in messages[0]:
                return self._subscribe
            if UNSUBSCRIBE in messages[0]:
                return self._unsubscribe
        return None

    def target_of(self, messages: list[Any]) -> Target:
        """See `Dispatcher`: the endpoint and the login of the subscription that they name."""
        found = [each.pop(SUB, None) if isinstance(each, dict) else None for each in messages]
        first = found[0] if found else None
        subscription = self._subscriptions.get(first) if type(first) is int else None
        if subscription is None or any(number != first for number in found):
            text = f"{SUB} must be the number of an open subscription, one for all of an array"
            raise Rejected("bad_control", text, column=SUB)
        sender = subscription.visit.sender(self._share.spend, self._share.client)
        return Target(subscription.route, sender)

    async def _subscribe(self, message: Frame) -> Frame | None:
        number = number_of(message, SUBSCRIBE)
        if number in self._subscriptions:
            text = f"subscription {number} is open: unsubscribe first, or use another number"
            raise Rejected("bad_control", text, column=SUBSCRIBE)
        try:
            await self._open(SubscribeFrame.parse(message, number))
        except EventHubError as error:
            self.connection.charge(RENEWAL_SECONDS)
            _ = has_to_wait(self._request, error)
            self.end(number, error, message.get("_ref"))
        return None

    async def _open(self, asked: SubscribeFrame) -> None:
        route, request = await self._find(self._request, asked.url)
        if QUERY in request.query:
            text = f"{QUERY}: send the token in a frame, {{{AUTH!r}: TOKEN}}"
            raise Rejected("bad_filter", text, column=QUERY)
        visit = await route.admit(request, since=asked.since, login=self._user_login)
        # Before the first frame: what is written once the client has it is live.
        arrived = await arrival(route.channel)
        view, start = await reading(route, visit, Form.V2, arrived, asked.number)
        if (await self._find(self._request, asked.url))[0] is not route:
            raise Unavailable("the configuration has just changed: subscribe again")
        if self._inbox.is_ending or self.connection.is_closing:
            return
        subscription = Subscription(asked.number, route, visit, self)
        subscription.start(view, start, self.shared.budgets.of(self._share.client))
        self._subscriptions[asked.number] = subscription
        self._note_count()

    async def _unsubscribe(self, message: Frame) -> Frame:
        number = number_of(message, UNSUBSCRIBE)
        self._drop(number)
        self._note_count()
        return protocol.of_subscription(number, {"_end": True})

    async def _log_in(self, message: Frame) -> Frame:
        self.connection.charge(RENEWAL_SECONDS * (1 + len(self._subscriptions)))
        asked = TokenFrame.parse(message)
        answer = await self._login.renew_by(self._readmit, self.shared, NAME, asked.token)
        move(self._share, self._login.visit, self.shared.budgets, self.connection)
        self._note_count()
        return answer

    async def _readmit(self, login: Login) -> Visit:
        """Return the client with another login; subscriptions that do not admit it are ended."""
        for number, subscription in tuple(self._subscriptions.items()):
            try:
                await subscription.renew(login)
            except EventHubError as error:
                self._login.note(self.shared, subscription.route.endpoint.name, error)
                self.end(number, error)
        handler = self._login.visit.handler
        handler = replace(handler, current_user=login.user, validity=login.validity)
        return replace(self._login.visit, handler=handler)


def _too_idle() -> Unavailable:
    text = f"no subscription was open for {IDLE_SECONDS:.0f} s: connect when there is one"
    return Unavailable(text, code="busy")
