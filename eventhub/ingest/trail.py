"""Trail: what users and operators do to the hub itself, as events of the table `_audit`.

A hub whose file has no entry that reads the table keeps no trail. An entry is a POST with an id of
its own; the hub never changes or deletes one.
"""

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from eventhub.errors import EventHubError, Unavailable
from eventhub.event import Event
from eventhub.logs import Limited, limited
from eventhub.metrics import APPENDED, AUDIT_LOST
from eventhub.stream import Appended, EventStream
from eventhub.terminal import printable

RECORD_SECONDS: Final = 5.0
"""How long something waits for its entry; an entry is usually stored in 1 ms."""
CLOSE_SECONDS: Final = 5.0
"""How long the end of a process waits for its last entries."""
MAX_TEXT: Final = 2_000
"""Characters of a text in an entry."""
STATEMENTS: Final = 60
"""Statements of one user at one SQLHandler that have an entry each minute; more are counted."""
MOST_STATEMENTS: Final = 1_000
"""The same of all users together."""

logger = structlog.get_logger(__name__)


class Trail:
    """The audit trail of a process. Without a stream, it keeps nothing."""

    def __init__(self) -> None:
        self._stream: EventStream | None = None
        self._endpoint = ""
        self._limited = Limited(write=self._take)
        self._statements = Limited(
            write=self._take_statement, first=STATEMENTS, most=MOST_STATEMENTS
        )
        self._under_way = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    def write_to(self, stream: EventStream | None, endpoint: str = "") -> None:
        """Write to a stream from now on.

        Args:
            stream: of the table `_audit`; None if there is no such table.
            endpoint: the entry of `url:` that reads it; its alerts fire.
        """
        self._stream, self._endpoint = stream, endpoint

    async def record(self, action: str, **facts: Any) -> None:
        """Store an entry, and return once it is durable: for what must not happen unseen.

        Args:
            action: what was done, in the past tense: `token_created`.
            facts: any of `user`, `target`, `address`, `outcome`, `count` and `detail`.

        Raises:
            Unavailable: it cannot be stored now, so what it is about must not happen.
        """
        if self._stream is None:
            return
        try:
            async with asyncio.timeout(RECORD_SECONDS):
                await self._stream.append(self._event(self._stream, action, facts), expect=0)
        except (TimeoutError, EventHubError) as error:
            self._note_lost(action, error)
            raise Unavailable("the audit trail cannot be written now: try again later") from error
        self._count_stored()

    def note(self, action: str, **facts: Any) -> None:
        """Store an entry soon; the caller neither waits nor fails. Arguments as for `record`.

        The broker is given 15 s. An entry that cannot be stored is counted and logged.
        """
        if (stream := self._stream) is None:
            return

        def on_appended(result: Appended | EventHubError) -> None:
            self._under_way -= 1
            if not self._under_way:
                self._is_idle.set()
            if isinstance(result, EventHubError):
                self._note_lost(action, result)
            else:
                self._count_stored()

        try:
            event = self._event(stream, action, facts)
            is_started = stream.submit(event, expect=0, sender=self, on_appended=on_appended)
        except EventHubError as error:
            self._note_lost(action, error)
            return
        if is_started:
            self._under_way += 1
            self._is_idle.clear()
        else:
            self._note_lost(action, Unavailable("too many entries wait"))

    def limit(self, action: str, *, by: str, reason: str, **facts: Any) -> None:
        """Note what clients can cause at any rate: the first of a minute, then their number.

        Args:
            action: as for `record`.
            by: the address, whose entries are counted together.
            reason: the outcome; others are counted separately.
            facts: as for `record`; those of entries that are only counted are lost.
        """
        self._limited.warning(action, by=by, reason=reason, **facts)

    def limit_statements(self, action: str, *, by: str, reason: str, **facts: Any) -> None:
        """Note a SQL statement, as `limit` does: `by` a user or address, the reason a handler."""
        self._statements.warning(action, by=by, reason=reason, **facts)

    async def close(self) -> None:
        """Store what was counted and what is under way."""
        self._limited.flush()
        self._statements.flush()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._is_idle.wait()
        if self._under_way:
            logger.error("audit_cut_short", entries=self._under_way)

    def _take(self, action: str, *, by: str, reason: str = "", **facts: Any) -> None:
        """Take what `Limited` writes: an entry, or the number of those that were left out."""
        if left_out := facts.get("left_out"):
            facts = {"count": left_out, "detail": {"not_listed_seconds": facts["seconds"]}}
        self.note(action, **{"address": by, "outcome": reason, **facts})

    def _take_statement(self, action: str, *, by: str, reason: str, **facts: Any) -> None:
        """Take the same of statements, which are counted by user and SQLHandler."""
        if left_out := facts.get("left_out"):
            detail = {"by": by, "not_listed_seconds": facts["seconds"]}
            facts = {"target": reason, "outcome": None, "count": left_out, "detail": detail}
        self.note(action, **facts)

    def _event(self, stream: EventStream, action: str, facts: Mapping[str, Any]) -> Event:
        now = datetime.now(UTC).isoformat(timespec="microseconds").removesuffix("+00:00")
        message = {
            "outcome": "ok",
            "count": 1,
            **{name: _safe(each) for name, each in facts.items()},
            "action": action,
            "id": secrets.token_urlsafe(12),
            "timestamp": now,
        }
        columns = stream.channel.columns
        return Event(
            method="POST",
            id=message["id"],
            time=f"{now}Z",
            endpoint=self._endpoint,
            columns=columns.signature,
            write=f"w{secrets.token_urlsafe(12)}",
            user=message.get("user"),
            message=message,
            row=columns.new_row(message),
        )

    def _count_stored(self) -> None:
        if self._stream is not None:
            APPENDED.labels(self._stream.channel.name, "POST").inc()

    def _note_lost(self, action: str, error: BaseException) -> None:
        AUDIT_LOST.inc()
        limited.warning("audit_lost", by="hub", action=action, detail=str(error))


def _safe(value: Any) -> Any:
    """Return a value that can be stored and printed, whatever a client put into it."""
    match value:
        case str():
            return printable(value[:MAX_TEXT])
        case dict():
            return {str(name): _safe(each) for name, each in value.items()}
        case list() | tuple():
            return [_safe(each) for each in value]
        case _:
            return value
