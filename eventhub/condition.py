"""Condition: why one process is not ready, and what else is wrong, for `/readyz`."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from eventhub.broker import EmbeddedBroker
from eventhub.keepers import Keepers
from eventhub.stream import EventStream, Log
from projections.projector import Projector
from projections.stored.writing import SnapshotWriter

if TYPE_CHECKING:
    from projections.mirror import Mirror


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


def notes_of(
    streams: Mapping[str, EventStream],
    mirrors: "Iterable[Mirror]",
    keepers: Iterable[Keepers | SnapshotWriter | None],
) -> Iterator[str]:
    """Yield what an operator should know of a process that serves all the same."""
    for name, stream in streams.items():
        if stream.newer_columns is not None:
            yield f"the columns of {name} are older than those of another process: restart this one"
    for mirror in mirrors:
        if mirror.note:
            yield mirror.note
    for keeper in keepers:
        if keeper is not None:
            yield from keeper.notes
