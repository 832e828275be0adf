"""Data: prove and rebuild the tables of a hub."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from eventhub.cli.loading import DATA, FILE, load_config
from eventhub.cli.progress import progress_bar
from eventhub.cli.running import run
from eventhub.config import Config

if TYPE_CHECKING:
    from eventhub.cli.findings import Findings


@click.command("rebuild")
@FILE
@DATA
def rebuild_tables(file: Path, data: Path | None) -> None:
    """Rebuild the tables of FILE from the log; stop the hub first."""
    run(_rebuild(load_config(file, data=data)))


async def _rebuild(config: Config) -> None:
    from eventhub import opening
    from projections.projector import rebuild

    async with opening.open_parts(config) as (streams, store):
        for name, stream in streams.items():
            with progress_bar(f"rebuild {name}") as on_progress:
                progress = await rebuild(store, stream, on_progress)
            click.echo(f"{name}: rebuilt from {progress.head} events")


@click.command("verify")
@FILE
@DATA
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify_tables(file: Path, data: Path | None, as_json: bool) -> None:
    """Prove that the log of FILE is whole, and that its tables and history match it.

    Ends with status 1 if anything differs. The hub may be running.
    """
    from eventhub.cli.findings import JsonFindings, TextFindings

    config = load_config(file, data=data)
    if not run(_verify(config, JsonFindings() if as_json else TextFindings())):
        sys.exit(1)


async def _verify(config: Config, findings: "Findings") -> bool:
    from eventhub import opening
    from projections.verify import verify

    is_equal = True
    async with opening.open_proof(config) as (streams, open_listing):
        for name, stream in streams.items():
            async with open_listing(name) as listing:
                with progress_bar(f"verify {name}") as on_progress:
                    report = await verify(listing, stream, findings.add, on_progress)
            findings.conclude(report, (await stream.bounds()).last)
            is_equal = is_equal and report.is_equal
    findings.end(is_equal=is_equal)
    return is_equal
