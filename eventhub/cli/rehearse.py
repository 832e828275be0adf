"""Rehearse: the last events of the log through another configuration."""

import json
import sys
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from eventhub.cli.loading import DATA, FILE, load_config
from eventhub.cli.running import run
from eventhub.terminal import printable

if TYPE_CHECKING:
    from eventhub.rehearsal.rehearsing import Difference, Rehearsal

_WORDS: Final = {
    "refused": "refused",
    "accepted": "no longer refused",
    "moved": "stored in another table",
    "converted": "converted differently",
    "hooks": "changed by hooks",
    "seen": "seen by others",
    "mailed": "mailed differently",
    "mail_error": "alert fails differently",
}


@click.command("rehearse")
@FILE
@click.argument("newfile", type=click.Path(path_type=Path, dir_okay=False))
@DATA
@click.option(
    "--events",
    default=5000,
    show_default=True,
    type=click.IntRange(1, 10_000_000),
    help="Rehearse at most so many events of each table, the last ones.",
)
@click.option("--no-hooks", is_flag=True, help="Run no hooks; without it, those that differ are.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def rehearse(
    file: Path, newfile: Path, data: Path | None, events: int, no_hooks: bool, as_json: bool
) -> None:
    """Print what NEWFILE would do differently from FILE.

    Messages of the log of FILE are taken as if they came again: which would be refused, stored or
    broadcast differently, seen by others, or mailed to others. Nothing is written or sent, but
    hooks that NEWFILE changes are run. Ends with status 1 if anything differs. The hub may be
    running.
    """
    from eventhub import opening
    from eventhub.rehearsal.rehearsing import Rehearsal

    new = load_config(newfile)
    old = load_config(file, data=data)
    old.masks.add(new.masks)
    rehearsal = Rehearsal(old, new, runs_hooks=not no_hooks)
    report: _Text | _Json = _Json() if as_json else _Text()

    async def work() -> None:
        async with (
            opening.open_log(old) as event_log,
            aclosing(rehearsal.differences(event_log, events)) as found,
        ):
            async for difference in found:
                report.add(difference)

    run(work())
    report.end(rehearsal)
    sys.exit(1 if report.count else 0)


class _Text:
    """A paragraph for each kind of difference, with some of its messages."""

    def __init__(self) -> None:
        from eventhub.rehearsal.summary import Summary

        self._summary = Summary()

    @property
    def count(self) -> int:
        """How many differences there are."""
        return self._summary.count

    def add(self, found: "Difference") -> None:
        """Count a difference, and keep it as an example of its kind."""
        self._summary.add(found)

    def end(self, rehearsal: "Rehearsal") -> None:
        """Print everything."""
        for group in self._summary.groups(list(_WORDS)):
            times = "1 event" if group.count == 1 else f"{group.count} events"
            head = f"{_WORDS[group.kind]}  {group.endpoint}  {group.what}  {times}"
            click.echo(printable(head))
            for each in group.examples:
                click.echo(printable(f"    {each.sequence}  {each.method} {each.id!r}{_of(each)}"))
            if group.count > len(group.examples):
                click.echo("    ...")
        for each_left in rehearsal.left_out:
            click.echo(printable(f"not rehearsed: {each_left}"))
        differences = "1 difference" if self.count == 1 else f"{self.count or 'no'} differences"
        rest = f", {rehearsal.skipped} skipped" if rehearsal.skipped else ""
        if rehearsal.refused_by_both:
            rest += f", {rehearsal.refused_by_both} refused by both"
        click.echo(f"{differences} in {rehearsal.events} events{rest}")


def _of(found: "Difference") -> str:
    """Return the values of a difference for people."""
    if found.kind == "seen":
        return ""
    if found.kind in ("refused", "accepted"):
        error = found.after if found.kind == "refused" else found.before
        return f"  {error['message']}"
    return f"  {_value(found.before)} → {_value(found.after)}"


def _value(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


class _Json:
    """One JSON object: each difference as soon as it is found, then what there is to know."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, found: "Difference") -> None:
        """Print a difference as an object of the array."""
        click.echo(
            (", " if self.count else '{"differences": [') + json.dumps(asdict(found)), nl=False
        )
        self.count += 1

    def end(self, rehearsal: "Rehearsal") -> None:
        """Print the rest of the object."""
        rest = {
            "events": rehearsal.events,
            "skipped": rehearsal.skipped,
            "refused_by_both": rehearsal.refused_by_both,
            "not_rehearsed": rehearsal.left_out,
        }
        opened = "" if self.count else '{"differences": ['
        click.echo(f"{opened}], {json.dumps(rest)[1:]}")
