"""Channel and Endpoint: the events of one table, and one URL that serves them.

Several endpoints may share a channel. Names that a broker could misread are encoded, so that any
table name and any row id can be used.
"""

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from decimal import Decimal

from eventhub.characters import CONTROL
from eventhub.columns import Columns
from eventhub.config import AUDIT_TABLE, Config, MessageEndpoint
from eventhub.errors import Misconfigured, Rejected

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_ID_LENGTH = 200


def encode_token(text: str) -> str:
    """Return text as one token of a NATS subject: plain text unchanged, other text as base64url."""
    if _PLAIN.fullmatch(text):
        return text
    return "=" + urlsafe_b64encode(text.encode()).decode().rstrip("=")


def checked_id(value: object) -> str:
    """Return the `id` of a client as text.

    Raises:
        Rejected: `bad_id`: it is missing, too long, not text or a number, or has controls.
    """
    if value is None:
        raise Rejected("bad_id", "the message has no id, which names its row", column="id")
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID_LENGTH:
        raise Rejected("bad_id", f"id must be text of 1 to {MAX_ID_LENGTH} characters", column="id")
    if CONTROL.search(value):
        raise Rejected("bad_id", "id must not contain control characters", column="id")
    return value


@dataclass(frozen=True, slots=True)
class Channel:
    """One table: a stream with one subject for each row."""

    name: str
    """The name of the table."""
    columns: Columns

    @property
    def stream(self) -> str:
        """The name of the JetStream stream."""
        return "EH_" + encode_token(self.name)

    @property
    def prefix(self) -> str:
        """The beginning of the subjects of all rows, with its last dot."""
        return f"eh.{encode_token(self.name)}."

    def check_writable(self) -> None:
        """Check that a client or a command may write to the table.

        Raises:
            Rejected: `forbidden`: it is the audit trail.
        """
        if self.name == AUDIT_TABLE:
            raise Rejected("forbidden", "the hub alone writes the audit trail")

    def subject(self, row_id: str) -> str:
        """Return the subject of the events of a row."""
        return self.prefix + encode_token(row_id)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One URL of the configuration, with its channel."""

    config: MessageEndpoint
    channel: Channel

    @property
    def name(self) -> str:
        """The key under `url:`."""
        return self.config.name


def endpoints_of(config: Config) -> tuple[Endpoint, ...]:
    """Return the endpoints of a configuration; endpoints with the same table share a channel.

    Raises:
        Misconfigured: two endpoints declare a column differently, or the names of two tables clash.
    """
    channels: dict[str, Channel] = {}
    entries = config.of_kind(MessageEndpoint)
    for entry in entries:
        known = channels.get(entry.table)
        if known is None:
            channels[entry.table] = Channel(entry.table, Columns(entry.columns))
        elif entry.columns:
            channels[entry.table] = Channel(entry.table, _merged(entry, known))
    _check_tables(channels)
    return tuple(Endpoint(entry, channels[entry.table]) for entry in entries)


def _merged(entry: MessageEndpoint, known: Channel) -> Columns:
    merged = {column.name: column for column in known.columns}
    for column in entry.columns:
        if merged.setdefault(column.name, column) != column:
            raise Misconfigured(
                f"url: {entry.name}: columns: {column.name}: declared"
                f" differently for table {entry.table} by another endpoint; make them equal"
            )
    return Columns(merged.values())


def _check_tables(channels: dict[str, Channel]) -> None:
    """Refuse tables that are the same to DuckDB, whose names have no case, or are a history."""
    taken: dict[str, str] = {}
    for name in channels:
        for table in (name, f"{name}_history"):
            other = taken.setdefault(table.lower(), name)
            if other != name:
                raise Misconfigured(
                    f"tables {other!r} and {name!r} clash: names must differ in more than case,"
                    " and one may not be the other with _history; rename one"
                )
