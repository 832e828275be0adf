"""Batches: atomic batches that are under way (NATS ADR-50). A batch is stored whole, or not at all.

One fsync stores all of it: 8 / 64 / 512 waiting messages are 9.5k / 41k / 78k a second for the
embedded broker (ADR-26). One conflict rejects the whole batch, and a lost reply leaves it open
whether it was stored; both put the batch in doubt, and its writes have to be stored one by one.
"""

from collections.abc import Callable, Sequence
from functools import partial
from secrets import token_hex

from eventhub.jetstream.publisher import Ack, Publisher
from eventhub.jetstream.write import Write
from eventhub.stream import Appended

OnBatch = Callable[[Sequence[Write]], None]
"""Called once with the writes of a batch, when its outcome is known; must not raise or wait."""


class Batches:
    """Sends batches, and settles their writes.

    Args:
        publisher: of the stream.
        on_stored: called when the writes of a batch were stored, and their callers know.
        on_doubt: called when a batch was refused, or it is not known whether it was stored.
    """

    def __init__(self, publisher: Publisher, on_stored: OnBatch, on_doubt: OnBatch) -> None:
        self._publisher = publisher
        self._on_stored = on_stored
        self._on_doubt = on_doubt
        self.under_way: dict[int, Sequence[Write]] = {}
        """The batches whose outcome is not known yet, by identity."""

    def send(self, writes: Sequence[Write]) -> None:
        """Publish writes as one batch; the publisher is ready."""
        self.under_way[id(writes)] = writes
        reply = self._publisher.expect(partial(self._on_ack, writes))
        self._publisher.send(writes, commands_of(writes, reply), [reply])

    def _on_ack(self, writes: Sequence[Write], ack: Ack | None) -> None:
        del self.under_way[id(writes)]
        if ack is not None and ack.error is None:
            for sequence, write in enumerate(writes, ack.seq - len(writes) + 1):
                write.settle(Appended(sequence, duplicate=False, size=len(write.payload)))
            self._on_stored(writes)
            return
        if ack is not None:
            for write in writes:
                write.sent = False  # the server refused the batch: nothing of it is stored
        self._on_doubt(writes)


def commands_of(writes: Sequence[Write], reply: bytes) -> bytes:
    """Return writes as the messages of one atomic batch; the last one commits it.

    Args:
        writes: at least one, of different rows.
        reply: the subject of the acknowledgement.
    """
    batch_id = token_hex(8).encode()
    *first, last = [
        (write, b"Nats-Batch-Id: %b\r\nNats-Batch-Sequence: %d\r\n" % (batch_id, number))
        for number, write in enumerate(writes, 1)
    ]
    commands = [write.command(b"", headers) for write, headers in first]
    write, headers = last
    return b"".join([*commands, write.command(reply, headers + b"Nats-Batch-Commit: 1\r\n")])
