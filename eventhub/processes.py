"""Processes: says to the others how this process is, and hears how they are.

Each process says it every few seconds, whatever its roles; nothing of it is stored. Those with a
gateway hear it, and show operators the whole hub. A process that is stopped says so; one that falls
silent is shown as silent for a while, because it may have been killed or cut off.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from heapq import nsmallest
from secrets import token_hex
from typing import Annotated, Any, Final

import msgspec

from eventhub.errors import Unavailable
from eventhub.logs import limited
from eventhub.signals import Signals
from eventhub.vitals import EVERY_SECONDS, Vitals

SILENT_SECONDS: Final = 3 * EVERY_SECONDS
"""After which a process that has said nothing is silent."""
FORGET_SECONDS: Final = 600.0
"""After which a silent process is not shown any more."""
MOST: Final = 200
"""Other processes that are remembered; further ones are not shown."""
MAX_BYTES: Final = 32 << 10
"""Of what a process says; longer signals are not of a hub."""
MOST_WORDS: Final = 10
"""Problems and notes that a process says of itself; the others are in its log."""
MOST_LOGS: Final = 8
"""Tables by which a process says which hub it belongs to: one in common is enough."""
MAX_WORDS: Final = 200
"""Characters of each."""
LEAVE_SECONDS: Final = 1.0
"""How long the end of a process waits to be said."""
RETRY_SECONDS: Final = 1.0
"""Between two attempts to listen, while the broker is away."""

Text = Annotated[str, msgspec.Meta(max_length=MAX_WORDS)]


class Said(msgspec.Struct, kw_only=True):
    """What a process says of itself."""

    id: Text
    """Of this run of the process."""
    process: Text
    """Host and number."""
    version: Text
    roles: list[Text]
    running_seconds: float
    problems: list[Text]
    notes: list[Text]
    connections: int | None
    """Subscriptions that are open; None without a gateway."""
    behind: int | None
    """Events that its tables do not have yet; None without tables."""
    behind_seconds: float
    mails: dict[Text, int] | None
    """Sent, failed and given up; None if it sends none."""
    logs: list[Text] = []
    """The epochs of the streams of some of its tables; earlier versions do not say them."""
    is_leaving: bool = False
    """It says this once, at its end."""


class Processes:
    """The processes of a hub; `run` is a service of each."""

    def __init__(
        self,
        vitals: Vitals,
        signals: Signals,
        health: Callable[[], tuple[list[str], list[str]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Get ready.

        Args:
            vitals: of this process.
            signals: of all processes.
            health: why this process takes no traffic, and what else is worth knowing of it.
            clock: monotonic, in seconds.
        """
        self.vitals = vitals
        self._signals = signals
        self._health = health
        self._clock = clock
        self._id = token_hex(8)
        self._others: dict[str, tuple[Said, float]] = {}
        """By id, each with the time at which it was heard."""

    async def run(self, stop: asyncio.Event) -> None:
        """Take samples, say them, and hear the others, until `stop` is set."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.vitals.run()), group.create_task(self._repeat())]
            if "gateway" in self.vitals.roles:
                tasks.append(group.create_task(self._listen()))
            await stop.wait()
            for task in tasks:
                task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self.say(is_leaving=True)

    async def say(self, *, is_leaving: bool = False) -> None:
        """Say once how this process is."""
        said = msgspec.structs.replace(self._own(), is_leaving=is_leaving)
        try:
            await self._signals.say(None, "processes", msgspec.json.encode(said))
        except Unavailable as error:
            limited.warning("signals_awaited", by="processes", reason=error.message)

    def hear(self, signals: list[bytes]) -> None:
        """Take what processes say, this one as well."""
        for signal in signals:
            try:
                if len(signal) > MAX_BYTES:
                    raise msgspec.ValidationError("too long")
                said = msgspec.json.decode(signal, type=Said)
            except (msgspec.DecodeError, UnicodeDecodeError):  # of a newer version
                limited.warning("signal_unreadable", by="processes")
                continue
            if said.id == self._id or not self._is_of_hub(said):
                continue
            if said.is_leaving:
                self._others.pop(said.id, None)
                continue
            self._forget()
            if said.id in self._others or len(self._others) < MOST:
                self._others[said.id] = said, self._clock()

    def report(self) -> list[dict[str, Any]]:
        """Return how each process is, this one first, as JSON values.

        `silent_seconds` is null, or how long nothing has been heard of the process.
        """
        self._forget()
        now = self._clock()
        found = [{**_shown(self._own()), "silent_seconds": None}]
        others = self._others.values()
        for said, heard_at in sorted(others, key=lambda each: (each[0].roles, each[0].process)):
            silent = now - heard_at
            seconds = round(silent, 1) if silent > SILENT_SECONDS else None
            found.append({**_shown(said), "silent_seconds": seconds})
        return found

    def _own(self) -> Said:
        problems, notes = self._health()
        words = {"problems": _short(problems), "notes": _short(notes)}
        logs = nsmallest(MOST_LOGS, self.vitals.logs)
        said = {"id": self._id, **self.vitals.summary(), **words, "logs": logs}
        return msgspec.convert(said, Said)

    def _is_of_hub(self, said: Said) -> bool:
        """Tell whether a process may have the log of this one: several hubs may share servers."""
        own = self.vitals.logs
        return not own or not said.logs or not own.isdisjoint(said.logs)

    def _forget(self) -> None:
        now = self._clock()
        gone = [each for each, (_, at) in self._others.items() if now - at > FORGET_SECONDS]
        for each in gone:
            del self._others[each]

    async def _repeat(self) -> None:
        while True:
            await self.say()
            await asyncio.sleep(EVERY_SECONDS)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._signals.hear(None, "processes", self.hear, lambda: None):
                    await asyncio.get_running_loop().create_future()
            except Unavailable as error:
                limited.warning("signals_awaited", by="processes", reason=error.message)
                await asyncio.sleep(RETRY_SECONDS)


def _short(words: list[str]) -> list[str]:
    """Return the first of some lines, each cut to what a signal takes."""
    first = words[:MOST_WORDS]
    return [line if len(line) <= MAX_WORDS else f"{line[: MAX_WORDS - 1]}…" for line in first]


def _shown(said: Said) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(said)
    del found["is_leaving"], found["logs"]
    return found
