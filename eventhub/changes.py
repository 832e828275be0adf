"""Changes: how a configuration differs from the one that a hub serves."""

from collections.abc import Iterator, Mapping

from eventhub.channel import Channel, endpoints_of
from eventhub.config import Config, MessageEndpoint, SqlEndpoint

_SERVER = ("host", "port", "flight_port", "socket_access", "tls")
"""Keys of `server:`: the address stays the one that was taken."""
_SECTIONS = ("broker", "projection")


def needs_restart(old: Config, new: Config, channels: Mapping[str, Channel]) -> list[str]:
    """Return what only a restart can change, a line each.

    Args:
        old: the configuration that is served.
        new: the one that was read.
        channels: the running ones, by name; those of tables that are new to them can be added.
    """
    found = [
        f"server.{key}" for key in _SERVER if getattr(old.server, key) != getattr(new.server, key)
    ]
    found += [name for name in _SECTIONS if getattr(old, name) != getattr(new, name)]
    return [*found, *_columns(new, channels), *_mirrors(old, new)]


def _columns(new: Config, channels: Mapping[str, Channel]) -> Iterator[str]:
    """Yield tables with other columns: their rows would have to be converted."""
    wanted = {endpoint.channel.name: endpoint.channel for endpoint in endpoints_of(new)}
    for name, channel in wanted.items():
        running = channels.get(name)
        if running is not None and running.columns.all != channel.columns.all:
            yield f"the columns of table {name}"


def _mirrors(old: Config, new: Config) -> Iterator[str]:
    """Yield endpoints with another `url:`: the database might have to be read first."""
    before = {entry.name: _mirror(entry) for entry in old.of_kind(MessageEndpoint)}
    after = {entry.name: _mirror(entry) for entry in new.of_kind(MessageEndpoint)}
    for name in {**before, **after}:
        if before.get(name) != after.get(name):
            yield f"url: {name}: url, which names another database"


def _mirror(entry: MessageEndpoint) -> tuple[str, str, str] | None:
    return None if entry.mirror is None else (entry.table, entry.mirror, entry.import_)


def mailing(config: Config) -> object:
    """Return what the alerts depend on."""
    entries = config.of_kind(MessageEndpoint)
    alerts = [(each.name, each.table, each.alert) for each in entries if each.alert is not None]
    return config.email, alerts, config.sources


def changed_endpoints(old: Config, new: Config) -> dict[str, list[str]]:
    """Return the names of the endpoints that were added, removed and changed."""
    before = {entry.name: entry for entry in old.endpoints}
    after = {entry.name: entry for entry in new.endpoints}
    same = before.keys() & after.keys()
    return {
        "added": [name for name in after if name not in before],
        "removed": [name for name in before if name not in after],
        "changed": [name for name in after if name in same and before[name] != after[name]],
    }


def queries_of(entry: SqlEndpoint) -> object:
    """Return what the process of a SQLHandler depends on."""
    return entry.tables, entry.limits
