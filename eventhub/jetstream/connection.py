"""Connection: one nats-py client that stays connected, with deadlines and our own errors.

Two things that nats-py 2.16 does are not relied on. It gives up for good on some errors of the
server, and a failure inside it can leave a client that claims to be connected and receives nothing.
So the connection makes a round trip to the server every second. A client that does not answer is
replaced, and the subscriptions move to the new one.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from random import sample
from secrets import token_hex
from typing import Any, Self

import structlog
from nats.aio.client import Client
from nats.errors import MaxPayloadError

from eventhub import deadlines
from eventhub.background import background, within
from eventhub.errors import EventHubError, Misconfigured, Unavailable
from eventhub.jetstream.parser import Handler, Message
from eventhub.jetstream.requests import Headers, Requests, api_of
from eventhub.jetstream.sentinels import Sentinels
from eventhub.jetstream.subscription import LOST, Peer, Subscription
from eventhub.metrics import BROKER_CONNECTED

DIAL_SECONDS = 5.0
"""How long one connection with its handshake may take; it usually takes 2 ms."""
PING_SECONDS = 1.0
"""A stopped server is noticed after three pings."""
PING_OF_SEVERAL_SECONDS = 0.5
"""The same if there are other servers to go to; then a consumer's silence is noticed no sooner."""
RECONNECT_SECONDS = 0.05
"""Between two attempts; a restart of the server takes 50 ms."""
REFUSED_SECONDS = 0.5
"""After a server that refuses the credentials: nothing gets better by asking at once."""
WATCH_SECONDS = 1.0
"""Between two round trips."""
STUCK_SECONDS = 10.0
"""Silence after which a client is replaced."""
CONSUMERS_AT_ONCE = 64
"""How many are being made at once: of a thousand, the last would be given up before its turn."""

_REFUSED = re.compile("authorization|authentication|control line", re.IGNORECASE)
Renew = Callable[[str], Awaitable[None]]
"""Restarts the server, so that it reads the files of a stream and forgets what it knew of it."""
logger = structlog.get_logger(__name__)


class Connection:
    """A connection to NATS servers. `async with Connection.open(...)` keeps it alive."""

    def __init__(self, renew: Renew | None, **options: Any) -> None:
        self.renew = renew
        self.api = api_of(options.pop("domain", None))
        """What the subjects of JetStream's API begin with."""
        self._options = options
        self._inboxes = options.get("inbox_prefix", "_INBOX")
        self._peer = Peer()
        self._closing = False
        self._subscriptions: set[Subscription] = set()
        self._requests = Requests(self._publish, self.new_inbox())
        self.up = asyncio.Event()
        """Set while connected."""
        self.sentinels = Sentinels()
        self.making = asyncio.Semaphore(CONSUMERS_AT_ONCE)
        """Held while a consumer is made."""

    @classmethod
    @asynccontextmanager
    async def open(cls, *, renew: Renew | None = None, **options: Any) -> AsyncIterator[Self]:
        """Connect; `options` are nats-py's `servers` and credentials.

        Raises:
            Unavailable: no server answers.
            Misconfigured: the server refuses the credentials.
        """
        connection = cls(renew, **options)
        connection._peer = await connection._dial()
        try:
            async with background() as tasks:
                asks = connection._requests
                await connection.subscribe(f"{asks.inbox}.*", asks.on_messages, asks.on_reconnect)
                connection._come_up()
                tasks.start(connection._watch(), name="broker-watch")
                yield connection
        finally:
            connection._closing = True
            connection._go_down()
            await connection._close(connection._client)

    @property
    def _client(self) -> Client:
        return self._peer.client

    @property
    def is_connected(self) -> bool:
        """Tell whether the broker answers."""
        return self._client.is_connected

    @property
    def max_payload(self) -> int:
        """Bytes of headers and payload that the server takes in one message."""
        return self._peer.client.max_payload

    def new_inbox(self) -> str:
        """Return a subject for replies that no other client uses."""
        return f"{self._inboxes}.{token_hex(11)}"

    async def move(self) -> None:
        """Connect to the next server; the client tries on until one answers."""
        if len({uri.netloc for uri in self._client.servers}) > 1:
            await self._client.force_reconnect()

    async def subscribe(
        self, subject: str, on_messages: Handler, on_reconnect: Callable[[], None]
    ) -> Subscription:
        """Subscribe until `unsubscribe`; after `on_reconnect` messages may be missing.

        Raises:
            Unavailable: not connected.
        """
        subscription = Subscription(subject, on_messages, on_reconnect)
        try:
            await subscription.attach(self._peer)
        except LOST as error:
            raise Unavailable("the event log cannot be reached") from error
        self._subscriptions.add(subscription)
        return subscription

    async def unsubscribe(self, subscription: Subscription, *, drain: bool = False) -> None:
        """End a subscription; with `drain`, once all that was sent to it has been handed over."""
        self._subscriptions.discard(subscription)
        await subscription.detach(drain=drain)

    async def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Hand a message to the client; only a reply can say that it arrived.

        Raises:
            Unavailable: not connected, and nothing was sent.
        """
        try:
            await self._publish(subject, payload, reply)
        except MaxPayloadError:
            raise
        except LOST as error:
            raise Unavailable("the event log cannot be reached") from error

    async def tell(self, subject: str, payload: bytes) -> None:
        """Send what nobody answers.

        Raises:
            Unavailable: not connected, or the server does not allow this user to publish to it.
        """
        try:
            await self._requests.tell(subject, payload)
        except LOST as error:
            raise Unavailable("the event log cannot be reached") from error

    def send(self, commands: bytes) -> None:
        """Write finished commands (`Write.command`) to the socket now, behind what waits there.

        nats-py would leave that to a task. The caller bounds what is under way.

        Raises:
            Unavailable: not connected, and nothing was sent.
        """
        client = self._peer.client
        if not client.is_connected or client._transport is None:
            raise Unavailable("the event log cannot be reached")
        waiting, client._pending, client._pending_data_size = client._pending, [], 0
        try:
            client._transport.write(b"".join([*waiting, commands]))
        except LOST as error:
            raise Unavailable("the event log cannot be reached") from error

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        headers: Headers | None = None,
        *,
        within: float | None = None,
    ) -> Message:
        """Return the answer to a question, which may be asked again while the broker is away.

        Raises:
            Unavailable: there was none for `requests.PATIENCE_SECONDS`, or `within` these seconds.
        """
        [message] = await self._requests.ask(subject, payload, headers=headers, within=within)
        return message

    async def request_all(self, subject: str, payload: bytes) -> list[Message]:
        """Return an answer of several messages, the last without a payload; errors as `request`."""
        return await self._requests.ask(subject, payload, parts=True)

    async def _publish(
        self, subject: str, payload: bytes, reply: str, headers: Headers | None = None
    ) -> None:
        await self._client.publish(subject, payload, reply, dict(headers) if headers else None)

    async def _dial(self) -> Peer:
        peer = Peer()
        client = peer.client
        connected = False
        servers = self._options["servers"]
        servers = [servers] if isinstance(servers, str) else sample(servers, len(servers))

        async def report(error: Exception) -> None:
            """Raise nothing once connected: that would end nats-py's read loop."""
            logger.debug("broker_error", reason=repr(error))
            if _REFUSED.search(str(error)):
                if not connected:
                    raise Misconfigured(f"the NATS server refuses the credentials: {error}")
                await asyncio.sleep(REFUSED_SECONDS)  # nats-py waits for this before it goes on
            self._requests.on_error(str(error))

        try:
            await within(
                DIAL_SECONDS,
                client.connect(
                    **{**self._options, "servers": servers},
                    # The lost server comes last; frozen, it would cost 2 s before each other one.
                    dont_randomize=True,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type] # only slept
                    # Only slept, as well.
                    ping_interval=PING_SECONDS if len(servers) == 1 else PING_OF_SEVERAL_SECONDS,  # type: ignore[arg-type]
                    pending_size=0,  # otherwise what is sent while disconnected goes out much later
                    error_cb=report,
                    disconnected_cb=self._on_disconnect,
                    reconnected_cb=self._on_reconnect,
                ),
            )
            connected = True
        except LOST as error:
            reason = client.last_error or error
            raise Unavailable(f"no NATS server answers: {reason!r}") from error
        finally:
            if not connected:
                await self._close(client)
        return peer

    async def _close(self, client: Client) -> None:
        with suppress(*LOST):
            await within(deadlines.BROKER_SECONDS, client.close())

    async def _watch(self) -> None:
        """Replace the client when it has given up, or has not answered for `STUCK_SECONDS`."""
        loop = asyncio.get_running_loop()
        answered_at = loop.time()
        while not self._closing:
            await asyncio.sleep(WATCH_SECONDS)
            if await self._is_answering():
                answered_at = loop.time()
            elif self._client.is_closed or loop.time() - answered_at > STUCK_SECONDS:
                await self._replace()

    async def _is_answering(self) -> bool:
        try:
            if self._client.is_connected:
                await self._requests.round_trip()
        except (*LOST, Unavailable):
            return False
        return self._client.is_connected

    async def _replace(self) -> None:
        try:
            peer = await self._dial()
        except EventHubError as error:
            logger.warning("broker_unreachable", reason=error.message)
            return
        old, self._peer = self._client, peer
        for subscription in tuple(self._subscriptions):
            with suppress(*LOST):
                await subscription.attach(peer)
        await self._close(old)
        await self._on_reconnect()

    def _come_up(self) -> None:
        self.up.set()
        BROKER_CONNECTED.set(1)

    def _go_down(self) -> None:
        self.up.clear()
        BROKER_CONNECTED.set(0)

    async def _on_disconnect(self) -> None:
        if not (self._closing or self._client.is_connected):
            self._go_down()
            logger.warning("broker_disconnected")

    async def _on_reconnect(self) -> None:
        self._come_up()
        logger.info("broker_connected")
        for subscription in tuple(self._subscriptions):
            subscription.on_reconnect()
