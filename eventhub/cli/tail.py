"""Tail: follow an endpoint of a running hub."""

import sys
from urllib.parse import urlencode

import click

from eventhub.cli.remote import TOKEN, authorization
from eventhub.cli.running import run
from eventhub.terminal import printable


@click.command()
@click.argument("url")
@TOKEN
@click.option("--log", "history", is_flag=True, help="Print events, not rows, from the beginning.")
@click.option("--since", help="A position, earliest, now, an ISO time, or -N for the last N.")
def tail(url: str, token: str | None, history: bool, since: str | None) -> None:
    """Print the frames of URL, one JSON object per line.

    The command ends when it is interrupted, and connects again by itself.

    URL may have filters: eventhub tail 'http://127.0.0.1:8080/messages?topic=Help'
    """
    from eventhub.client import Tail

    url = extend_url(url, since=since, history=history)
    try:
        run(Tail(url, authorization(token), _print_frame).run())
    except KeyboardInterrupt:
        sys.exit(130)


def extend_url(url: str, *, since: str | None, history: bool) -> str:
    """Return a URL with the controls that options stand for, behind what it has already."""
    extra = {"_since": since} if since else {}
    extra |= {"_replay": "log"} if history else {}
    joiner = "&" if "?" in url else "?"
    return url + joiner + urlencode(extra) if extra else url


def _print_frame(text: str) -> None:
    click.echo(printable(text))
    sys.stdout.flush()
