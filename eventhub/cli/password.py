"""Password: the hash of a password, for a configuration."""

import sys

import click

from eventhub.errors import Rejected

LEAST = 8
"""Characters, as NIST SP 800-63B section 3.1.1.2 asks at least for."""


@click.command("password")
def hash_of() -> None:
    """Ask for a password, and print its hash for SimpleAuth.

    The hash is a value of `credentials:`. The password is asked for twice, and not shown. A program
    can send it as one line to standard input.
    """
    from eventhub.identity.passwords import MAX_CHARACTERS, hash_password

    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not LEAST <= len(password) <= MAX_CHARACTERS:
        text = f"a password has {LEAST} to {MAX_CHARACTERS} characters, not {len(password)}"
        raise Rejected("bad_value", text)
    click.echo(hash_password(password))
