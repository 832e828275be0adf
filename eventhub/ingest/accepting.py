"""Accepting: a decoded message becomes a draft that may be stored, or a refusal.

Only an upsert and a revert depend on the messages before them: they read the row.
"""

from collections.abc import Callable
from datetime import datetime

from eventhub.channel import Endpoint
from eventhub.config import AUDIT_TABLE
from eventhub.errors import EventHubError
from eventhub.ingest.command import Command, Precondition, Sender
from eventhub.ingest.draft import Draft, Drafting
from eventhub.ingest.reverting import restoring
from eventhub.ingest.sending import Sending, Sent, is_send
from eventhub.ingest.upserting import Upserting
from eventhub.logs import limited
from eventhub.stream import EventStream


class Accepting:
    """Accepts the messages of one endpoint."""

    def __init__(
        self,
        endpoint: Endpoint,
        stream: EventStream,
        drafting: Drafting,
        sending: Sending,
        upserting: Upserting,
        now: Callable[[], datetime],
    ) -> None:
        self._endpoint = endpoint
        self._stream = stream
        self._drafting = drafting
        self._upserting = upserting
        self._sending = sending
        self._now = now
        self._is_trail = endpoint.channel.name == AUDIT_TABLE
        self._is_suppressible = not (alert := endpoint.config.alert) or alert.suppressible

    def plain(
        self,
        message: object,
        sender: Sender,
        method: str | None = None,
        precondition: Precondition | None = None,
    ) -> Draft | EventHubError | None:
        """Return the draft of a POST that no hook changes, or its refusal; None for all others.

        Args:
            message: the decoded JSON.
            sender: the client.
            method: of the transport, for a message that names none.
            precondition: of the transport.
        """
        if self._drafting.changes_posts:
            return None
        try:
            command = self._command(message, sender, method, precondition)
        except EventHubError:
            return None
        if not command.needs_no_row:
            return None
        try:
            return self._drafting.draft_plain(command, sender)
        except EventHubError as refusal:
            return refusal
        except Exception:  # noqa: BLE001 - `any` meets it again, and reports it
            return None

    async def any(
        self,
        message: object,
        sender: Sender,
        method: str | None,
        precondition: Precondition | None,
    ) -> Draft | Sent | EventHubError:
        """Return the draft of a message, that it was sent, or its refusal; arguments as `plain`."""
        try:
            if is_send(message, method):
                return await self._sending.send(message, sender, precondition)
            command = self._command(message, sender, method, precondition)
            if command.revert is not None:
                command = await restoring(command, self._stream, sender.permission)
            elif command.upsert:
                command = await self._upserting.decided(command, sender.permission)
            return await self._drafting.draft(command, sender)
        except EventHubError as error:
            return error
        except Exception:  # the sender gets an error, and the next message is served
            limited.exception("message_failed", by=self._endpoint.name)
            return EventHubError("internal error")

    def _command(
        self,
        message: object,
        sender: Sender,
        method: str | None = None,
        precondition: Precondition | None = None,
    ) -> Command:
        if self._is_trail:
            self._endpoint.channel.check_writable()
        if (validity := sender.handler.validity) is not None:
            validity.check(self._now().timestamp())
        return Command.parse(
            message,
            method=method,
            owner=sender.owner,
            unknown=self._endpoint.config.unknown,
            precondition=precondition,
            is_suppressible=self._is_suppressible,
        )
