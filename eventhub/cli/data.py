"""Data: prove and rebuild the tables of a hub."""

import sys
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from eventhub.cli.loading import DATA, FILE, load_config
from eventhub.cli.progress import progress_bar
from eventhub.cli.running import run
from eventhub.config import Config
from eventhub.errors import Misconfigured

if TYPE_CHECKING:
    from eventhub.cli.findings import Findings


@click.command("rebuild")
@FILE
@DATA
@click.option("--mirror", is_flag=True, help="Rebuild the mirrors that `url:` names instead.")
def rebuild_tables(file: Path, data: Path | None, mirror: bool) -> None:
    """Rebuild the tables of FILE from the log.

    Stop the hub first.
    """
    run(_recorded(load_config(file, data=data), mirror=mirror))


async def _recorded(config: Config, *, mirror: bool) -> None:
    from eventhub.recording import recorded

    async with recorded(config, "rebuilt", "mirrors" if mirror else "tables"):
        await (_rebuild_mirrors(config) if mirror else _rebuild(config))


async def _rebuild(config: Config) -> None:
    from eventhub import opening
    from projections.rebuilding import rebuild

    async with opening.open_parts(config) as (streams, store):
        for name, stream in streams.items():
            with progress_bar(f"rebuild {name}") as on_progress:
                progress = await rebuild(store, stream, on_progress)
            click.echo(f"{name}: rebuilt from {progress.head} events")


async def _rebuild_mirrors(config: Config) -> None:
    from eventhub import opening
    from eventhub.channel import endpoints_of
    from eventhub.mirrors import mirror_tables
    from projections.mirror import Mirror

    tables = mirror_tables(endpoints_of(config))
    if not tables:
        raise Misconfigured("no `url:` of the file names another database: there is no mirror")
    async with opening.open_streams(config) as streams:
        for name, table in tables.items():
            mirror = Mirror(table, streams[name])
            with progress_bar(f"rebuild mirror {name}") as on_progress, closing(mirror):
                head = await mirror.rebuild(on_progress)
            click.echo(f"{name} mirror: rebuilt from {head} events")


@click.command("verify")
@FILE
@DATA
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify_tables(file: Path, data: Path | None, as_json: bool) -> None:
    """Prove that the tables of FILE match its log.

    The log itself, history and mirrors are checked as well. Ends with status 1 if anything
    differs. The hub may be running.
    """
    from eventhub.cli.findings import JsonFindings, TextFindings

    config = load_config(file, data=data)
    if not run(_verify(config, JsonFindings() if as_json else TextFindings())):
        sys.exit(1)


async def _verify(config: Config, findings: "Findings") -> bool:
    from eventhub import opening
    from eventhub.channel import endpoints_of
    from eventhub.mirrors import mirror_tables
    from projections.mirror_verify import verify_mirror
    from projections.verify import verify

    is_equal = True
    mirrors = mirror_tables(endpoints_of(config))
    async with AsyncExitStack() as stack:
        streams, open_listing = await stack.enter_async_context(opening.open_proof(config))
        for table in mirrors.values():
            stack.callback(table.close)
        for name, stream in streams.items():
            async with open_listing(name, (await stream.bounds()).last) as listing:
                with progress_bar(f"verify {name}") as on_progress:
                    report = await verify(listing, stream, findings.add, on_progress)
            findings.conclude(report, (await stream.bounds()).last)
            is_equal = is_equal and report.is_equal
            if name in mirrors:
                with progress_bar(f"verify mirror {name}") as on_progress:
                    report = await verify_mirror(mirrors[name], stream, findings.add, on_progress)
                findings.conclude(report, (await stream.bounds()).last)
                is_equal = is_equal and report.is_equal
    findings.end(is_equal=is_equal)
    return is_equal
