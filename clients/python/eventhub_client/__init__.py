"""EventHub's Python client: `AsyncHub`, and `Hub` with the same methods without an event loop."""

from eventhub_client.ephemeral import Present
from eventhub_client.errors import (
    BulkError,
    ClosedError,
    ConflictError,
    EventHubError,
    ForbiddenError,
    NotFoundError,
    Refusal,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
    UnknownOutcomeError,
)
from eventhub_client.history import LogEvent
from eventhub_client.hub import AsyncHub, Receipt
from eventhub_client.rows import Rows
from eventhub_client.subscription import Change
from eventhub_client.sync import Hub, SyncRows

__all__ = [
    "AsyncHub",
    "BulkError",
    "Change",
    "ClosedError",
    "ConflictError",
    "EventHubError",
    "ForbiddenError",
    "Hub",
    "LogEvent",
    "NotFoundError",
    "Present",
    "Receipt",
    "Refusal",
    "RefusedError",
    "Rows",
    "SyncRows",
    "UnauthorizedError",
    "UnavailableError",
    "UnknownOutcomeError",
]
