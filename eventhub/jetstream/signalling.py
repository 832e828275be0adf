"""Signalling: signals over NATS subjects that no stream stores; see `eventhub.signals`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from eventhub.channel import Channel
from eventhub.errors import Unavailable
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.parser import Message
from eventhub.jetstream.requests import NotPermitted
from eventhub.signals import OnSignals, Topic, subject_of


class NatsSignals:
    """The signals of all processes that are connected to the same servers."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def say(self, channel: Channel | None, topic: Topic, signal: bytes) -> None:
        """Hand a signal to the broker."""
        try:
            await self._connection.tell(subject_of(channel, topic), signal)
        except NotPermitted as error:  # it is logged; what it says is not for clients
            raise Unavailable("the hub is not allowed to hand on what is not stored") from error

    @asynccontextmanager
    async def hear(
        self,
        channel: Channel | None,
        topic: Topic,
        on_signals: OnSignals,
        on_gap: Callable[[], None],
    ) -> AsyncIterator[None]:
        """Listen for the length of a block."""

        def on_messages(messages: list[Message]) -> None:
            on_signals([message.data for message in messages])

        subject = subject_of(channel, topic)
        subscription = await self._connection.subscribe(subject, on_messages, on_gap)
        try:
            yield
        finally:
            await self._connection.unsubscribe(subscription)
