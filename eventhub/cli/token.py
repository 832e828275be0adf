"""Token: API keys for programs, and revoking tokens of other issuers."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from eventhub.cli.loading import DATA, FILE, load_config
from eventhub.cli.running import run
from eventhub.cli.sessions import JSON, time_text
from eventhub.cli.span import LONGEST, Span
from eventhub.terminal import printable

if TYPE_CHECKING:
    from eventhub.identity.access import Key
    from eventhub.identity.logins import Logins

_FILE = "file"
_SCOPE: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
MAX_USER: Final = 200
"""Characters."""


def _scopes(_: click.Context, __: click.Parameter, value: str) -> tuple[str, ...]:
    scopes = tuple(filter(None, value.split(",")))
    for scope in scopes:
        if not _SCOPE.fullmatch(scope):
            text = f"{scope!r} is not a scope: use letters, digits and _ . : / -, without spaces"
            raise click.BadParameter(text)
    return scopes


def _attributes(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    given = {}
    for value in values:
        name, found, text = value.partition("=")
        if not found or not name or name in ("id", "scopes"):
            raise click.BadParameter(f"{value!r}: write NAME=VALUE, and not of id or scopes")
        given[name] = text
    return given


def _user(_: click.Context, __: click.Parameter, value: str) -> str:
    if not 1 <= len(value) <= MAX_USER or not value.isprintable():
        raise click.BadParameter(f"a user's id has 1 to {MAX_USER} printable characters")
    return value


@click.group()
@FILE
@click.pass_context
def token(ctx: click.Context, file: Path) -> None:
    """Make, list and revoke API keys. The hub may run."""
    ctx.meta[_FILE] = file


@token.command("create")
@click.option("--user", required=True, callback=_user, help="The id of the key's user.")
@click.option("--scopes", default="", callback=_scopes, help="What it may do: names, with commas.")
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_attributes,
    help="Another attribute of the key's user; repeatable.",
)
@click.option(
    "--expires",
    default="365d",
    type=Span("never"),
    help="After which it ends: 90d, 12h, never [365d].",
)
@click.option("--note", default="", help="What it is for.")
@DATA
@click.pass_context
def create(ctx: click.Context, /, data: Path | None, expires: float | None, **given: Any) -> None:
    """Make an API key, and print it: it cannot be shown again."""
    from eventhub import opening
    from eventhub.identity.access import Key
    from eventhub.identity.api_keys import new_key
    from eventhub.identity.expiry import wall_clock
    from eventhub.identity.logins import Logins
    from eventhub.recording import recorded

    config = load_config(ctx.meta[_FILE], data=data)
    new, now = new_key(), wall_clock()
    ends = None if expires is None else now + expires
    key = Key(digest=new.digest, created=now, expires=ends, **given)

    async def work() -> None:
        facts = {"id": new.id, "scopes": key.scopes, "expires": time_text(ends)}
        async with (
            opening.open_log(config) as event_log,
            recorded(config, "token_created", key.user, event_log, **facts),
        ):
            await (await Logins.read(event_log)).create_key(new.id, key)

    run(work())
    click.echo(new.text)
    until = "never expires" if ends is None else f"expires {time_text(ends)}"
    text = f"Key {new.id} of {key.user} {until}. Keep it now: it is not shown again."
    click.echo(printable(text), err=True)


@token.command("list")
@click.option("--user", help="Only those of this user.")
@JSON
@DATA
@click.pass_context
def list_keys(ctx: click.Context, user: str | None, as_json: bool, data: Path | None) -> None:
    """List the API keys, oldest first, without their secrets.

    Each line has the id, user, scopes, time of making, expiry and last use, and what it is for.
    """
    from eventhub import opening
    from eventhub.identity.logins import Logins

    async def work() -> "list[tuple[str, Key, float | None]]":
        async with opening.open_log(config) as event_log:
            return (await Logins.read(event_log)).api_keys()

    config = load_config(ctx.meta[_FILE], data=data)
    found = [each for each in run(work()) if user in (None, each[1].user)]
    if as_json:
        click.echo(json.dumps([_facts(*each) for each in found], indent=2))
        return
    for key_id, key, used in found:
        state = "revoked" if key.revoked else f"expires {time_text(key.expires)}"
        scopes = ",".join(key.scopes) or "-"
        made = f"created {time_text(key.created)}  {state}  used {time_text(used)}"
        click.echo(printable(f"{key_id}  {key.user}  {scopes}  {made}  {key.note}".rstrip()))
    click.echo(f"{len(found)} keys")


@token.command("revoke")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--user", help="All keys of this user.")
@click.option("--jti", help="Not a key, but the JWT with this `jti`.")
@click.option(
    "--expires", default="3650d", type=Span("never"), help="When the JWT expires by itself [3650d]."
)
@DATA
@click.pass_context
def revoke(
    ctx: click.Context,
    ids: tuple[str, ...],
    user: str | None,
    jti: str | None,
    expires: float | None,
    data: Path | None,
) -> None:
    """Revoke API keys or a JWT, and close their connections.

    Both happen on all gateways at once. An ID is one that `eventhub token FILE list` prints, or a
    whole key.
    """
    from eventhub import opening
    from eventhub.identity.logins import Logins
    from eventhub.recording import recorded

    if not ids and user is None and jti is None:
        raise click.UsageError("give an ID, --user or --jti")
    names = tuple(_id_of(each) for each in ids)
    config = load_config(ctx.meta[_FILE], data=data)

    async def work() -> int:
        target, facts = user or jti or "keys", {"ids": names, "jti": jti}
        async with (
            opening.open_log(config) as event_log,
            recorded(config, "token_revoked", target, event_log, **facts) as detail,
        ):
            logins = await Logins.read(event_log)
            detail["ids"] = keys = _keys(logins, names, user)
            if jti is not None:
                await _deny(logins, jti, expires)
            return sum([await logins.revoke_key(each) for each in keys]) + (jti is not None)

    click.echo(f"{run(work())} revoked")


def _id_of(given: str) -> str:
    """Return the id in what may be a whole key, which must not be printed."""
    from eventhub.identity.api_keys import PREFIX

    return given.removeprefix(PREFIX).partition("_")[0]


async def _deny(logins: "Logins", jti: str, expires: float | None) -> None:
    from eventhub.identity.expiry import wall_clock
    from eventhub.identity.logins import denied_key

    await logins.deny(denied_key("jti", jti), wall_clock() + (expires or LONGEST))


def _keys(logins: "Logins", ids: tuple[str, ...], user: str | None) -> list[str]:
    """Return the ids of keys that are to be revoked: those given, and all others of a user.

    Raises:
        Rejected: `not_found`: there is no key of an id.
    """
    from eventhub.errors import Rejected

    known = {key_id: key for key_id, key, _ in logins.api_keys()}
    for each in ids:
        if each not in known:
            raise Rejected("not_found", f"no key {each!r}: see `eventhub token FILE list`")
    others = (each for each, key in known.items() if key.user == user and not key.revoked)
    return list(dict.fromkeys([*ids, *others]))


def _facts(key_id: str, key: "Key", used: float | None) -> dict[str, Any]:
    return {
        "id": key_id,
        "user": key.user,
        "scopes": list(key.scopes),
        "attributes": key.attributes,
        "created": time_text(key.created),
        "expires": None if key.expires is None else time_text(key.expires),
        "revoked": None if key.revoked is None else time_text(key.revoked),
        "used": None if used is None else time_text(used),
        "note": key.note,
    }
