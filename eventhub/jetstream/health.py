"""Health: whether the streams of a log can be read and written, as their leaders say now.

A connection to a server proves little: the server may be cut off from the others. So the leader of
each stream is asked every second, and more rarely if there are many streams. If this finds no
leader and no quorum for long, another server is tried, which may be on the side that works.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from eventhub.channel import Channel
from eventhub.columns import Columns
from eventhub.errors import EventHubError, Unavailable
from eventhub.jetstream import api
from eventhub.jetstream.api import NANOSECONDS
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.metadata import newer_than
from eventhub.jetstream.publisher import Ack
from eventhub.metrics import COLUMNS_OUTDATED

ROUND_SECONDS = 1.0
"""From one round of questions to the next, unless it takes longer."""
MOST_A_ROUND = 20
"""Streams that are asked about in one round; those in trouble are asked about in each."""
ANSWER_SECONDS = 1.0
"""How long a question waits for its answer, which usually takes 1 ms."""
WRITE_SECONDS = 2.0
"""The same for a message that cannot be stored."""
TROUBLE_SECONDS = 3.0
"""A stream without a leader, or whose leader has not answered, for so long is in trouble."""
SILENT_SECONDS = 5.0
"""A replica that has sent nothing for so long does not count for a quorum; usually it is 1 s."""

LEAVE_SECONDS = 10.0
"""For so long no stream may work before another server is tried; an election takes half of it."""
MOST_LEAVE_SECONDS = 60.0
"""The time is doubled with each server, up to this: perhaps no server has a quorum."""

NO_LEADER = "it has no leader"

_NEVER = 2**53
"""Expected as the last sequence of a subject: the server refuses the message, if it may be sent."""
_WRONG_SEQUENCE = 10071

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Watched:
    channel: Channel
    newer: Columns | None = None
    last: int = 0
    """Sequence."""
    answered_at: float = 0.0
    """When the last question began that was answered, on the clock of the loop."""
    failing_since: float | None = None
    trouble: str = ""
    is_cut_off: bool = False
    """There is no answer, no leader or no quorum: another server may know more."""


class Health:
    """How the streams of a log are. `run` asks.

    Args:
        connection: to the servers.
        writes: whether the right to write is tried, too; nothing is stored.
    """

    def __init__(self, connection: Connection, *, writes: bool) -> None:
        self._connection = connection
        self._writes = writes
        self._streams: dict[str, _Watched] = {}
        self._next = 0
        self._working_at = asyncio.get_running_loop().time()
        """When a stream was not cut off, or the server was left."""
        self._patience = LEAVE_SECONDS

    def watch(self, channel: Channel, info: Mapping[str, Any]) -> None:
        """Ask about the stream of a channel from now on.

        Args:
            channel: as this process knows it.
            info: what the leader has just said of the stream.
        """
        watched = self._streams.setdefault(channel.stream, _Watched(channel))
        self._compare(watched, info)

    def newer(self, stream: str) -> Columns | None:
        """Return the columns of a newer configuration; None if this process has the newest."""
        watched = self._streams.get(stream)
        return None if watched is None else watched.newer

    def last(self, stream: str) -> int:
        """Return the last sequence that the leader of a stream has named; 0 before it has."""
        watched = self._streams.get(stream)
        return 0 if watched is None else watched.last

    def trouble(self, stream: str) -> str:
        """Return why a stream cannot be read or written; empty if it can, or is not watched."""
        watched = self._streams.get(stream)
        return "" if watched is None else watched.trouble

    async def run(self) -> None:
        """Ask about the streams until cancelled."""
        now = asyncio.get_running_loop().time
        while True:
            next_at = now() + ROUND_SECONDS
            asked = self._of_round()
            async with asyncio.TaskGroup() as group:
                for watched in asked:
                    group.create_task(self._ask(watched))
            await self._leave_if_cut_off(asked)
            await asyncio.sleep(next_at - now())

    def _of_round(self) -> Sequence[_Watched]:
        streams = list(self._streams.values())
        chosen = {each.channel.stream: each for each in streams if each.failing_since is not None}
        for _ in range(min(MOST_A_ROUND, len(streams))):
            self._next = (self._next + 1) % len(streams)
            each = streams[self._next]
            chosen[each.channel.stream] = each
        return list(chosen.values())

    async def _leave_if_cut_off(self, asked: Sequence[_Watched]) -> None:
        """Try another server if this one has known of no stream that works for long."""
        now = asyncio.get_running_loop().time()
        if not all(watched.is_cut_off for watched in asked):
            self._working_at, self._patience = now, LEAVE_SECONDS
        elif now - self._working_at >= self._patience:
            self._working_at, self._patience = now, min(2 * self._patience, MOST_LEAVE_SECONDS)
            logger.warning("broker_left", reason="it knows of no stream that works")
            await self._connection.move()

    async def _ask(self, watched: _Watched) -> None:
        now = asyncio.get_running_loop().time
        began = now()
        watched.is_cut_off = False
        try:
            reason = await self._reason(watched)
            is_certain = reason != NO_LEADER  # one is usually elected within a second
        except Unavailable:
            reason, is_certain, watched.is_cut_off = "its leader does not answer", False, True
        except EventHubError as error:
            reason, is_certain = error.message, True
        if not reason:
            if watched.trouble:
                logger.info("stream_works_again", stream=watched.channel.stream)
            watched.failing_since, watched.trouble, watched.answered_at = None, "", began
            return
        if watched.failing_since is None:
            # Streams that are asked about more rarely may have worked until now.
            watched.failing_since = max(watched.answered_at, began - ROUND_SECONDS)
        if is_certain or now() - watched.failing_since >= TROUBLE_SECONDS:
            if not watched.trouble:
                logger.error("stream_in_trouble", stream=watched.channel.stream, reason=reason)
            watched.trouble = reason

    async def _reason(self, watched: _Watched) -> str:
        """Return what is wrong with a stream whose leader answers; raises as `api.call`."""
        name = watched.channel.stream
        info = await api.call(self._connection, f"STREAM.INFO.{name}", within=ANSWER_SECONDS)
        self._compare(watched, info)
        if reason := without_quorum(info.get("cluster") or {}):
            watched.is_cut_off = True
            return reason
        return await self._refusal(watched.channel.subject("-")) if self._writes else ""

    def _compare(self, watched: _Watched, info: Mapping[str, Any]) -> None:
        """Note where the stream ends, and whether another process has newer columns."""
        watched.last = info["state"]["last_seq"]
        channel, before = watched.channel, watched.newer
        watched.newer = newer = newer_than(channel.columns, info)
        COLUMNS_OUTDATED.labels(channel.name).set(newer is not None)
        if newer is not None and before is None:
            logger.warning("columns_outdated", channel=channel.name, newest=list(newer.by_name))

    async def _refusal(self, subject: str) -> str:
        """Return why nothing can be written; a message that cannot be stored is sent."""
        headers = {"Nats-Expected-Last-Subject-Sequence": str(_NEVER)}
        try:
            reply = await self._connection.request(subject, b"", headers, within=WRITE_SECONDS)
        except Unavailable:
            return "nothing can be written: the user may not publish to it, or it is stuck"
        ack = Ack.read(reply.data)
        if ack is None or ack.number in (0, _WRONG_SEQUENCE):
            return ""
        return f"nothing can be written: {(ack.error or {}).get('description')}"


def without_quorum(cluster: dict[str, Any]) -> str:
    """Return what a stream lacks to be written to, according to its leader; empty if nothing.

    Args:
        cluster: of the answer to `STREAM.INFO`; empty for a server without a cluster.
    """
    replicas = cluster.get("replicas") or []
    if not cluster or (not replicas and cluster.get("leader")):
        return ""
    if not cluster.get("leader"):
        return NO_LEADER
    there = sum(
        1
        for each in replicas
        if not each.get("offline") and each.get("active", 0) < SILENT_SECONDS * NANOSECONDS
    )
    if 2 * (1 + there) > 1 + len(replicas):
        return ""
    return f"it has no quorum: {1 + there} of {1 + len(replicas)} replicas answer"
