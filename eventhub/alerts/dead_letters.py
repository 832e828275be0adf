"""Dead letters: alerts that could not be sent, each kept in the log until it is sent or deleted."""

from datetime import datetime
from typing import Self

import msgspec
import structlog

from eventhub.alerts.pending import PendingAlert, alert_key
from eventhub.event import Position
from eventhub.metrics import ALERTS
from eventhub.stream import Log, Records

logger = structlog.get_logger(__name__)

RECORDS = "alerts-dead"
"""Name of the records in the log."""
MAX_NAMED = 1000
"""Recipients that a dead letter names at most."""

_PREFIX = "letter"  # first token of every key: records are listed by a prefix of whole tokens


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that could not be sent, or not to every recipient."""

    channel: str
    endpoint: str
    epoch: str
    sequence: int
    """Of the event: a retry composes the mail from it again."""
    reason: str
    attempts: int
    died_at: str
    """UTC, ISO 8601."""
    row_id: str = ""
    """Of the event; empty in letters that older versions wrote."""
    to: list[str]
    """The first `MAX_NAMED` of the rendered `to`, `cc` and `bcc`; empty if rendering failed."""
    subject: str
    recipients: list[str] | None
    """The recipients who have not received the mail; None: all of them."""

    @classmethod
    def of(
        cls, alert: PendingAlert, reason: str, recipients: list[str] | None, died_at: datetime
    ) -> Self:
        """Return the dead letter of an alert; `recipients` have not received its mail."""
        mail = alert.mail
        return cls(
            channel=alert.rule.channel.name,
            endpoint=alert.rule.name,
            epoch=alert.position.epoch,
            sequence=alert.position.sequence,
            row_id=alert.event.id,
            reason=reason,
            attempts=alert.attempt,
            died_at=died_at.isoformat(timespec="seconds"),
            to=[*mail.recipients, *mail.malformed][:MAX_NAMED] if mail else [],
            subject=mail.subject if mail else "",
            recipients=recipients,
        )

    @property
    def id(self) -> str:
        """Endpoint and sequence: what the command line shows and takes."""
        return f"{self.endpoint}:{self.sequence}"

    @property
    def missing(self) -> list[str]:
        """The recipients who have not received the mail, as far as they are known."""
        return self.to if self.recipients is None else self.recipients

    @property
    def key(self) -> str:
        """The key of its record."""
        return letter_key(alert_key(Position(self.epoch, self.sequence), self.endpoint))


def letter_key(alert: str) -> str:
    """Return the key of the dead letter of an alert, which has a key of its own."""
    return f"{_PREFIX}.{alert}"


class DeadLetters:
    """All dead letters of a log."""

    def __init__(self, records: Records) -> None:
        self._records = records

    @classmethod
    async def open(cls, event_log: Log) -> Self:
        """Return the dead letters of a log."""
        return cls(await event_log.records(RECORDS))

    async def all(self) -> list[DeadLetter]:
        """Return the dead letters, oldest first."""
        return [
            msgspec.json.decode(value, type=DeadLetter)
            for _, value in await self._records.items(_PREFIX)
        ]

    async def keep(self, letter: DeadLetter) -> None:
        """Store a dead letter; replaces the earlier one of the same alert. Logs and counts it."""
        await self._put(letter)
        key = alert_key(Position(letter.epoch, letter.sequence), letter.endpoint)
        logger.error("alert_dead", alert=key, attempts=letter.attempts, reason=letter.reason)
        ALERTS.labels(letter.endpoint, "dead").inc()

    async def delete(self, letter: DeadLetter) -> None:
        """Delete a dead letter."""
        await self._records.delete(letter.key)

    async def remove_recipient(self, key: str, address: str) -> None:
        """Take a recipient out of the letter with a key, and delete one that names no other."""
        found = await self._records.get(key)
        if found is None:
            return
        letter = msgspec.json.decode(found, type=DeadLetter)
        missing = [each for each in letter.missing if each != address]
        if missing:
            await self._put(msgspec.structs.replace(letter, recipients=missing))
        else:
            await self.delete(letter)

    async def _put(self, letter: DeadLetter) -> None:
        await self._records.put(letter.key, msgspec.json.encode(letter))
