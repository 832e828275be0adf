"""Backup: everything that a hub has stored as one file, and back, and to another place."""

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


@click.command("move")
@FILE
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@DATA
@click.option(
    "--target-data", type=click.Path(path_type=Path), help="The same of TARGET [TARGET's data/]."
)
def move_hub(file: Path, target: Path, data: Path | None, target_data: Path | None) -> None:
    """Move all that FILE has stored to the place of TARGET.

    TARGET is the next configuration of the same hub: its broker or data folder must not have these
    tables yet. Stop all processes of the hub first. Clients go on from their positions. The log of
    FILE stays as it is: remove it once the hub serves at its new place.
    """
    from eventhub.backups import move

    to = load_config(target, data=target_data)
    config = load_config(file, data=data)
    config.masks.add(to.masks)
    run(move(config, to, _report))
    click.echo(f"moved: now start it with {target}, and keep it from being started with {file}")


def _report(stream: str, messages: int) -> None:
    click.echo(f"{stream}: {messages} messages")
