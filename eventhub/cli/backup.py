"""Backup: everything that a hub has stored as one file, and back."""

from pathlib import Path

import click

from eventhub.cli.loading import DATA, FILE, load_config
from eventhub.cli.running import run

ARCHIVE = click.argument("archive", type=click.Path(path_type=Path, dir_okay=False))


@click.command("backup")
@FILE
@ARCHIVE
@DATA
def backup_hub(file: Path, archive: Path, data: Path | None) -> None:
    """Write everything that the log of FILE holds to ARCHIVE.

    The hub may be running. Each message is checked before it is written. The archive holds keys:
    only its owner may read it.
    """
    from eventhub.backups import backup

    run(backup(load_config(file, data=data), archive, _report))
    click.echo(f"written to {archive}, {archive.stat().st_size} bytes")


@click.command("restore")
@FILE
@ARCHIVE
@DATA
@click.option(
    "--keep-positions",
    is_flag=True,
    help="Let clients go on from their positions; only if nothing was written after the backup.",
)
def restore_hub(file: Path, archive: Path, data: Path | None, keep_positions: bool) -> None:
    """Make the log of FILE from ARCHIVE; stop the hub first.

    The data folder, or the broker that FILE names, must not have these tables yet. Clients start
    over, unless you say that nothing is lost.
    """
    from eventhub.backups import restore

    config = load_config(file, data=data)
    manifest = run(restore(config, archive, _report, keep_positions=keep_positions))
    click.echo(f"restored as of {manifest.made}")


def _report(stream: str, messages: int) -> None:
    click.echo(f"{stream}: {messages} messages")
