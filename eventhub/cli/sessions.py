"""Sessions: who is logged in, and ending that."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventhub.cli.loading import DATA, FILE, load_config
from eventhub.cli.running import run
from eventhub.terminal import printable

if TYPE_CHECKING:
    from eventhub.identity.access import Session
    from eventhub.identity.logins import Logins

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_FILE = "file"


@click.group(invoke_without_command=True)
@FILE
@click.pass_context
def sessions(ctx: click.Context, file: Path) -> None:
    """List and end logins in browsers.

    Without a command they are listed. The hub may be running.
    """
    ctx.meta[_FILE] = file
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_sessions)


@sessions.command("list")
@click.option("--user", help="Only those of this user.")
@JSON
@DATA
@click.pass_context
def list_sessions(ctx: click.Context, user: str | None, as_json: bool, data: Path | None) -> None:
    """List the logins that hold, oldest first.

    Each line has the id, user, time of the login and of its end, address, and browser.
    """
    from eventhub import opening
    from eventhub.identity.logins import Logins

    async def work() -> "list[tuple[str, Session]]":
        async with opening.open_log(config) as event_log:
            return (await Logins.read(event_log)).sessions(user)

    config = load_config(ctx.meta[_FILE], data=data)
    found = run(work())
    if as_json:
        click.echo(json.dumps([_facts(token, session) for token, session in found], indent=2))
        return
    for token, session in found:
        times = f"{time_text(session.begun)}  {time_text(session.ends)}"
        line = f"{token}  {session.user}  {times}  {session.address}  {session.agent}"
        click.echo(printable(line.rstrip()))
    click.echo(f"{len(found)} sessions")


@sessions.command("end")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--user", help="All logins of this user, and all tokens issued before now.")
@DATA
@click.pass_context
def end_sessions(
    ctx: click.Context, ids: tuple[str, ...], user: str | None, data: Path | None
) -> None:
    """End logins, and close their connections.

    Both happen on all gateways at once. An ID is one that `eventhub sessions FILE list` prints. API
    keys are ended by `eventhub token`.
    """
    from eventhub import opening
    from eventhub.identity.logins import Logins
    from eventhub.recording import recorded

    if not ids and user is None:
        raise click.UsageError("give an ID, or --user")
    config = load_config(ctx.meta[_FILE], data=data)

    async def work() -> int:
        async with (
            opening.open_log(config) as event_log,
            recorded(config, "sessions_ended", user or "sessions", event_log, ids=ids) as detail,
        ):
            detail["ids"] = ended = await _end(await Logins.read(event_log), ids, user)
            return len(ended)

    click.echo(f"{run(work())} sessions ended")


async def _end(logins: "Logins", ids: tuple[str, ...], user: str | None) -> list[str]:
    """End sessions, and return their ids: those given, and all others of a user.

    Raises:
        Rejected: `not_found`: an id is not one of a session that holds; nothing was ended.
    """
    from eventhub.errors import Rejected

    held = {token: session.user for token, session in logins.sessions()}
    for each in ids:
        if each not in held:
            text = f"no session {each!r}: see `eventhub sessions FILE list`"
            raise Rejected("not_found", text)
    for each in ids:
        await logins.end_session(each)
    if user is not None:
        await logins.end_user(user)
    return list(dict.fromkeys([*ids, *(token for token, of in held.items() if of == user)]))


def time_text(at: float | None) -> str:
    """Return a Unix time as text; `never` if there is none."""
    if at is None:
        return "never"
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _facts(token: str, session: "Session") -> dict[str, Any]:
    return {
        "id": token,
        "user": session.user,
        "begun": time_text(session.begun),
        "ends": time_text(session.ends),
        "address": session.address,
        "agent": session.agent,
    }
