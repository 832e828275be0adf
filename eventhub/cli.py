"""The command line: prints for people, and holds no rules.

What a command needs it imports itself: DuckDB and the rest of a hub take a second to load, and
who only posts a message should not wait for them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Callable, Coroutine, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

import click
import msgspec
import yaml
from tqdm import tqdm

from eventhub import __version__
from eventhub import logs as log
from eventhub.config import Config, MessageEndpoint, as_shown, load
from eventhub.data_folder import UMASK
from eventhub.errors import EventHubError, Misconfigured, Rejected
from eventhub.masking import Masks, without_credentials
from eventhub.terminal import printable

if TYPE_CHECKING:
    from eventhub.alerts.courier import DeadLetter
    from eventhub.findings import Findings
    from eventhub.hub import Role
    from projections.projector import OnProgress

T = TypeVar("T")
ROLES = ("gateway", "projector", "alerts")
_FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
_DATA = click.option(
    "--data", type=click.Path(path_type=Path), help="Folder of log and projection [FILE's data/]."
)
_TOKEN = click.option("--token", help="A JWT: sent as a bearer token.")


class Commands(click.Group):
    """Errors with a code are one line, not a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error of ours ends it with status 1, a wrong file with 2."""
        try:
            return super().invoke(ctx)
        except EventHubError as error:
            masks: Masks | None = ctx.obj
            text = f"eventhub: {error}"
            lines = (without_credentials(text) if masks is None else masks.mask(text)).split("\n")
            click.echo("\n".join(map(printable, lines)), err=True)
            ctx.exit(2 if isinstance(error, Misconfigured) else 1)


@click.group(cls=Commands)
@click.version_option(__version__)
def main() -> None:
    """EventHub: live messages between users, durable, filtered, auditable."""
    os.umask(UMASK)


def _load(file: Path, *, data: Path | None = None, **flags: Any) -> Config:
    """Load a file; flags such as `port` override its `server:`."""
    overrides = {f"server.{key}": value for key, value in flags.items() if value is not None}
    try:
        config = load(file, data=data, overrides=overrides)
    except Misconfigured as error:
        # FILE:LINE stands first in each line, as compilers print it: editors jump there.
        click.echo(error.message, err=True)
        sys.exit(2)
    log.configure(config.log.level, config.log.format, config.masks.mask)
    click.get_current_context().find_root().obj = config.masks
    sys.excepthook = _without_secrets(config.masks)
    return config


def _without_secrets(masks: Masks) -> Callable[..., None]:
    """A traceback of a fault of ours quotes what it stumbled over, a URL with its password."""

    def print_exception(*raised: Any) -> None:
        click.echo(masks.mask("".join(traceback.format_exception(*raised))), err=True, nl=False)

    return print_exception


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work on a fast event loop; an error in a task group comes out as itself."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(work)
    except BaseExceptionGroup as group:
        first = _first_of_ours(group)
        if first is None:
            raise
        raise first from group


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # there is none for this platform
        return None
    return uvloop.new_event_loop


def _first_of_ours(group: BaseExceptionGroup[BaseException]) -> EventHubError | None:
    for error in group.exceptions:
        found = _first_of_ours(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, EventHubError):
            return found
    return None


@main.command()
@_FILE
@click.option("--host", help="Address to listen on [127.0.0.1].")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one [8080].")
@_DATA
@click.option(
    "--role", "roles", multiple=True, type=click.Choice(ROLES), help="Parts to run [all]."
)
def serve(
    file: Path, host: str | None, port: int | None, data: Path | None, roles: tuple[Role, ...]
) -> None:
    """Serve the endpoints of FILE."""
    from eventhub import hub

    config = _load(file, data=data, host=host, port=port)
    _run(hub.serve(config, roles or hub.ROLES, _announce, _progress))


def _announce(url: str) -> None:
    click.echo(f"EventHub ready on {url}")
    sys.stdout.flush()


@main.command()
@_FILE
@click.option("--strict", is_flag=True, help="Take warnings for errors.")
def check(file: Path, strict: bool) -> None:
    """Check FILE: every key, type and expression."""
    from eventhub import hub

    config = _load(file)
    hub.check(config)
    if strict and config.warnings:
        click.echo("\n".join(config.warnings), err=True)
        sys.exit(2)
    for warning in config.warnings:
        click.echo(f"warning: {warning}")
    for endpoint in config.of_kind(MessageEndpoint):
        click.echo(f"{endpoint.pattern}  table {endpoint.table}")
    click.echo(f"{file} is fine")


@main.command("config")
@_FILE
@_DATA
def show_config(file: Path, data: Path | None) -> None:
    """Print the effective configuration, secrets masked."""
    shown = as_shown(_load(file, data=data))
    click.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), nl=False)


@main.command()
@click.argument("url")
@_TOKEN
@click.option("--log", "history", is_flag=True, help="Print events, not rows, from the beginning.")
@click.option("--since", help="A position, earliest, now, an ISO time, or -N for the last N.")
def tail(url: str, token: str | None, history: bool, since: str | None) -> None:
    """Print what URL tells, a JSON object a line, until interrupted.

    URL may have filters: eventhub tail 'http://127.0.0.1:8080/messages?topic=Help'
    """
    from eventhub.client import Tail

    extra = {"_since": since} if since else {}
    extra |= {"_replay": "log"} if history else {}
    joiner = "&" if "?" in url else "?"
    url = url + joiner + urlencode(extra) if extra else url
    try:
        _run(Tail(url, _headers(token), _print_frame).run())
    except KeyboardInterrupt:
        sys.exit(130)


def _print_frame(text: str) -> None:
    click.echo(printable(text))
    sys.stdout.flush()


def _headers(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def _writer(method: str) -> None:
    @main.command(method.lower(), help=f"{method} a message to URL and print the receipt.")
    @click.argument("url")
    @click.argument("message", nargs=-1, required=True, metavar="KEY=VALUE... | JSON")
    @click.option("--key", help="Idempotency key: a retry with it is not a second message.")
    @_TOKEN
    def write(url: str, message: Sequence[str], key: str | None, token: str | None) -> None:
        from eventhub.client import send

        headers = _headers(token) | ({"Idempotency-Key": key} if key else {})
        receipt = _run(send(url, method, _message(message), headers))
        click.echo(printable(json.dumps(receipt)))


for _method in ("POST", "PUT", "DELETE"):
    _writer(_method)


_EXACT_DECODER = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
"""A number keeps its digits on the way to the hub."""


def _message(words: Sequence[str]) -> dict[str, Any]:
    if len(words) == 1 and words[0].lstrip().startswith("{"):
        try:
            return _EXACT_DECODER.decode(words[0])
        except msgspec.DecodeError as error:
            raise Rejected("bad_json", f"not a JSON object: {error}") from None
    pairs = [word.partition("=") for word in words]
    for key, equals, _ in pairs:
        if not equals:
            raise Rejected("bad_json", f"{key!r} is not of the form KEY=VALUE")
    return {key: value for key, _, value in pairs}


@main.command("rebuild")
@_FILE
@_DATA
def rebuild_tables(file: Path, data: Path | None) -> None:
    """Derive the tables of FILE from the log again; the hub must not run."""
    config = _load(file, data=data)
    _run(_rebuild(config))


async def _rebuild(config: Config) -> None:
    from eventhub import opening
    from projections.projector import rebuild

    async with opening.open_parts(config) as (streams, store):
        for name, stream in streams.items():
            with _progress(f"rebuild {name}") as on_progress:
                progress = await rebuild(store, stream, on_progress)
            click.echo(f"{name}: rebuilt from {progress.head} events")


@main.command("verify")
@_FILE
@_DATA
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify_tables(file: Path, data: Path | None, as_json: bool) -> None:
    """Prove that the log of FILE is whole, and that its tables and history are what it says.

    Status 1 if anything differs. The hub may run meanwhile.
    """
    from eventhub.findings import JsonFindings, TextFindings

    config = _load(file, data=data)
    if not _run(_verify(config, JsonFindings() if as_json else TextFindings())):
        sys.exit(1)


async def _verify(config: Config, findings: Findings) -> bool:
    from eventhub import opening
    from projections.verify import verify

    is_equal = True
    async with opening.open_proof(config) as (streams, open_listing):
        for name, stream in streams.items():
            async with open_listing(name) as listing:
                with _progress(f"verify {name}") as on_progress:
                    report = await verify(listing, stream, findings.add, on_progress)
            findings.conclude(report, (await stream.bounds()).last)
            is_equal = is_equal and report.is_equal
    findings.end(is_equal=is_equal)
    return is_equal


class _progress:  # noqa: N801 - reads as a function where it is used
    """A progress bar on standard error, once something takes more than a second."""

    def __init__(self, label: str) -> None:
        self._bar = tqdm(
            desc=label, unit=" events", delay=1.0, file=sys.stderr, leave=False, disable=None
        )

    def __enter__(self) -> OnProgress:
        return self._tell

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def _tell(self, reached: int, last: int) -> None:
        self._bar.total = last
        self._bar.update(reached - self._bar.n)


@main.group()
def alerts() -> None:
    """Dead letters of the alerts, and trying alerts out."""


@alerts.command("list")
@_FILE
@_DATA
def list_alerts(file: Path, data: Path | None) -> None:
    """List the alerts that could not be sent: when, id, row, event, who lacks it, and why."""
    from eventhub import opening
    from eventhub.alerts import desk

    async def work() -> list[DeadLetter]:
        async with opening.open_log(config) as event_log:
            return await desk.list_dead(event_log)

    config = _load(file, data=data)
    letters = _run(work())
    for letter in letters:
        click.echo(printable(f"{_shown(letter)}  {letter.reason}"))
    click.echo(f"{len(letters)} dead letters")


@alerts.command("retry")
@_FILE
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_DATA
def retry_alerts(file: Path, ids: tuple[str, ...], data: Path | None) -> None:
    """Send dead letters once more, to those who lack them; what is sent is dead no more.

    ID is one of `eventhub alerts list`, the sequence of an event, or a row; without any, all.
    """
    from eventhub import opening
    from eventhub.alerts import desk
    from eventhub.channel import endpoints_of

    async def work() -> list[desk.Retried]:
        async with opening.open_log(config) as event_log:
            return await desk.retry_dead(config, endpoints_of(config), event_log, ids)

    config = _load(file, data=data)
    results = _run(work())
    for result in results:
        click.echo(printable(f"{_shown(result.letter)}  {result.error or 'sent'}"))
    failed = sum(result.error is not None for result in results)
    click.echo(f"{len(results) - failed} sent, {failed} still dead")
    sys.exit(1 if failed else 0)


@alerts.command("test")
@_FILE
@_DATA
@click.option("--to", help="Who gets the mails, instead of the alerts' own recipients.")
def test_alerts(file: Path, data: Path | None, to: str | None) -> None:
    """Send the alert of each endpoint of FILE for a made-up message."""
    from eventhub.alerts import desk
    from eventhub.channel import endpoints_of

    config = _load(file, data=data)
    results = _run(desk.send_test(config, endpoints_of(config), to=to))
    for result in results:
        end = result.error or f"sent to {', '.join(result.recipients)}"
        line = f"{result.endpoint}  {result.service}  {result.subject!r}  {end}"
        click.echo(printable(line))
    if not results:
        click.echo("no endpoint has an alert")
    sys.exit(1 if any(result.error for result in results) else 0)


def _shown(letter: DeadLetter) -> str:
    named = f"{letter.died_at}  {letter.id}  row {letter.row_id!r}"
    to = ", ".join(letter.missing) or "nobody known"
    return f"{named}  {letter.endpoint}  {letter.sequence}  {to}  {letter.subject!r}"
