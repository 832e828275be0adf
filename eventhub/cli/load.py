"""Load: import rows, or exported events, of files and databases into a table."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from eventhub.cli.loading import DATA, FILE, load_config
from eventhub.cli.progress import progress_bar
from eventhub.cli.running import run
from eventhub.config import Config
from eventhub.errors import Rejected
from eventhub.masking import without_credentials
from eventhub.terminal import printable

if TYPE_CHECKING:
    from eventhub.ingest.loading import BadRow, Loaded
    from eventhub.stream import EventStream
    from projections.source import Source

SHOWN_ROWS: Final = 20
"""Rows that do not fit that are printed; the others are counted."""


@click.command("import")
@FILE
@click.argument("table")
@click.argument("source")
@click.option("--map", "renamed", multiple=True, metavar="COLUMN=FIELD", help="Rename a field.")
@click.option("--query", help="Of a database: what to read [the table of the same name].")
@click.option("--from", "from_table", metavar="NAME", help="Of a database: another table.")
@click.option("--dry-run", is_flag=True, help="Check every row, and import none.")
@click.option(
    "--skip", is_flag=True, help="Leave out rows that do not fit; otherwise none is imported."
)
@DATA
def import_rows(  # noqa: PLR0913 - one for each option
    file: Path,
    table: str,
    source: str,
    renamed: tuple[str, ...],
    query: str | None,
    from_table: str | None,
    dry_run: bool,
    skip: bool,
    data: Path | None,
) -> None:
    """Import rows of files or a database into TABLE.

    SOURCE is a CSV, NDJSON, Parquet or Arrow file, a file or folder that was exported, or the URL
    of a database. Exported events become the same events in an empty table. To import something
    again imports nothing twice. The hub may be running.
    """
    config = load_config(file, data=data)
    opened = _opened(config, table, source, query, from_table, renamed)
    imported = run(_Import(config, table, opened, dry_run=dry_run, skip=skip).run(source))
    sys.exit(0 if imported else 1)


def _opened(
    config: Config,
    table: str,
    source: str,
    query: str | None,
    from_table: str | None,
    renamed: tuple[str, ...],
) -> "Source":
    from eventhub import opening
    from projections.load_database import open_database
    from projections.load_files import open_path

    columns = opening.channel_of(config, table).columns
    is_database = "://" in source
    if not is_database and (query or from_table):
        raise Rejected("bad_request", "--query and --from are for databases")
    if is_database:
        opened = open_database(source, columns, table=from_table or table, query=query)
    else:
        opened = open_path(Path(source), columns)
    pairs = [pair.partition("=") for pair in renamed]
    if wrong := [column for column, equals, _ in pairs if not equals]:
        raise Rejected("bad_request", f"--map: write COLUMN=FIELD, not {wrong[0]!r}")
    opened.rename({column: field for column, _, field in pairs})
    return opened


class _Import:
    """One import: every row is checked before the first is written."""

    def __init__(
        self, config: Config, table: str, source: "Source", *, dry_run: bool, skip: bool
    ) -> None:
        self._config = config
        self._table = table
        self._source = source
        self._dry_run = dry_run
        self._skip = skip
        self._shown = 0
        self._count = 0
        """Rows of the source, as far as they are known."""

    async def run(self, named: str) -> bool:
        """Return whether all is well; what is not is printed.

        Args:
            named: how the caller named the source.
        """
        from eventhub import opening
        from eventhub.recording import recorded

        channel = opening.channel_of(self._config, self._table)
        channel.check_writable()
        async with opening.open_log(self._config) as event_log:
            stream = await event_log.open(channel)
            checked = await self._load(stream, "check", self._show, dry_run=True)
            self._note_strangers()
            if self._shown > SHOWN_ROWS:
                click.echo(f"and {self._shown - SHOWN_ROWS} more", err=True)
            if checked.bad and not self._skip:
                click.echo(f"{self._table}: {checked.bad} rows do not fit: none is imported")
                return False
            if self._dry_run:
                self._conclude("would be imported", checked)
                return True
            kind = "events" if self._source.is_events else "rows"
            facts = {"from": without_credentials(named), "kind": kind}
            async with recorded(self._config, "imported", self._table, event_log, **facts) as found:
                loaded = await self._load(stream, "import", lambda _: None)
                found["stored"] = loaded.stored
            self._conclude("imported", loaded)
            return True

    async def _load(
        self, stream: "EventStream", verb: str, on_bad_row: Any, *, dry_run: bool = False
    ) -> "Loaded":
        from eventhub.ingest.loading import Loader
        from eventhub.ingest.restoring import Restorer

        load = Restorer(stream).restore if self._source.is_events else Loader(stream).load
        with progress_bar(f"{verb} {self._table}") as on_progress:

            def move(done: int) -> None:
                self._count = max(self._count, done)
                on_progress(done, self._count)

            return await load(_in_thread(self._source.arrays()), on_bad_row, move, dry_run=dry_run)

    def _show(self, row: "BadRow") -> None:
        self._shown += 1
        if self._shown <= SHOWN_ROWS:
            click.echo(printable(str(row)), err=True)

    def _note_strangers(self) -> None:
        if not self._source.is_events and (names := self._source.strangers):
            listed = printable(", ".join(names))
            click.echo(f"not columns of {self._table}, kept in its events only: {listed}")

    def _conclude(self, what: str, loaded: "Loaded") -> None:
        kind = "events" if self._source.is_events else "rows"
        text = f"{self._table}: {loaded.stored} {kind} {what}, {loaded.known} are there already"
        click.echo(f"{text}, {loaded.bad} left out" if loaded.bad else text)


async def _in_thread(arrays: Iterator[Any]) -> AsyncIterator[Any]:
    """Read a source in a thread: a database may take its time."""
    while (array := await asyncio.to_thread(next, arrays, None)) is not None:
        yield array
