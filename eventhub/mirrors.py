"""Mirrors: the tables in other databases that a configuration names, and the first start on them.

Rows that an older system left in such a table become events before the hub serves, once. Whether
that is done is recorded in the log and, with the first transaction of the mirror, in the database.

SQLAlchemy takes 0.3 s to load, so that it is loaded only if there is a mirror.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, suppress
from typing import TYPE_CHECKING, Any, Final

import structlog

from eventhub.channel import Channel, Endpoint, encode_token
from eventhub.config import MessageEndpoint
from eventhub.errors import Misconfigured
from eventhub.ingest.loading import BadRow, Loaded, Loader, OnBadRow
from eventhub.stream import EventStream, Log, Records
from projections.backlog import Follow, read_to_end

if TYPE_CHECKING:
    from projections.mirror import Mirror
    from projections.mirror_table import MirrorTable

RECORDS: Final = "mirrors"
"""Name of the records: which tables were taken over, by table and database."""
SHOWN_ROWS: Final = 20
"""Rows that do not fit that an error names."""

Progress = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
logger = structlog.get_logger(__name__)


def mirror_tables(endpoints: Sequence[Endpoint]) -> "dict[str, MirrorTable]":
    """Return the mirror of each channel that has one, not connected yet.

    Raises:
        Misconfigured: a URL cannot be used, or one table has two.
    """
    channels = {endpoint.channel.name: endpoint.channel for endpoint in endpoints}
    return {name: _table(channels[name], entry) for name, entry in _mirrored(endpoints).items()}


def _mirrored(endpoints: Sequence[Endpoint]) -> dict[str, MessageEndpoint]:
    """Return the entry that names the mirror of each channel."""
    entries: dict[str, MessageEndpoint] = {}
    for endpoint in endpoints:
        entry = endpoint.config
        if entry.mirror is None:
            continue
        first = entries.setdefault(entry.table, entry)
        if (first.mirror, first.import_) != (entry.mirror, entry.import_):
            raise Misconfigured(
                f"url: {entry.name}: {first.name} gives table {entry.table} another url or import"
            )
    return entries


def _table(channel: Channel, entry: MessageEndpoint) -> "MirrorTable":
    from projections.mirror_table import MirrorTable

    try:
        return MirrorTable(channel, entry.mirror or "")
    except Misconfigured as error:
        raise Misconfigured(f"url: {entry.name}: {error.message}") from None


def mirror_of(table: "MirrorTable", stream: EventStream, follow: Follow | None) -> "Mirror":
    """Return what keeps a table in another database current."""
    from projections.mirror import Mirror

    return Mirror(table, stream, follow)


async def take_over_all(
    tables: "Mapping[str, MirrorTable]",
    endpoints: Sequence[Endpoint],
    log: Log,
    streams: Mapping[str, EventStream],
    progress: Progress,
) -> None:
    """Import the rows of tables that an older system wrote; returns at once if that is done.

    Args:
        tables: the mirrors, by channel.
        endpoints: of the configuration.
        log: where it is recorded.
        streams: by channel.
        progress: shows how far an import is.

    Raises:
        MirrorFailed: a database cannot be used, and whether it has such rows is not known.
        Misconfigured: rows do not fit, and `import: skip` does not allow to leave them out.
    """
    if not tables:
        return
    records, entries = await log.records(RECORDS), _mirrored(endpoints)
    for name, table in tables.items():
        takeover = _Takeover(table, streams[name], records, progress)
        await takeover.run(skips=entries[name].import_ == "skip")


class _Takeover:
    """The first start on one table."""

    def __init__(
        self, table: "MirrorTable", stream: EventStream, records: Records, progress: Progress
    ) -> None:
        self._table = table
        self._stream = stream
        self._records = records
        self._progress = progress
        self._key = f"{encode_token(table.channel.name)}.{table.identity}"
        self._importing = f"importing {stream.epoch}".encode()
        self._done = f"done {stream.epoch}".encode()

    async def run(self, *, skips: bool) -> None:
        """Import what is there, unless that was done before."""
        from projections.mirror import take_up
        from projections.mirror_engine import MirrorFailed

        recorded = await self._records.get(self._key)
        if recorded == self._done:
            return
        is_importing = recorded == self._importing
        last = (await self._stream.bounds()).last
        standing = await asyncio.to_thread(self._table.standing)
        # The mirror of a log that is gone may be the last copy of its rows: an empty log takes
        # them. A log with events of its own does not.
        is_old = not standing.epoch or last == 0 or is_importing
        if standing.has_rows and standing.epoch != self._stream.epoch and is_old:
            await self._records.put(self._key, self._importing)
            bad = await self._import(skips=skips)
            await asyncio.to_thread(self._table.take_over, self._stream.epoch, keeps_copy=bool(bad))
            is_importing = True
        try:
            head = await take_up(self._table, self._stream)
        except MirrorFailed as error:
            if error.code != "foreign":
                raise
            return  # the mirror says so for as long as it is, and the hub serves
        if is_importing:
            await self._write_again(head)
        await self._records.put(self._key, self._done)

    async def _write_again(self, head: int) -> None:
        """Write the imported rows as the log has them, before anything else is served."""
        with self._progress(f"mirror {self._table.channel.name}") as on_progress:
            async with aclosing(read_to_end(self._stream, on_progress)) as batches:
                async for batch in batches:
                    fresh = [event for event in batch if event.sequence > head]
                    if fresh:
                        head = await asyncio.to_thread(
                            self._table.apply, self._stream.epoch, head, fresh
                        )

    async def _import(self, *, skips: bool) -> int:
        """Make events of all rows, and return how many were left out.

        Raises:
            Misconfigured: some do not fit, and none was imported.
        """
        count = await asyncio.to_thread(self._table.count)
        bad: list[BadRow] = []
        checked = await self._load(count, "check", bad.append, dry_run=True)
        if bad and not skips:
            raise Misconfigured(_refusal(self._table.name, count, bad))
        for row in bad:
            logger.warning("row_not_imported", table=self._table.name, row=str(row))
        loaded = await self._load(count, "import", lambda _: None)
        known = checked.known
        facts = {"stored": loaded.stored, "known": known, "left_out": loaded.bad}
        logger.info("table_imported", table=self._table.name, **facts)
        return loaded.bad

    async def _load(
        self, count: int, verb: str, on_bad_row: OnBadRow, *, dry_run: bool = False
    ) -> Loaded:
        with self._progress(f"{verb} {self._table.channel.name}") as on_progress:

            def move(done: int) -> None:
                on_progress(done, count)

            async with aclosing(self._rows()) as arrays:
                loader = Loader(self._stream)
                return await loader.load(arrays, on_bad_row, move, dry_run=dry_run)

    async def _rows(self) -> AsyncGenerator[list[dict[str, Any]], None]:
        rows = self._table.old_rows()
        try:
            while chunk := await asyncio.to_thread(next, rows, None):
                yield chunk
        finally:
            with suppress(ValueError):  # cut off while a thread reads
                await asyncio.to_thread(rows.close)


def _refusal(table: str, count: int, bad: Sequence[BadRow]) -> str:
    shown = [f"  {row}" for row in bad[:SHOWN_ROWS]]
    if len(bad) > SHOWN_ROWS:
        shown.append(f"  and {len(bad) - SHOWN_ROWS} more")
    rows = "\n".join(shown)
    return (
        f"{table}: {len(bad)} of {count} rows do not fit, so none was imported:\n{rows}\n"
        "correct them, or leave them out with `import: skip`"
    )
