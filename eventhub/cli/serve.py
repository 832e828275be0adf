"""Serve: run a hub, check its file, show its configuration."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml

from eventhub.cli.loading import DATA, FILE, load_config
from eventhub.cli.progress import progress_bar
from eventhub.cli.running import run
from eventhub.config import MessageEndpoint, as_shown

if TYPE_CHECKING:
    from eventhub.hub import Role

ROLES = ("gateway", "projector", "alerts", "archiver")
"""Those of `hub.ROLES`, which takes long to import."""


@click.command()
@FILE
@click.option("--host", help="Address to listen on [127.0.0.1].")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one [8080].")
@DATA
@click.option(
    "--role", "roles", multiple=True, type=click.Choice(ROLES), help="Parts to run [all]."
)
def serve(
    file: Path,
    host: str | None,
    port: int | None,
    data: Path | None,
    roles: "tuple[Role, ...]",
) -> None:
    """Serve the endpoints of FILE."""
    from eventhub import hub

    config = load_config(file, data=data, host=host, port=port)
    run(hub.serve(config, roles or hub.ROLES, _announce, progress_bar))


def _announce(url: str) -> None:
    click.echo(f"EventHub ready on {url}")
    sys.stdout.flush()


@click.command()
@FILE
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
def check(file: Path, strict: bool) -> None:
    """Check FILE: every key, type and expression."""
    from eventhub import hub

    config = load_config(file)
    hub.check(config)
    if strict and config.warnings:
        click.echo("\n".join(config.warnings), err=True)
        sys.exit(2)
    for warning in config.warnings:
        click.echo(f"warning: {warning}")
    for endpoint in config.of_kind(MessageEndpoint):
        click.echo(f"{endpoint.pattern}  table {endpoint.table}")
    click.echo(f"{file} is fine")


@click.command("config")
@FILE
@DATA
def show_config(file: Path, data: Path | None) -> None:
    """Print the effective configuration, with secrets masked."""
    shown = as_shown(load_config(file, data=data))
    click.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), nl=False)
