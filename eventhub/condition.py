"""Condition: why one process is not ready, for `/readyz`."""

from collections.abc import Iterator, Mapping

from eventhub.broker import EmbeddedBroker
from eventhub.stream import EventStream, Log
from projections.projector import Projector


def problems_of(
    broker: EmbeddedBroker | None,
    log: Log,
    streams: Mapping[str, EventStream],
    projectors: Mapping[str, Projector],
) -> Iterator[str]:
    """Yield why a process should get no traffic, a line for each reason.

    Args:
        broker: the embedded one, if there is one.
        log: the connection.
        streams: by name of the channel.
        projectors: by name of the channel.
    """
    if not log.is_connected:
        yield "the broker does not answer"
    for name, stream in streams.items():
        if stream.trouble:
            yield f"the log of {name}: {stream.trouble}"
    if broker is not None and broker.is_full:
        yield "the disk is full: writes are refused until there is room"
    for name, projector in projectors.items():
        if projector.is_failing:
            yield f"the projection of {name} fails: see the log of the hub"
