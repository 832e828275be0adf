"""Alerts: dead letters, and trying alerts out."""

import json
import sys
from contextlib import aclosing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from eventhub.cli.loading import DATA, FILE, load_config
from eventhub.cli.running import run
from eventhub.cli.span import Span
from eventhub.terminal import printable

if TYPE_CHECKING:
    from eventhub.alerts.backtest import Verdict
    from eventhub.alerts.dead_letters import DeadLetter
    from eventhub.alerts.operations import RetryResult


@click.group()
def alerts() -> None:
    """List and retry dead letters, and try alerts out."""


@alerts.command("list")
@FILE
@DATA
def list_alerts(file: Path, data: Path | None) -> None:
    """List the alerts that could not be sent.

    Each line has the time, id, row, endpoint, event, missing recipients, subject and reason.
    """
    from eventhub import opening
    from eventhub.alerts import operations

    async def work() -> "list[DeadLetter]":
        async with opening.open_log(config) as event_log:
            return await operations.list_dead_letters(event_log)

    config = load_config(file, data=data)
    letters = run(work())
    for letter in letters:
        click.echo(printable(f"{_describe(letter)}  {letter.reason}"))
    click.echo(f"{len(letters)} dead letters")


@alerts.command("retry")
@FILE
@click.argument("ids", nargs=-1, metavar="[ID]...")
@DATA
def retry_alerts(file: Path, ids: tuple[str, ...], data: Path | None) -> None:
    """Send dead letters again, to the missing recipients.

    A dead letter that is sent is removed.

    An ID is one that `eventhub alerts list` prints, the sequence of an event, or the id of a row.
    Without an ID, all dead letters are sent.
    """
    from eventhub import opening
    from eventhub.alerts import operations
    from eventhub.channel import endpoints_of
    from eventhub.recording import recorded

    async def work() -> "list[RetryResult]":
        async with (
            opening.open_log(config) as event_log,
            recorded(config, "alerts_retried", "dead letters", event_log) as detail,
        ):
            endpoints = endpoints_of(config)
            results = await operations.retry_dead_letters(config, endpoints, event_log, ids)
            detail["sent"] = [each.letter.id for each in results if each.error is None]
            detail["failed"] = [each.letter.id for each in results if each.error is not None]
            return results

    config = load_config(file, data=data)
    results = run(work())
    for result in results:
        click.echo(printable(f"{_describe(result.letter)}  {result.error or 'sent'}"))
    failed = sum(result.error is not None for result in results)
    click.echo(f"{len(results) - failed} sent, {failed} still dead")
    sys.exit(1 if failed else 0)


@alerts.command("test")
@FILE
@DATA
@click.option("--to", help="Recipient of all mails, instead of the alerts' own recipients.")
def test_alerts(file: Path, data: Path | None, to: str | None) -> None:
    """Send each alert of FILE for a made-up message."""
    from eventhub.alerts import operations
    from eventhub.channel import endpoints_of

    config = load_config(file, data=data)
    results = run(operations.send_test(config, endpoints_of(config), to=to))
    for result in results:
        outcome = result.error or f"sent to {', '.join(result.recipients)}"
        line = f"{result.endpoint}  {result.service}  {result.subject!r}  {outcome}"
        click.echo(printable(line))
    if not results:
        click.echo("no endpoint has an alert")
    sys.exit(1 if any(result.error for result in results) else 0)


@alerts.command("backtest")
@FILE
@DATA
@click.option(
    "--last", default="30d", type=Span("all"), help="Events of this long: 90d, 12h, all [30d]."
)
@click.option("--endpoint", help="Only the alert of this endpoint.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each mail.")
def backtest_alerts(
    file: Path, data: Path | None, last: float | None, endpoint: str | None, as_json: bool
) -> None:
    """Print the mails that FILE would have sent for past events.

    FILE may be an edited copy: nothing is sent, and no attachment is read. Limits of mails an hour
    are not applied. Each line has the time, endpoint, event, row, recipients and subject.
    """
    from eventhub import opening
    from eventhub.alerts.backtest import backtest
    from eventhub.alerts.rule import rules_of
    from eventhub.channel import endpoints_of

    config = load_config(file, data=data)
    rules = rules_of(config, endpoints_of(config))
    if endpoint is not None:
        rules = {name: rule for name, rule in rules.items() if name == endpoint}
    if not rules:
        whose = "no endpoint" if endpoint is None else f"no endpoint {endpoint!r}"
        raise click.UsageError(f"{whose} of {file} has an alert")
    since = None if last is None else datetime.now(UTC) - timedelta(seconds=last)
    events = mails = wrong = 0

    async def work() -> None:
        nonlocal events, mails, wrong
        async with (
            opening.open_log(config) as event_log,
            aclosing(backtest(rules.values(), event_log, since)) as found,
        ):
            async for tested in found:
                events += 1
                if tested is None:
                    continue
                mails += 1
                wrong += tested.error is not None
                click.echo(json.dumps(asdict(tested)) if as_json else printable(_line(tested)))

    run(work())
    click.echo(f"{mails} mails for {events} events, {wrong} of them with an error", err=as_json)
    sys.exit(1 if wrong else 0)


def _line(tested: "Verdict") -> str:
    to = ", ".join(tested.recipients) or "nobody"
    named = f"{tested.time}  {tested.endpoint}  {tested.sequence}  {tested.method}"
    wrong = f"  {tested.error}" if tested.error else ""
    return f"{named} {tested.row!r}  to {to}  {tested.subject!r}{wrong}"


def _describe(letter: "DeadLetter") -> str:
    named = f"{letter.died_at}  {letter.id}  row {letter.row_id!r}"
    to = ", ".join(letter.missing) or "no known recipient"
    return f"{named}  {letter.endpoint}  {letter.sequence}  {to}  {letter.subject!r}"
