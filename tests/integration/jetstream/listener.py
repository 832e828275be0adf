"""A subscriber that keeps what it was handed."""

from eventhub.jetstream.parser import Message


class Listener:
    """What a subscription was handed."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.reconnects = 0

    def on_messages(self, messages: list[Message]) -> None:
        self.bodies += [message.data for message in messages]

    def on_reconnect(self) -> None:
        self.reconnects += 1
