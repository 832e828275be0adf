"""Rehearsals: what an operator's text would do differently with the messages of the log.

The gateway asks and `rehearsal/` answers; neither imports the other.
"""

from typing import Any, Protocol

from eventhub.config import Config

MAX_EVENTS = 5_000
"""Events of each table that one rehearsal takes: the newest."""


class Rehearsals(Protocol):
    """Rehearses against the configuration that is served."""

    async def rehearse(self, sent: Config, events: int) -> dict[str, Any]:
        """Return what a configuration would do differently, as JSON values.

        Nothing of it is compiled or run that the hub does not run already.

        Args:
            sent: read by `examine_text`, without problems.
            events: at most so many of each table, the newest; at most `MAX_EVENTS`.

        Raises:
            Misconfigured: what it declares contradicts itself.
            Rejected: `bad_filter`: a value of a filter does not fit its column.
            Unavailable: `busy`: another one is rehearsed; the log cannot be read now.
        """
