"""Connection: one nats-py client that stays connected, with deadlines and our own errors.

What nats-py 2.16 does by itself and is not relied on: it gives up for good on some errors of the
server, and a failure inside it can leave a client that claims to be connected and hears nothing. So
the client is asked for a round trip every second, and one that does not answer is replaced;
subscriptions move to the new client.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any, Self

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError

from eventhub import deadlines
from eventhub.background import background
from eventhub.errors import EventHubError, Misconfigured, Unavailable
from eventhub.jetstream.parser import BatchParser, Handler, Message, subscription_number
from eventhub.metrics import BROKER_CONNECTED

DIAL_SECONDS = 5.0  # one connection with its handshake; usually 2 ms
DRAIN_SECONDS = 1.0  # one round trip; usually 0.2 ms
PING_SECONDS = 1  # a stopped server is noticed after three of them
RECONNECT_SECONDS = 0.05  # between two attempts; a restart takes 50 ms
REQUEST_SECONDS = 2.0  # one request; usually 0.2 ms
PATIENCE_SECONDS = 5.0  # a request that may be repeated, over a restart of the broker
PAUSE_SECONDS = 0.05  # between two attempts of such a request
WATCH_SECONDS = 1.0
STUCK_SECONDS = 10.0  # silence after which a client is replaced

_REFUSED = re.compile("authorization|authentication", re.IGNORECASE)
_AWAY = (NatsError, OSError)  # nats-py's TimeoutError is one of both
STREAM_NOT_FOUND = 10059  # `ApiError.number`
_END_OF_BATCH = "204"
_NOT_FOUND = "404"
_NO_RESPONDERS = "503"
_TEMPORARY = 503  # of the JetStream API: no leader now

Renew = Callable[[str], Awaitable[None]]
"""Has the server start anew with what the files of a stream hold, and forget what it knew of it."""

logger = structlog.get_logger(__name__)


class ApiError(EventHubError):
    """JetStream refused a request. `number` is its `err_code`."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"JetStream: {error.get('description', error)}")
        self.number: int = error.get("err_code", 0)
        self.status: int = error.get("code", 0)


class Peer:
    """One nats-py client and the parser that hands on its messages."""

    def __init__(self) -> None:
        self.client = Client()
        self.parser = BatchParser.install(self.client)


class Subscription:
    """Messages of one subject, handed to a function that must not raise or wait."""

    def __init__(
        self, subject: str, on_messages: Handler, on_reconnect: Callable[[], None]
    ) -> None:
        self.subject = subject
        self.on_reconnect = on_reconnect
        self._on_messages = on_messages
        self._inner: NatsSubscription | None = None
        self._handlers: dict[int, Handler] = {}
        self._number = 0

    async def attach(self, peer: Peer) -> None:
        """Subscribe at a client. nats-py's queue of the subscription stays empty."""
        self._inner = await peer.client.subscribe(self.subject, cb=_never)
        self._number = subscription_number(self._inner)
        self._handlers = peer.parser.handlers
        self._handlers[self._number] = self._on_messages

    async def detach(self, *, drain: bool) -> None:
        """Unsubscribe, if the client still lives; `drain` what is on its way first."""
        try:
            with suppress(*_AWAY):
                if self._inner is None:
                    return
                if not drain:
                    await self._inner.unsubscribe()
                    return
                async with asyncio.timeout(DRAIN_SECONDS):
                    await self._inner.drain()  # type: ignore[no-untyped-call] # nats-py
        finally:
            self._handlers.pop(self._number, None)


class _Question:
    """What somebody waits to be answered."""

    def __init__(self, before: list[Message] | None) -> None:
        self.answer: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        """Its last part; None if it will not come."""
        self._before = before

    def receive(self, message: Message) -> None:
        """Take a part."""
        if self.answer.done():
            return
        if self._before is not None and message.data:
            self._before.append(message)
        else:
            self.answer.set_result(message)

    def lose(self) -> None:
        """Give up."""
        if not self.answer.done():
            self.answer.set_result(None)


async def _never(_: Msg) -> None:
    """Make nats-py take a subscription for one with a callback; the parser calls ours."""


class Connection:
    """A connection to NATS servers. `async with Connection.open(...)` keeps it alive."""

    def __init__(self, renew: Renew | None, **options: Any) -> None:
        self.renew = renew
        self._options = options
        self._peer = Peer()
        self._closing = False
        self._subscriptions: set[Subscription] = set()
        self._inbox = ""
        self._numbers = count()
        self._questions: dict[int, _Question] = {}
        self.up = asyncio.Event()
        """Set while connected."""

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
                await connection._begin()
                tasks.start(connection._watch(), name="broker-watch")
                yield connection
        finally:
            connection._closing = True
            connection._go_down()
            await connection._close(connection._client)

    async def _begin(self) -> None:
        self._inbox = self.new_inbox()
        await self.subscribe(f"{self._inbox}.*", self._on_answers, self._forget_questions)
        self._come_up()

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
        return self._client.max_payload

    def new_inbox(self) -> str:
        """Return a subject for replies that nobody else uses."""
        return self._client.new_inbox()

    async def subscribe(
        self,
        subject: str,
        on_messages: Handler,
        on_reconnect: Callable[[], None],
    ) -> Subscription:
        """Subscribe until `unsubscribe`; `on_reconnect` is told that messages may be lost."""
        subscription = Subscription(subject, on_messages, on_reconnect)
        try:
            await subscription.attach(self._peer)
        except _AWAY as error:
            raise Unavailable("the event log cannot be reached") from error
        self._subscriptions.add(subscription)
        return subscription

    async def unsubscribe(self, subscription: Subscription, *, drain: bool = False) -> None:
        """End a subscription; with `drain`, once all that was sent to it has been handed over."""
        self._subscriptions.discard(subscription)
        await subscription.detach(drain=drain)

    async def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Hand a message to the client; whether it arrived only a reply can tell.

        Raises:
            Unavailable: not connected, and nothing was sent.
        """
        try:
            await self._client.publish(subject, payload, reply)
        except MaxPayloadError:
            raise
        except _AWAY as error:
            raise Unavailable("the event log cannot be reached") from error

    def send(self, commands: bytes) -> None:
        """Write finished commands (`publication`) to the socket at once, behind what waits there.

        nats-py would leave it to a task. Whoever calls this bounds what is under way.

        Raises:
            Unavailable: not connected, and nothing was sent.
        """
        client = self._client
        if not client.is_connected or client._transport is None:
            raise Unavailable("the event log cannot be reached")
        waiting, client._pending, client._pending_data_size = client._pending, [], 0
        try:
            client._transport.write(b"".join([*waiting, commands]))
        except _AWAY as error:
            raise Unavailable("the event log cannot be reached") from error

    async def request(self, subject: str, payload: bytes = b"") -> Message:
        """Return the answer to a request that may run twice: asked again while the broker is away.

        Raises:
            Unavailable: no answer in `PATIENCE_SECONDS`.
        """
        return await self._answer(subject, payload, None)

    async def _answer(self, subject: str, payload: bytes, before: list[Message] | None) -> Message:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + PATIENCE_SECONDS
        while True:
            try:
                return await self._ask(subject, payload, before)
            except _AWAY as error:
                if loop.time() >= give_up:
                    raise Unavailable("the event log does not answer") from error
            if before:
                before.clear()
            await asyncio.sleep(PAUSE_SECONDS)

    async def api(self, name: str, body: Any = None) -> dict[str, Any]:
        """Return the answer of a JetStream API request that may run twice.

        Raises:
            ApiError: JetStream refused it.
            Unavailable: no answer in time, or no leader.
        """
        payload = b"" if body is None else msgspec.json.encode(body)
        return _checked(await self.request(f"$JS.API.{name}", payload))

    async def store(self, subject: str, payload: bytes) -> None:
        """Publish a message to a stream durably; it may be stored twice; errors as `api`."""
        _checked(await self.request(subject, payload))

    async def direct_get(self, stream: str, query: dict[str, Any]) -> Message | None:
        """Return a stored message, its place in the `Nats-` headers, or None (NATS ADR-31)."""
        message = await self.request(f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(query))
        status = (message.headers or {}).get("Status")
        if status is None:
            return message
        if status == _NOT_FOUND:
            return None
        raise Unavailable(f"the event log answers {status}")

    async def direct_get_batch(self, stream: str, query: dict[str, Any]) -> list[Message]:
        """Return stored messages as `direct_get` does one; `query` has `batch`.

        Raises:
            Unavailable: no answer in `PATIENCE_SECONDS`.
        """
        payload = msgspec.json.encode(query)
        found: list[Message] = []
        last = await self._answer(f"$JS.API.DIRECT.GET.{stream}", payload, found)
        status = (last.headers or {}).get("Status")
        if status not in (_END_OF_BATCH, _NOT_FOUND):
            raise Unavailable(f"the event log answers {status}")
        return found

    async def _ask(
        self, subject: str, payload: bytes, before: list[Message] | None = None
    ) -> Message:
        """Ask once; without a subject, ask ourselves through the server.

        Not by nats-py's `request`, whose `wait_for` can swallow a cancellation.

        Args:
            subject: whom to ask.
            payload: the question.
            before: takes the parts of the answer before the last, which has no payload.
        """
        number = next(self._numbers)
        reply = f"{self._inbox}.{number}"
        question = self._questions[number] = _Question(before)
        try:
            await self._client.publish(subject or reply, payload, reply)
            async with asyncio.timeout(REQUEST_SECONDS):
                message = await question.answer
        finally:
            del self._questions[number]
        if message is None:
            raise ConnectionResetError("reconnected")
        if (message.headers or {}).get("Status") == _NO_RESPONDERS:
            raise ConnectionRefusedError("nobody answers")
        return message

    def _on_answers(self, messages: list[Message]) -> None:
        for message in messages:
            question = self._questions.get(int(message.subject.rpartition(".")[2]))
            if question is not None:
                question.receive(message)

    def _forget_questions(self) -> None:
        """Let those who wait ask again: what the old connection had not answered is lost."""
        for question in self._questions.values():
            question.lose()

    async def _dial(self) -> Peer:
        peer = Peer()
        client = peer.client
        connected = False

        async def report(error: Exception) -> None:
            """Never raises once connected: that would end nats-py's read loop."""
            logger.debug("broker_error", reason=repr(error))
            if not connected and _REFUSED.search(str(error)):
                raise Misconfigured(f"the NATS server refuses the credentials: {error}")

        try:
            async with asyncio.timeout(DIAL_SECONDS):
                await client.connect(
                    **self._options,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type] # only slept
                    ping_interval=PING_SECONDS,
                    pending_size=0,  # else what is sent while disconnected goes out much later
                    error_cb=report,
                    disconnected_cb=self._on_disconnect,
                    reconnected_cb=self._on_reconnect,
                )
            connected = True
        except _AWAY as error:
            reason = client.last_error or error
            raise Unavailable(f"no NATS server answers: {reason!r}") from error
        finally:
            if not connected:
                await self._close(client)
        return peer

    async def _close(self, client: Client) -> None:
        with suppress(*_AWAY):
            async with asyncio.timeout(deadlines.BROKER_SECONDS):
                await client.close()

    async def _watch(self) -> None:
        """Replace the client once it has given up, or has not answered for long."""
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while not self._closing:
            await asyncio.sleep(WATCH_SECONDS)
            if await self._is_answering():
                heard = loop.time()
            elif self._client.is_closed or loop.time() - heard > STUCK_SECONDS:
                await self._replace()

    async def _is_answering(self) -> bool:
        """Send a message to ourselves."""
        try:
            if self._client.is_connected:
                await self._ask("", b"")
        except _AWAY:
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
            with suppress(*_AWAY):
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


def _checked(message: Message) -> dict[str, Any]:
    answer: dict[str, Any] = msgspec.json.decode(message.data)
    error = answer.get("error")
    if error is None:
        return answer
    refusal = ApiError(error)
    if refusal.status == _TEMPORARY:
        raise Unavailable(refusal.message) from refusal
    raise refusal


def publication(subject: str, reply: str, head: bytes, payload: bytes) -> bytes:
    """Return a message with headers as the client protocol's HPUB.

    Args:
        subject: as `Channel.subject` makes it: one line without spaces.
        reply: where the answer goes; empty for nowhere.
        head: the version line, the headers, and the empty line behind them.
        payload: not longer than the server's `max_payload` with `head`.
    """
    to = f"{subject} {reply}" if reply else subject
    size = len(head)
    line = b"HPUB %b %d %d\r\n" % (to.encode(), size, size + len(payload))
    return b"".join((line, head, payload, b"\r\n"))
