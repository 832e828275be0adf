"""PendingAlert: the alert of one event until its mail is sent or given up, and its progress."""

from dataclasses import dataclass, field

import msgspec

from eventhub.alerts.mail import Mail
from eventhub.alerts.rule import AlertRule
from eventhub.channel import encode_token
from eventhub.event import Event, Position


class Progress(msgspec.Struct, kw_only=True):
    """What was done for one alert so far, as it is recorded."""

    remaining: list[str] | None = msgspec.field(name="left", default=None)
    """Recipients that the server deferred; empty once the alert is done, None before its start."""
    refused: dict[str, str] = {}
    """Recipient to the reason for which it never gets the mail."""

    @property
    def is_done(self) -> bool:
        """Tell whether nothing remains to be sent."""
        return self.remaining == []


@dataclass(slots=True, kw_only=True)
class PendingAlert:
    """The alert of one event that is not done yet."""

    rule: AlertRule
    event: Event
    position: Position
    """Of the event."""
    attempt: int
    """1 for the first."""
    progress: Progress = field(default_factory=Progress)
    mail: Mail | None = None
    """None until it is composed."""

    @property
    def key(self) -> str:
        """The name of the alert in records."""
        return alert_key(self.position, self.rule.name)


def alert_key(position: Position, endpoint: str) -> str:
    """Return the key of an alert's records; also the left side of its `Message-ID`."""
    return f"{position}.{encode_token(endpoint)}"
