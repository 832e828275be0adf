"""Answering: rehearsals for the operators of a running hub, within limits."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Final, get_args

import msgspec

from eventhub.config import Config
from eventhub.errors import Unavailable
from eventhub.rehearsal.declared import declared
from eventhub.rehearsal.pair import Kind
from eventhub.rehearsal.rehearsing import Difference, Rehearsal
from eventhub.rehearsal.summary import Group, Summary
from eventhub.stream import Log

SECONDS: Final = 30.0
"""For one rehearsal; then it ends with what it has found."""
MAX_GROUPS: Final = 200
MAX_VALUE: Final = 300
"""Characters of a value as JSON; longer ones are cut."""


class Answering:
    """See `eventhub.rehearsals.Rehearsals`."""

    def __init__(self, event_log: Log, config: Callable[[], Config]) -> None:
        """Rehearse with the messages of a log.

        Args:
            event_log: holds them.
            config: returns what is served now.
        """
        self._log = event_log
        self._config = config
        self._lock = asyncio.Lock()

    async def rehearse(self, sent: Config, events: int) -> dict[str, Any]:
        """Return what a configuration would do differently."""
        if self._lock.locked():
            raise Unavailable("another text is being rehearsed: try again", code="busy")
        async with self._lock:
            served = self._config()
            taken, left_out = await asyncio.to_thread(declared, served, sent)
            rehearsal = await asyncio.to_thread(Rehearsal, served, taken, runs_hooks=False)
            summary, is_whole = Summary(MAX_GROUPS), True
            try:
                async with asyncio.timeout(SECONDS):
                    await self._run(rehearsal, events, summary)
            except TimeoutError:
                is_whole = False
        return {
            "events": rehearsal.events,
            "skipped": rehearsal.skipped,
            "refused_by_both": rehearsal.refused_by_both,
            "complete": is_whole,
            "count": summary.count,
            "more": summary.more,
            "differences": [_shown(each) for each in summary.groups(list(get_args(Kind)))],
            "not_rehearsed": rehearsal.left_out,
            "not_taken": left_out,
        }

    async def _run(self, rehearsal: Rehearsal, events: int, summary: Summary) -> None:
        async with aclosing(rehearsal.differences(self._log, events)) as found:
            async for difference in found:
                summary.add(difference)


def _shown(group: Group) -> dict[str, Any]:
    return {
        "kind": group.kind,
        "endpoint": group.endpoint,
        "what": group.what,
        "count": group.count,
        "examples": [_example(each) for each in group.examples],
    }


def _example(found: Difference) -> dict[str, Any]:
    return {
        "table": found.table,
        "sequence": found.sequence,
        "time": found.time,
        "id": found.id,
        "method": found.method,
        "before": _short(found.before),
        "after": _short(found.after),
    }


def _short(value: Any) -> Any:
    """Return a value, or the beginning of its JSON if that is long."""
    text = msgspec.json.encode(value).decode()
    return value if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"
