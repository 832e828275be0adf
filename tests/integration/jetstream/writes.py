"""Writes: appends of a test channel, and what became of them."""

import asyncio
from collections.abc import Callable, Iterable

from eventhub.errors import EventHubError
from eventhub.event import encode
from eventhub.jetstream.write import Write
from eventhub.stream import Appended
from tests.builders import channel, make_event

DEADLINE_SECONDS = 20.0


class Outcomes(dict[str, Appended | EventHubError]):
    """What was reported, by row; each row once."""

    def write(self, row: str, *, expect: int = 0, write_id: str = "") -> Write:
        """Make a write to a row, which reports here."""
        event = make_event(id=row)

        def note(outcome: Appended | EventHubError) -> None:
            assert row not in self
            self[row] = outcome

        write = Write(channel().subject(row), encode(event), expect, write_id or event.write, note)
        write.give_up = asyncio.get_running_loop().time() + DEADLINE_SECONDS
        return write

    def writes(self, rows: Iterable[str]) -> list[Write]:
        """Make writes to new rows."""
        return [self.write(row) for row in rows]


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)
