"""SQL files: the answer to a statement as a file at `PATH.parquet?sql=…`, and in other formats.

It has seen every write that was answered before. The same file answers the same statement again
until something is written to the tables, but for a minute at most: it may have asked for the time.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, cast

from aiohttp import web

from eventhub.event import Position
from eventhub.filters.arguments import parse_query_string
from eventhub.gateway.controls import CSVS, check_options, checked_choice
from eventhub.gateway.disconnection import while_connected
from eventhub.gateway.file_answer import SUFFIXES, answer_file
from eventhub.gateway.kept_file import KeptFile, State
from eventhub.gateway.kept_files import KEPT_SECONDS
from eventhub.gateway.sql_route import (
    ROWS_HEADER,
    TRUNCATED_HEADER,
    SqlRoute,
    arguments,
    missing,
)
from eventhub.identity.expiry import while_valid
from eventhub.queries import Format, Question, positions_in, positions_text

_CONTROLS: Final = ("_csv", "sql")


@dataclass(frozen=True, slots=True)
class _Answer:
    """One request for the answer to a statement; see `Wanted`."""

    route: SqlRoute
    request: web.Request
    question: Question
    client: str
    key: Hashable
    heads: tuple[int, ...]
    """The sequences that a new file has to include, in the order of the tables."""

    def is_current(self, tag: str) -> bool:
        """See `Wanted`: only the file itself is known to be what the statement would give."""
        file = self.find()
        return file is not None and file.tag == tag

    def find(self) -> KeptFile | None:
        """See `Wanted`."""
        return self.route.shared.kept.at(self.key, self.heads, KEPT_SECONDS)

    async def make(self) -> KeptFile:
        """See `Wanted`."""
        answer = await self.route.ask(self.request, self.question, self.client)
        seen = positions_in(answer.position, self.route.channels)
        state = State(answer.position, tuple(seen[name].sequence for name in self.route.channels))
        headers = {ROWS_HEADER: str(answer.rows)}
        if answer.truncated:
            headers[TRUNCATED_HEADER] = "true"
        return self.route.shared.kept.keep(
            self.key, self.client, state, answer.file, answer.size, headers
        )


async def get(route: SqlRoute, suffix: str, request: web.Request) -> web.StreamResponse:
    """Answer with the file, with a part of it, or with why there is none.

    Raises:
        Rejected, Unavailable: as `Queries.ask`, and as `answer_file`.
    """
    args = parse_query_string(request.rel_url.raw_query_string)
    visitor = await route.admit(request, args)
    given = arguments(args, _CONTROLS, "a file of an answer: its name says the format")
    check_options(given, suffix)
    sql = given.pop("sql", "")
    if not sql.strip():
        raise missing()
    is_safe = checked_choice("_csv", given.pop("_csv", None), CSVS) == "safe"
    encoding = cast("Format", "safe csv" if is_safe else SUFFIXES[suffix][0])
    key = (route.entry.name, encoding, sql, tuple(sorted(given.items())))
    headers = {**route.headers(request), "Cache-Control": "private, no-cache"}
    async with while_connected(request), while_valid(visitor.validity):
        heads = {
            name: Position(channel.stream.epoch, (await channel.bounds.read()).last)
            for name, channel in route.channels.items()
        }
        question = Question(
            sql=sql, parameters=given, format=encoding, at_least=positions_text(heads)
        )
        sequences = tuple(head.sequence for head in heads.values())
        wanted = _Answer(route, request, question, route.client(request, visitor), key, sequences)
        if wanted.find() is not None:  # what another request made is read without asking
            route.note(request, question, "kept", None)
        shared = route.shared
        return await answer_file(wanted, shared.kept, shared.compression, request, suffix, headers)
