"""Queries: SQL that is answered from the tables of a SQLHandler, by a process of its own.

The gateway asks and `projections/sql/` answers; neither imports the other.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, Protocol
from urllib.parse import quote, unquote

from eventhub.event import Position

Format = Literal["json", "ndjson", "csv", "safe csv", "arrow", "arrow_file", "parquet"]
"""`arrow` is a stream, and `arrow_file` a file that may be read in any order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One query."""

    sql: str
    """A single SELECT."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """The values of `$name`: JSON values. Text takes the type that its place asks for."""
    format: Format = "json"
    """How the rows are written."""
    at_least: str = ""
    """The writes that the tables must have seen: positions as in an answer, or a sequence."""
    rows: int | None = None
    """At most so many rows, if that is less than the handler's limit; with 0 the statement is not
    run, and the answer has its columns alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The rows of a query, in a file that has no name any more: the receiver closes it."""

    file: BinaryIO
    size: int
    """Bytes of the file."""
    rows: int
    columns: tuple[tuple[str, str], ...]
    """Name and DuckDB type of each column."""
    position: str
    """What the query has seen: `EPOCH.SEQUENCE` of one table, `TABLE=EPOCH.SEQUENCE, …` of more."""
    truncated: bool
    """There are more rows than the limit."""


class Queries(Protocol):
    """Answers the queries of one SQLHandler."""

    async def ask(self, question: Question, client: Hashable) -> Answer:
        """Answer a query; a cancelled call interrupts it.

        Args:
            question: the query.
            client: whose it is: clients take turns.

        Raises:
            Rejected: `bad_sql`, `bad_request`, `bad_position`; `too_costly`: it took too long, or
                too much memory.
            Unavailable: the process that answers was killed, is starting, or does not have the
                writes yet; `too_many_reads`.
        """


def positions_text(positions: Mapping[str, Position]) -> str:
    """Return the positions of tables as `Answer.position` has them."""
    if len(positions) == 1:
        return str(*positions.values())
    return ", ".join(f"{quote(name)}={position}" for name, position in positions.items())


def positions_in(text: str, tables: Iterable[str]) -> dict[str, Position]:
    """Return the positions in the text of `positions_text`, by table.

    Args:
        text: as in `Answer.position`.
        tables: all of them; only with more than one are they named in the text.

    Raises:
        ValueError: the text is not one of positions.
    """
    first, *others = tables
    if not others:
        return {first: Position.parse(text)}
    pairs = (part.rpartition("=") for part in text.split(", "))
    return {unquote(name): Position.parse(position) for name, _, position in pairs}
