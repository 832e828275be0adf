"""Rehearsing: what a new configuration would make of the messages that are in the log.

Each message is taken by itself, as its event holds it, and after the row as the log has it. It goes
through the configuration of the log, without hooks, and through the new one. Only what the two do
differently is a difference. Nothing is written or sent.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from eventhub.alerts.backtest import events_after
from eventhub.alerts.rule import AlertRule, rules_of
from eventhub.channel import Endpoint, endpoints_of
from eventhub.config import Config
from eventhub.event import StoredEvent
from eventhub.rehearsal.pair import Found, Half, Kind, Pair
from eventhub.rehearsal.scope import has_other_hooks, scope_of, without_hooks
from eventhub.rehearsal.side import Side
from eventhub.stream import Log

PAUSE_EVENTS: Final = 20
"""After so many events other tasks of the process have their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that the new configuration does differently with one message."""

    kind: Kind
    endpoint: str
    table: str
    sequence: int
    time: str
    """When the event was accepted, in UTC."""
    id: str
    """Of the row."""
    method: str
    what: str
    """As in `Found`."""
    before: Any
    after: Any


class Rehearsal:
    """What two configurations do with the last events of each table."""

    def __init__(self, old: Config, new: Config, *, runs_hooks: bool = True) -> None:
        """Compile both configurations.

        Args:
            old: of the log.
            new: the other one.
            runs_hooks: run the hooks of the new configuration, where they differ.

        Raises:
            Misconfigured: an expression, rule or template of one of them cannot be compiled.
        """
        self.left_out: list[str] = []
        """What differs and is not rehearsed: path, key, reason."""
        self.events = 0
        """How many were rehearsed."""
        self.refused_by_both = 0
        """How many of them both configurations refuse with the same error."""
        self.skipped = 0
        """How many were not: they were imported, or their endpoint is not in the old one."""
        self._old, self._new, self._runs_hooks = old, new, runs_hooks
        # The new one first: if both folders have a module of one name, it is imported once.
        news = {each.config.pattern: each for each in endpoints_of(new)}
        new_alerts = rules_of(new, news.values())
        endpoints = [each for each in endpoints_of(old) if not each.config.is_audit]
        old_alerts = rules_of(old, endpoints)
        self._pairs = {
            each.name: self._pair(
                each, news.get(each.config.pattern), old_alerts.get(each.name), new_alerts
            )
            for each in endpoints
        }

    def _pair(
        self,
        old: Endpoint,
        new: Endpoint | None,
        alert: AlertRule | None,
        new_alerts: Mapping[str, AlertRule],
    ) -> Pair:
        folder, new_folder = self._old.path.parent, self._new.path.parent
        if new is None:
            side = Side(without_hooks(old.config), old.channel, folder)
            return Pair(Half(side, alert=alert), None)
        scope = scope_of(old.config, new.config)
        self.left_out += [f"{new.config.pattern}: {each}" for each in scope.left_out]
        has_others = has_other_hooks(old.config, new.config)
        if has_others and not self._runs_hooks:
            self.left_out.append(f"{new.config.pattern}: hooks: they are not run")
        runs = has_others and self._runs_hooks
        side = Side(without_hooks(scope.old), old.channel, folder)
        other = Side(without_hooks(scope.new), new.channel, new_folder)
        hooked = Side(scope.new, new.channel, new_folder) if runs else None
        return Pair(Half(side, alert=alert), Half(other, hooked, new_alerts.get(new.name)))

    async def differences(self, event_log: Log, last: int) -> AsyncGenerator[Difference, None]:
        """Rehearse the last events of each table.

        Args:
            event_log: holds the events.
            last: how many events of each table.

        Raises:
            Unavailable: the log cannot be read now.
        """
        channels = {pair.channel.name: pair.channel for pair in self._pairs.values()}
        for channel in channels.values():
            stream = await event_log.open(channel)
            after = max(0, (await stream.bounds()).last - last)
            async with aclosing(events_after(stream, after)) as events:
                async for stored in events:
                    pair = self._pairs.get(stored.event.endpoint)
                    if pair is None:
                        self.skipped += 1
                        continue
                    found, is_refused = await pair.compare(stored)
                    self.events += 1
                    if self.events % PAUSE_EVENTS == 0:
                        await asyncio.sleep(0)
                    self.refused_by_both += is_refused
                    for each in found:
                        yield _difference(channel.name, stored, each)


def _difference(table: str, stored: StoredEvent, found: Found) -> Difference:
    event = stored.event
    return Difference(
        kind=found.kind,
        endpoint=event.endpoint,
        table=table,
        sequence=stored.sequence,
        time=event.time,
        id=event.id,
        method=event.method,
        what=found.what,
        before=found.before,
        after=found.after,
    )
