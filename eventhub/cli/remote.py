"""Remote: what the commands that talk to a running hub have in common."""

import click

TOKEN = click.option("--token", help="An API key or a JWT, sent as a bearer token.")


def authorization(token: str | None) -> dict[str, str]:
    """Return the header for a token, if there is one."""
    return {} if token is None else {"Authorization": f"Bearer {token}"}
