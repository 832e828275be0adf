"""AlertControl: what operators see of alerts, and do about them, at a running hub.

The gateway asks and `alerts/` answers; neither imports the other. Only a process that sends alerts
can answer.
"""

from collections.abc import Sequence
from typing import Any, Protocol

MAX_LETTERS = 1000
"""Dead letters of one answer: the newest."""
MAX_RETRIED = 20
"""Dead letters of one retry: a slow mail server may take a minute for each."""
MAX_EVENTS = 20_000
"""Events of a table that one back-test reads: the newest."""
MAX_MAILS = 500
"""Mails that it lists; others are only counted."""


class AlertControl(Protocol):
    """The alerts of the configuration that is served. All answers are JSON values."""

    async def overview(self) -> dict[str, Any]:
        """Return the alerts, and the dead letters, newest first.

        Raises:
            Unavailable: the log cannot be read now.
        """

    async def retry(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Send dead letters once more; return what became of each.

        Args:
            ids: at most `MAX_RETRIED`.

        Raises:
            Rejected: `not_found`: an id is that of no dead letter; nothing was sent.
            Unavailable: `busy`: others are being sent; the log cannot be read now.
        """

    async def preview(self, endpoint: str, sequence: int | None) -> dict[str, Any]:
        """Return the mail of an alert for an event, which is not sent.

        Args:
            endpoint: whose alert.
            sequence: of the event; None for the last one of the endpoint.

        Raises:
            Rejected: `not_found`: there is no such alert, or no such event.
            Unavailable: the log cannot be read now.
        """

    async def backtest(
        self, endpoint: str, days: int, condition: str | None, methods: Sequence[str] | None
    ) -> dict[str, Any]:
        """Return the mails that an alert would have sent for past events.

        Args:
            endpoint: whose alert.
            days: how far back.
            condition: in place of the alert's: a filter, or an expression that an alert of the same
                table has; empty for none; None keeps the alert's.
            methods: in place of the alert's; None keeps them.

        Raises:
            Rejected: `not_found`: there is no such alert; `bad_filter`: the condition is neither
                a filter nor such an expression.
            Unavailable: `busy`: another back-test runs; the log cannot be read now.
        """
