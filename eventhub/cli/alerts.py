"""Alerts: dead letters, and trying alerts out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from eventhub.cli.loading import DATA, FILE, load_config
from eventhub.cli.running import run
from eventhub.terminal import printable

if TYPE_CHECKING:
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
    """Send the alert of each endpoint of FILE for a made-up message."""
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


def _describe(letter: "DeadLetter") -> str:
    named = f"{letter.died_at}  {letter.id}  row {letter.row_id!r}"
    to = ", ".join(letter.missing) or "no known recipient"
    return f"{named}  {letter.endpoint}  {letter.sequence}  {to}  {letter.subject!r}"
