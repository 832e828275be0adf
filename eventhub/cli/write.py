"""Write: send a message to a running hub."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import click
import msgspec

from eventhub.cli.remote import TOKEN, authorization
from eventhub.cli.running import run
from eventhub.errors import Rejected
from eventhub.terminal import printable

_EXACT_DECODER = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
"""Reads numbers as decimals, so that they reach the hub with all of their digits."""

_WORDS = {
    "POST": "Add a row at URL",
    "PUT": "Change a row at URL",
    "DELETE": "Delete a row at URL",
}


def _command(method: str) -> click.Command:
    @click.command(method.lower(), help=f"{_WORDS[method]}, and print the receipt.")
    @click.argument("url")
    @click.argument("message", nargs=-1, required=True, metavar="KEY=VALUE... | JSON")
    @click.option("--key", help="Idempotency key: a retry with the same key is stored once.")
    @TOKEN
    def write(url: str, message: Sequence[str], key: str | None, token: str | None) -> None:
        from eventhub.client import send

        headers = authorization(token) | ({"Idempotency-Key": key} if key else {})
        receipt = run(send(url, method, parse_message(message), headers))
        click.echo(printable(json.dumps(receipt)))

    return write


post = _command("POST")
put = _command("PUT")
delete = _command("DELETE")


def parse_message(words: Sequence[str]) -> dict[str, Any]:
    """Return the message that words of the command line stand for: KEY=VALUE pairs, or JSON.

    Raises:
        Rejected: `bad_json`: the words have neither form.
    """
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
