"""Upserting: a message that changes its row, or creates it if there is none.

Defaults and hooks depend on the method. So the method is decided before they run, by the row's last
event. If another writer was faster, it is decided again, and the hooks run again (ADR-59).
"""

from typing import Final

import msgspec

from eventhub.channel import checked_id
from eventhub.errors import Conflict, Rejected, Unavailable
from eventhub.ingest.command import Command, Sender
from eventhub.ingest.draft import Draft, Drafting
from eventhub.ingest.permission import Permission
from eventhub.ingest.receipts import Receipt
from eventhub.ingest.settling import Settling

MAX_DECISIONS: Final = 5
"""How often other writers may create or delete the row between decision and append."""


class Upserting:
    """Stores the upserts of one endpoint."""

    def __init__(self, settling: Settling, drafting: Drafting) -> None:
        self._settling = settling
        self._drafting = drafting

    async def decided(self, command: Command, permission: Permission) -> Command:
        """Return the command as a PUT if its sender sees its row, and as a POST otherwise.

        Raises:
            Rejected: `bad_id`.
            Unavailable: the log cannot be read now.
        """
        if command.message.get("id") in (None, ""):
            raise Rejected("bad_id", "_upsert needs the id of the row", column="id")
        return await self._decided(command, checked_id(command.message["id"]), permission)

    async def _decided(self, command: Command, row_id: str, permission: Permission) -> Command:
        method = "PUT" if await self._settling.shows_row(row_id, permission) else "POST"
        message = {**command.message, "_method": method}
        return msgspec.structs.replace(command, method=method, message=message)

    async def store(self, draft: Draft, sender: Sender) -> tuple[Draft, Receipt]:
        """Store a draft of a decided command; return what was stored, and its receipt.

        Raises:
            Rejected: as `Drafting.draft` and `Settling.store`.
            Unavailable: as `Settling.store`; or others create and delete the row all the time.
        """
        for _ in range(MAX_DECISIONS):
            try:
                return draft, await self._settling.store(draft, reads_row=False)
            except Conflict as error:
                if error.code not in ("exists", "not_found"):
                    raise
            # A hook may choose the id.
            command = await self._decided(draft.command, draft.id, sender.permission)
            draft = await self._drafting.draft(command, sender)
        raise Unavailable(f"other writers create and delete row {draft.id!r} all the time")
