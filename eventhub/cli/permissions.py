"""Permissions: the users of external NATS servers, one for each role of a hub."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from eventhub.cli.loading import FILE, load_config
from eventhub.config import Config, MessageEndpoint
from eventhub.errors import Misconfigured

if TYPE_CHECKING:
    from eventhub.jetstream import Tables


@click.command("nats-permissions")
@FILE
@click.option(
    "--json", "as_json", is_flag=True, help="Print the permissions as the JWTs of users have them."
)
def nats_permissions(file: Path, as_json: bool) -> None:
    """Print users for NATS servers, with the least rights.

    Each role of a hub of FILE has a user, who may do what it needs and nothing else. The text is
    for `include` in the account of a server's configuration. It has no passwords: they are
    variables of the server's environment, such as EVENTHUB_GATEWAY. Print it again when a table, an
    alert, a mirror, `log: {keep: …}`, `send: true` or `presence: true` is added, or snapshots move
    to these servers.
    """
    from eventhub.jetstream import as_jwt, as_users

    tables = _tables(load_config(file))
    click.echo(json.dumps(as_jwt(tables), indent=2) if as_json else as_users(tables))


def _tables(config: Config) -> "Tables":
    from eventhub.channel import endpoints_of
    from eventhub.jetstream import Tables
    from eventhub.opening import channels_of

    if config.broker.inbox_prefix is not None:
        text = "broker.inbox_prefix: leave it out: each of these users has a prefix of its own"
        raise Misconfigured(text)
    entries = config.of_kind(MessageEndpoint)
    return Tables(
        channels=channels_of(endpoints_of(config)),
        mirrored={entry.table for entry in entries if entry.mirror is not None},
        alerted={entry.table for entry in entries if entry.alert is not None},
        trimmed={entry.table for entry in entries if entry.log is not None},
        signalled={entry.table for entry in entries if entry.send or entry.presence},
        snapshots=config.projection.snapshots.to in (None, "broker"),
        domain=config.broker.domain,
    )
