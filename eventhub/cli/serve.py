"""Serve: run a hub, check its file, show its configuration."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml

from eventhub.cli.loading import DATA, FILE, examine_config, load_config
from eventhub.cli.progress import progress_bar
from eventhub.cli.running import run
from eventhub.config import Config, MessageEndpoint, SqlEndpoint, as_shown, in_order
from eventhub.errors import Misconfigured
from eventhub.terminal import printable

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
    from eventhub.problems import check_served

    config = load_config(file, data=data, host=host, port=port)
    check_served(config)
    run(hub.serve(config, roles or hub.ROLES, _announce, progress_bar))


def _announce(url: str) -> None:
    click.echo(f"EventHub ready on {url}")
    sys.stdout.flush()


@click.command()
@FILE
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(file: Path, strict: bool, as_json: bool) -> None:
    """Check FILE: every key, type and expression."""
    from eventhub.problems import check_served, problems_of

    config, findings = examine_config(file)
    for error in problems_of(config):
        findings.raised(error)
    if not findings.problems:
        try:
            check_served(config)
        except Misconfigured as error:
            findings.raised(error)
    problems, warnings = in_order(findings.problems), in_order(findings.warnings)
    is_valid = not (problems or (strict and warnings))
    tables = {each.pattern: each.table for each in config.of_kind(MessageEndpoint)}
    if as_json:
        found = [each.as_dict("error") for each in problems]
        found += [each.as_dict("warning") for each in warnings]
        click.echo(json.dumps({"valid": is_valid, "findings": found, "tables": tables}))
    else:
        for problem in problems:
            click.echo(printable(str(problem)), err=True)
        for warning in warnings:
            click.echo(printable(f"warning: {warning}"), err=not is_valid)
    if not is_valid:
        sys.exit(2)
    if not as_json:
        for pattern, table in tables.items():
            click.echo(f"{pattern}  table {table}")
        click.echo("".join(_queried(config)), nl=False)
        count = len(warnings)
        more = f"can be served, with {count} warning{'s' * (count > 1)}" if count else "is fine"
        click.echo(f"{file} {more}")


def _queried(config: Config) -> Iterator[str]:
    """Yield a line for each SQLHandler."""
    for entry in config.of_kind(SqlEndpoint):
        tables = "all tables" if entry.tables == "all" else ", ".join(entry.tables)
        yield f"{entry.pattern}  SQL of {tables}\n"


@click.command("config")
@FILE
@DATA
def show_config(file: Path, data: Path | None) -> None:
    """Print the effective configuration, with secrets masked."""
    shown = as_shown(load_config(file, data=data))
    click.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), nl=False)
