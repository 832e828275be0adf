"""Settling: stores one draft that depends on its row, or on an earlier attempt.

A PUT or DELETE is merged into the row's last event, a retry has to find its first attempt, and a
POST may name an id that exists. Each of them reads the row, appends, and reads again after a
conflict.
"""

from collections.abc import Hashable
from typing import NamedTuple

import structlog

from eventhub.errors import Damaged, EventHubError, Rejected, Unavailable
from eventhub.event import Event, StoredEvent
from eventhub.ingest.draft import Draft
from eventhub.ingest.permission import Permission
from eventhub.ingest.quotas import Quotas
from eventhub.ingest.receipts import Receipt, Receipts
from eventhub.ingest.row_cache import RowCache
from eventhub.stream import EventStream, OnAppended, WrongSequence

logger = structlog.get_logger(__name__)

MAX_CONFLICTS = 20
"""How often a PUT is merged again when another writer was faster, before it is refused."""


class Unsettled(NamedTuple):
    """A draft that was submitted, and whose outcome depends on what the log holds."""

    draft: Draft
    reads_row: bool
    """Its id probably exists."""
    stored_at: int = 0
    """Sequence of an event with its write id, found when the draft was sent again; 0 if none."""


class Settling:
    """Stores the drafts of one channel, and reads what that takes."""

    def __init__(
        self,
        stream: EventStream,
        rows: RowCache,
        receipts: Receipts,
        quotas: Quotas | None = None,
    ) -> None:
        self._channel = stream.channel
        self._stream = stream
        self._appends = stream if quotas is None else quotas
        self._rows = rows
        self._receipts = receipts

    def has_recent(self, row_id: str) -> bool:
        """Tell whether a row changed lately, as far as this process knows."""
        return self._rows.recent(row_id) is not None

    async def shows_row(self, row_id: str, permission: Permission) -> bool:
        """Tell whether a sender sees a row, as far as this process knows; errors as `store`."""
        last = self._rows.recent(row_id) or await self._last(row_id)
        seen = permission.seen(last, self._channel.columns)
        return seen is not None and seen.event.row is not None

    def submit(self, event: Event, *, sender: Hashable, on_appended: OnAppended) -> bool:
        """Start to append the event of a new row; see `Quotas.submit`."""
        return self._appends.submit(event, expect=0, sender=sender, on_appended=on_appended)

    async def store(self, draft: Draft, *, reads_row: bool) -> Receipt:
        """Store a draft and return its receipt, or that of its first attempt.

        Args:
            draft: what to store.
            reads_row: read the row even for a plain POST, because its id probably exists.

        Raises:
            Rejected: the draft does not fit the row.
            Unavailable: the log does not answer, or too many writers change the row.
            EventHubError: `internal`: the row's last event is damaged.
        """
        command = draft.command
        if command.earlier and (receipt := await self._before_session(draft, command.earlier)):
            return receipt
        is_plain = command.method == "POST" and command.precondition is None
        needs_row = not is_plain or bool(command.if_sequence) or reads_row
        last = self._rows.recent(draft.id)
        is_fresh = last is None and not needs_row
        if needs_row and last is None:
            last, is_fresh = await self._last(draft.id), True
        for _ in range(MAX_CONFLICTS):
            try:
                return await self._append(draft, last)
            except WrongSequence:
                last, is_fresh = await self._last(draft.id), True
            except Rejected as refusal:
                if is_fresh:
                    return await self._first_receipt(draft, last, refusal)
                last, is_fresh = await self._last(draft.id), True
        raise Unavailable(f"too many writers change row {draft.id!r} at once")

    async def _before_session(self, draft: Draft, write: str) -> Receipt | None:
        """Return the receipt of an attempt from before the client had a session, or None."""
        receipt = await self._receipts.find(write)
        first = None if receipt is None else await self._stream.get(receipt.sequence)
        if first is None or first.event.asked != draft.command.digest:
            return None
        return draft.receipt(first.event, first.sequence, duplicate=True)

    async def _append(self, draft: Draft, last: StoredEvent | None) -> Receipt:
        event = draft.event_after(last, self._channel.columns)
        expect = last.sequence if last else 0
        appended = await self._appends.append(event, expect=expect)
        if appended.duplicate:
            return await self.receipt_of(draft, appended.sequence)
        draft.spend(appended.size)
        self._rows.note([StoredEvent(appended.sequence, event)])
        return draft.receipt(event, appended.sequence, duplicate=False)

    async def receipt_of(self, draft: Draft, sequence: int) -> Receipt:
        """Return the receipt of a draft whose write id is that of a stored event.

        A POST without an id gets another id at each attempt, so the event is read back.

        Raises:
            Rejected: `bad_control`: the sender has used the key for another message.
            EventHubError: `internal`: the event cannot be read.
        """
        first = await self._stream.get(sequence)
        if first is None:
            raise EventHubError("the first write with this _key cannot be read")
        draft.check_same_write(first.event)
        self._rows.note([first])
        # If only the acknowledgement of this draft was lost, the event has the draft's time.
        is_repeated = first.event.time != draft.time
        return draft.receipt(first.event, sequence, duplicate=is_repeated)

    async def _last(self, row_id: str) -> StoredEvent | None:
        try:
            return await self._rows.last(row_id)
        except Damaged as error:
            logger.exception("row_damaged", channel=self._channel.name, id=row_id)
            raise EventHubError("the row's last event is damaged") from error

    async def _first_receipt(
        self, draft: Draft, last: StoredEvent | None, refusal: Rejected
    ) -> Receipt:
        """Return the first receipt if a refused write was stored already, else raise."""
        if last is not None and last.event.write == draft.command.write:
            return await self.receipt_of(draft, last.sequence)
        if not draft.command.is_keyed:
            raise refusal
        receipt = await self._receipts.find(draft.command.write)
        if receipt is None:
            raise refusal
        return await self.receipt_of(draft, receipt.sequence)
