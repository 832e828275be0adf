"""Export: the rows or events of a table as files, and all tables as a DuckDB file."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from eventhub.cli.loading import DATA, FILE, load_config
from eventhub.cli.progress import progress_bar
from eventhub.cli.running import run
from eventhub.config import Config
from eventhub.errors import Rejected

if TYPE_CHECKING:
    from projections.manifest import Manifest, Scope

SUFFIXES: Final = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".csv": "csv",
}
"""Suffix of a file → its format."""
FORMATS: Final = ("parquet", "arrow", "ndjson", "csv", "cloudevents")
"""Those of `formats.FORMATS`, which takes long to import."""


@click.command("export")
@FILE
@click.argument("table")
@click.option(
    "--events/--rows", "events", default=False, help="All events, or the current rows [rows]."
)
@click.option("--where", default="", help="Conditions as in a URL: 'topic=Help&votes>=3'.")
@click.option("--since", help="A time: nothing older, such as 2026-11-30T10:30:00Z.")
@click.option("--until", help="A time: nothing of this time or newer.")
@click.option(
    "--to", required=True, type=click.Path(path_type=Path), help="The folder or file to write."
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="Format of the files [by the suffix, or parquet].",
)
@click.option("--continue", "again", is_flag=True, help="Add new events to a complete folder.")
@DATA
def export_table(  # noqa: PLR0913 - one for each option
    file: Path,
    table: str,
    events: bool,
    where: str,
    since: str | None,
    until: str | None,
    to: Path,
    format_: str | None,
    again: bool,
    data: Path | None,
) -> None:
    """Export the rows or events of TABLE as files.

    A folder gets a file for each day of events, and a manifest. After a kill, the same command
    continues. The hub may be running.
    """
    from projections.manifest import Scope

    is_file = to.is_file() or (not to.is_dir() and to.suffix in SUFFIXES)
    scope = Scope(
        table=table,
        what="events" if events else "rows",
        format=format_ or SUFFIXES.get(to.suffix if is_file else "", "parquet"),
        where=where,
        since=since,
        until=until,
    )
    config = load_config(file, data=data)
    done = run(_export(config, scope, to if is_file else None, to, again=again))
    click.echo(f"{table}: {done.count} {scope.what} up to {done.position} in {to}")


async def _export(
    config: Config, scope: "Scope", file: Path | None, folder: Path, *, again: bool
) -> "Manifest":
    from eventhub import opening
    from eventhub.recording import recorded
    from projections import export

    if file is not None and again:
        raise Rejected("bad_request", f"--continue adds files to a folder, and {file} is a file")
    channel = opening.channel_of(config, scope.table)
    facts = {"what": scope.what, "where": scope.where, "to": str(folder)}
    async with (
        opening.open_log(config) as event_log,
        recorded(config, "exported", scope.table, event_log, **facts),
    ):
        stream = await event_log.open(channel)
        with progress_bar(f"export {scope.table}") as on_progress:
            if scope.what == "events" and file is not None:
                return await export.export_events_to_file(stream, scope, file, on_progress)
            if scope.what == "events":
                return await export.export_events(stream, scope, folder, on_progress, again=again)
            rows = opening.open_current_rows(config, stream, scope.where, on_progress)
            if file is not None:
                return await export.export_rows_to_file(rows, stream, scope, file)
            return await export.export_rows(rows, stream, scope, folder, again=again)


@click.command("snapshot")
@FILE
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@DATA
def snapshot(file: Path, out: Path, data: Path | None) -> None:
    """Copy all tables of FILE to the DuckDB file OUT.

    The copy is of one moment. The hub may be running.
    """
    run(_snapshot(load_config(file, data=data), out))
    click.echo(f"{out} is written")


async def _snapshot(config: Config, out: Path) -> None:
    from eventhub import opening
    from eventhub.recording import recorded

    async with recorded(config, "exported", "all tables", to=str(out)):
        await opening.copy_tables(config, out, progress_bar)
