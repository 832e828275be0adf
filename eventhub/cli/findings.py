"""Findings: what `verify` found, as text for people or as one JSON object for programs."""

import json
from typing import Any, Protocol

import click

from eventhub.terminal import printable
from projections.verify import Difference, Report


class Findings(Protocol):
    """Prints each finding as soon as it is known, because there may be millions of differences."""

    def add(self, difference: Difference) -> None:
        """Print one difference."""

    def conclude(self, report: Report, last: int) -> None:
        """Print the result for a table; `last` is the last sequence of its log."""

    def end(self, *, is_equal: bool) -> None:
        """Print the result for all tables."""


class TextFindings:
    """A line for each difference, then one for the table."""

    def add(self, difference: Difference) -> None:
        """Print `table: id sequence column log≠table`, or what is wrong with a whole row."""
        found = difference
        words = [found.table + ":"]
        if found.id is not None:
            words.append(_word(found.id))
        words.append("-" if found.sequence is None else str(found.sequence))
        if found.column is None:
            words.append(found.what)
        else:
            words += [_word(found.column), f"{_value(found.log)}≠{_value(found.held)}"]
        click.echo(printable("  " + " ".join(words)))

    def conclude(self, report: Report, last: int) -> None:
        """Print the result for a table, below its differences."""
        name = report.channel
        if not report.same_epoch:
            click.echo(
                f"{name}: the tables belong to a log that no longer exists; run `eventhub rebuild`"
            )
            return
        result = f"{report.different} differences" if report.different else "equal"
        result = "1 difference" if report.different == 1 else result
        rest = f", of {last} in the log: the rest is not projected yet"
        counted = f"{report.rows} rows, {report.events} events"
        click.echo(f"{name}: {result} ({counted}{rest if report.head < last else ''})")

    def end(self, *, is_equal: bool) -> None:
        """Print nothing more: each table has its line."""


class JsonFindings:
    """One JSON object on one line: `equal`, `differences`, and `tables` with their counts."""

    def __init__(self) -> None:
        self._before = '{"differences": ['
        self._tables: list[dict[str, Any]] = []

    def add(self, difference: Difference) -> None:
        """Print the difference as an object of the array."""
        click.echo(self._before + json.dumps(_as_dict(difference)), nl=False)
        self._before = ", "

    def conclude(self, report: Report, last: int) -> None:
        """Keep the result for the end of the object."""
        self._tables.append(
            {
                "table": report.channel,
                "equal": report.is_equal,
                "same_epoch": report.same_epoch,
                "rows": report.rows,
                "events": report.events,
                "different": report.different,
                "sequence": report.sequence,
                "head": report.head,
                "last": last,
            }
        )

    def end(self, *, is_equal: bool) -> None:
        """Print the rest of the object."""
        opened = "" if self._before == ", " else self._before
        rest = f'"tables": {json.dumps(self._tables)}, "equal": {json.dumps(is_equal)}}}'
        click.echo(f"{opened}], {rest}")


def _as_dict(found: Difference) -> dict[str, Any]:
    where = {"table": found.table, "id": found.id, "sequence": found.sequence}
    if found.column is None:
        return {**where, "column": None, "what": found.what}
    return {**where, "column": found.column, "log": found.log, "held": found.held}


def _word(text: str) -> str:
    """Return an id or a name, quoted if it could be read as two words."""
    return text if text and " " not in text else json.dumps(text, ensure_ascii=False)


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
