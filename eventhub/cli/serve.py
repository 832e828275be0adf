"""Serve: run a hub, check its file, show its configuration."""

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml

from eventhub.cli.hosting import ROLES, run_hub
from eventhub.cli.loading import DATA, FILE, examine_config, load_config, read_checked
from eventhub.config import (
    Config,
    Finding,
    Findings,
    MessageEndpoint,
    SqlEndpoint,
    as_shown,
    in_order,
    json_schema,
)
from eventhub.terminal import printable

if TYPE_CHECKING:
    from eventhub.parts import Role


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
    flags = {"host": host, "port": port}
    config = load_config(file, data=data, **flags)
    read = partial(read_checked, file, data=data, **flags)
    run_hub(config, roles or ROLES, _announce, read)


def _announce(url: str) -> None:
    click.echo(f"EventHub ready on {url}")
    sys.stdout.flush()


@click.command()
@FILE
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(file: Path, strict: bool, as_json: bool) -> None:
    """Check FILE: every key, type and expression."""
    config, findings = _examine(file)
    problems, warnings = in_order(findings.problems), in_order(findings.warnings)
    if strict:
        problems, warnings = in_order([*problems, *warnings]), []
    tables = {each.pattern: each.table for each in config.of_kind(MessageEndpoint)}
    if as_json:
        found = [each.as_dict("error") for each in problems]
        found += [each.as_dict("warning") for each in warnings]
        click.echo(json.dumps({"valid": not problems, "findings": found, "tables": tables}))
    else:
        _print_findings(problems, warnings)
    if problems:
        sys.exit(2)
    if not as_json:
        for pattern, table in tables.items():
            click.echo(f"{pattern}  table {table}")
        click.echo("".join(_queried(config)), nl=False)
        count = len(warnings)
        more = f"can be served, with {count} warning{'s' * (count > 1)}" if count else "is fine"
        click.echo(f"{file} {more}")


def _examine(file: Path) -> tuple[Config, Findings]:
    """Read a file, and compile all of it that could be read."""
    from eventhub.problems import add_problems

    config, findings = examine_config(file)
    add_problems(config, findings)
    return config, findings


def _print_findings(problems: list[Finding], warnings: list[Finding]) -> None:
    """Print a line for each finding, on standard error if there are problems."""
    for problem in problems:
        click.echo(printable(str(problem)), err=True)
    for warning in warnings:
        click.echo(printable(f"warning: {warning}"), err=bool(problems))


def _queried(config: Config) -> Iterator[str]:
    """Yield a line for each SQLHandler."""
    for entry in config.of_kind(SqlEndpoint):
        tables = "all tables" if entry.tables == "all" else ", ".join(entry.tables)
        yield f"{entry.pattern}  SQL of {tables}\n"


@click.command("config")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@DATA
@click.option("--schema", is_flag=True, help="Print a JSON Schema of files, for editors.")
def show_config(file: Path | None, data: Path | None, schema: bool) -> None:
    """Print the effective configuration, with secrets masked."""
    if schema:
        click.echo(json.dumps(json_schema(), indent=2))
        return
    if file is None:
        raise click.UsageError("Missing argument 'FILE'.")
    shown = as_shown(load_config(file, data=data))
    click.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), nl=False)
