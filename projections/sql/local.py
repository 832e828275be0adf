"""Local: queries of a store in this process, for a command of the user who owns its file."""

import asyncio
from collections.abc import Hashable
from pathlib import Path
from uuid import uuid4

from eventhub.queries import Answer, Question
from projections.reader import Connection
from projections.sql.answering import answer, opened
from projections.sql.messages import Query, Result
from projections.sql.past import macro_name
from projections.store import Store

MAX_ROWS = 1 << 62
"""A user's own file has no limit."""


class LocalQueries:
    """Answers from a store that has the macros of `past`; see `Queries`."""

    def __init__(self, store: Store, folder: Path) -> None:
        """Prepare.

        Args:
            store: an open one.
            folder: for answers.
        """
        self._store = store
        self._folder = folder
        self._macros = frozenset(macro_name(t.channel).lower() for t in store.tables.values())

    async def ask(self, question: Question, client: Hashable = None) -> Answer:
        """See `Queries`."""
        query = Query(
            sql=question.sql,
            parameters=dict(question.parameters),
            format=question.format,
            at_least="",
            rows=MAX_ROWS if question.rows is None else question.rows,
            file=uuid4().hex,
        )
        path = self._folder / query.file

        def run(connection: Connection) -> Result:
            return answer(connection, query, path, list(self._store.tables), self._macros)

        async with self._store.reader() as transaction:
            result = await self._store.read(transaction, run)
        return await asyncio.to_thread(opened, result, path)
