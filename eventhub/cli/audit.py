"""Audit: what happened to a row, what differs between two states, and back to an older version."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from eventhub.cli.loading import DATA, FILE, load_config
from eventhub.cli.progress import progress_bar
from eventhub.cli.running import run
from eventhub.config import Config
from eventhub.errors import Rejected
from eventhub.terminal import printable

JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")


@click.command("history")
@FILE
@click.argument("table")
@click.argument("row_id", metavar="ID")
@JSON
@DATA
def show_history(file: Path, table: str, row_id: str, as_json: bool, data: Path | None) -> None:
    """Show every version of a row of TABLE: who, when, what.

    The hub may be running.
    """
    run(_history(load_config(file, data=data), table, row_id, _Output(as_json=as_json)))


async def _history(config: Config, table: str, row_id: str, output: "_Output") -> None:
    from eventhub import opening
    from eventhub.audit.history import events_of
    from eventhub.delivery.versions import version_of
    from eventhub.filters.query import parse

    channel = opening.channel_of(config, table)
    query = parse({}, channel.columns)
    async with opening.open_log(config) as event_log:
        stream = await event_log.open(channel)
        with progress_bar(f"project {table}") as on_progress:
            async with opening.open_past(config, stream, on_progress) as past:
                last = None
                async for page in past.versions(row_id):
                    for stored in events_of(row_id, page, last):
                        last = stored
                        output.add(version_of(stored, query) or {}, _version_lines)
    if last is None:
        raise Rejected("not_found", f"{table} never had a row with id {row_id!r}")
    output.end()


@click.command("diff")
@FILE
@click.argument("table")
@click.argument("earlier", metavar="FROM")
@click.argument("later", metavar="TO")
@JSON
@DATA
def show_diff(
    file: Path, table: str, earlier: str, later: str, as_json: bool, data: Path | None
) -> None:
    """Show how TABLE differs between two of its states.

    FROM and TO are values of `_as_of`: a sequence, a position or a time. The hub may be running.
    """
    output = _Output(as_json=as_json)
    run(_diff(load_config(file, data=data), table, earlier, later, output))


async def _diff(config: Config, table: str, earlier: str, later: str, output: "_Output") -> None:
    from eventhub import opening
    from eventhub.audit.diff import row_change
    from eventhub.delivery.past import sequence_as_of
    from eventhub.filters.query import parse

    channel = opening.channel_of(config, table)
    spelling = parse({}, channel.columns).spelling
    async with opening.open_log(config) as event_log:
        stream = await event_log.open(channel)
        bounds = await stream.bounds()
        first = await sequence_as_of(earlier, stream, bounds, name="FROM")
        last = await sequence_as_of(later, stream, bounds, name="TO")
        if first > last:
            text = f"FROM is after TO: the states after events {first} and {last}"
            raise Rejected("bad_request", text)
        with progress_bar(f"project {table}") as on_progress:
            async with opening.open_past(config, stream, on_progress) as past:
                async for page in past.pairs(first, last):
                    for change in filter(None, map(row_change, page)):
                        found = msgspec.structs.asdict(change)
                        output.add(spelling.spell_record(found), _change_lines)
    output.end()


@click.command("revert")
@FILE
@click.argument("table")
@click.argument("row_id", metavar="ID")
@click.argument("sequence", metavar="SEQ", type=click.IntRange(min=0))
@click.option(
    "--if-seq", type=click.IntRange(min=0), help="Only if this is still the row's last event."
)
@click.option("--json", "as_json", is_flag=True, help="Print the new version as JSON.")
@DATA
def revert_row(  # noqa: PLR0913 - one for each argument
    file: Path,
    table: str,
    row_id: str,
    sequence: int,
    if_seq: int | None,
    as_json: bool,
    data: Path | None,
) -> None:
    """Restore a row of TABLE as it was after an event.

    SEQ is the number of the event; 0 deletes the row. One event is added, and none is removed. No
    hook runs and no alert fires. The hub may be running.
    """
    config = load_config(file, data=data)
    version = run(_revert(config, table, row_id, sequence, if_seq))
    if as_json:
        click.echo(printable(msgspec.json.encode(version).decode()))
    else:
        for line in _version_lines(version):
            click.echo(printable(line))


async def _revert(
    config: Config, table: str, row_id: str, sequence: int, seen: int | None
) -> dict[str, Any]:
    from eventhub import opening
    from eventhub.delivery.versions import version_of
    from eventhub.filters.query import parse
    from eventhub.ingest.reverting import revert
    from eventhub.recording import recorded

    channel = opening.channel_of(config, table)
    async with (
        opening.open_log(config) as event_log,
        recorded(config, "reverted", table, event_log, id=row_id, to=sequence) as detail,
    ):
        stored = await revert(await event_log.open(channel), row_id, sequence, seen)
        detail["sequence"] = stored.sequence
    return version_of(stored, parse({}, channel.columns)) or {}


class _Output:
    """Prints objects as they come: as text, or as the elements of one JSON array."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._before = "["

    def add(self, found: dict[str, Any], lines_of: Any) -> None:
        if not self._as_json:
            for line in lines_of(msgspec.json.decode(msgspec.json.encode(found))):
                click.echo(printable(line))
            return
        click.echo(self._before + printable(msgspec.json.encode(found).decode()), nl=False)
        self._before = ",\n"

    def end(self) -> None:
        if self._as_json:
            click.echo("[]" if self._before == "[" else "]")


def _version_lines(version: Mapping[str, Any]) -> list[str]:
    """Return `SEQ TIME METHOD by USER through ENDPOINT`, and a line for each changed value."""
    user = "" if version["_user"] is None else f" by {version['_user']}"
    head = f"{version['_seq']} {version['_time']} {version['_method']}{user}"
    return [f"{head} through {version['_endpoint']}", *_value_lines(version["row"], version["was"])]


def _change_lines(change: Mapping[str, Any]) -> list[str]:
    """Return `CHANGE ID`, and a line for each value that differs."""
    return [f"{change['change']} {change['id']}", *_value_lines(change["row"], change["was"])]


def _value_lines(row: Mapping[str, Any] | None, was: Mapping[str, Any] | None) -> list[str]:
    """Return a line for each value: from what to what, or what there was, or what there is."""
    if row is None or was is None:
        return [f"  {name}: {_shown(value)}" for name, value in (row or was or {}).items()]
    return [f"  {name}: {_shown(old)} → {_shown(row[name])}" for name, old in was.items()]


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()
