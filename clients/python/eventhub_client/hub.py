"""AsyncHub: a hub, for programs with an event loop."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from eventhub_client.bulk import Bulk, Message, encoded, new_key
from eventhub_client.checkpoint import Checkpoint
from eventhub_client.credentials import Credentials, Token
from eventhub_client.ephemeral import NO_ROWS, Listening, Present, messages, states
from eventhub_client.following import Offline, follow
from eventhub_client.history import LogEvent, position_in_time, since_of
from eventhub_client.history import events as log_events
from eventhub_client.query import Asked, Names, Query, Reading, Where, checked_base, url_of
from eventhub_client.requests import Request, Requests
from eventhub_client.rows import Rows
from eventhub_client.subscription import POSITION, Change, Event, Passed, Subscription
from eventhub_client.tables import arrow_table, pandas_frame, polars_frame

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

Method = Literal["POST", "PUT", "DELETE"]
Receipt = dict[str, Any]
"""`id`, `_seq`, `duplicate`; `ignored`: keys of the message that are not columns."""


class AsyncHub:
    """One hub. Close it, or use it as an asynchronous context manager."""

    def __init__(self, url: str, *, token: Token | None = None, patience: float = 60.0) -> None:
        """Prepare, without connecting yet.

        Args:
            url: of the hub; paths are relative to it.
            token: or a function that returns one. It is called before each connection, when a login
                is about to end, and after a request without a valid login. `OSError`,
                `TimeoutError` and `httpx.HTTPError` of it mean that it is to be asked again.
            patience: seconds for which a write or a read is tried again, at most 540. What follows
                a path is tried again until it is closed.

        Raises:
            ValueError: `url` is not the URL of a hub.
        """
        self._base = checked_base(url)
        self._credentials = Credentials(token)
        self._requests = Requests(self._credentials, patience)
        self._rows: list[Rows] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End all live rows, and close the connections of requests."""
        while self._rows:
            await self._rows.pop().close()
        await self._requests.aclose()

    # --- Writing

    async def post(self, path: str, message: Message) -> Receipt:
        """Create a row; return its receipt once it is durable.

        Raises:
            EventHubError: it is refused; see `errors`. After `UnknownOutcomeError` the message can
                be sent again only with the `_key` that it had: give it one to be able to.
        """
        return await self._write("POST", path, message)

    async def put(self, path: str, message: Message) -> Receipt:
        """Change the columns that a message names, in the row with its `id`; as `post`."""
        return await self._write("PUT", path, message)

    async def delete(self, path: str, row: str | Message) -> Receipt:
        """Delete a row by its id, or by a message with its `id` and conditions; as `post`."""
        return await self._write("DELETE", path, {"id": row} if isinstance(row, str) else row)

    async def bulk(
        self,
        path: str,
        messages: Iterable[Message] | AsyncIterable[Message],
        *,
        method: Method = "POST",
        upsert: bool = False,
    ) -> int:
        """Write many messages; return how many are stored.

        They are sent in the order in which they come, some thousands at a time, and the next ones
        are taken only when these are stored.

        Args:
            path: of the rows.
            messages: taken one by one.
            method: of those that have no `_method`.
            upsert: create each row, or change it if it exists.

        Raises:
            BulkError: some were refused, which does not keep the others from being stored; or it
                could not go on.
        """
        bulk = self.bulk_writer(path, method=method, upsert=upsert)
        if isinstance(messages, AsyncIterable):
            async for message in messages:
                if bulk.take(message):
                    await bulk.send()
        else:
            for message in messages:
                if bulk.take(message):
                    await bulk.send()
        await bulk.send()
        return bulk.finish()

    # --- Following

    def rows(
        self,
        path: str,
        *,
        where: Where | None = None,
        columns: Names = (),
        sort: Names = (),
        limit: int | None = None,
    ) -> Rows:
        """Follow the rows of a query until they are closed.

        Args:
            path: of the rows.
            where: which rows: columns, with an operator after them, to values.
            columns: which columns; the `id` always comes, too. By default all.
            sort: `"n"`, `"-n"`, `"n*"`, or several of them. By default the order of creation.
            limit: show only the first ones. All that match are sent and kept.

        Raises:
            ValueError: a condition of `where` has no value.
        """
        query = Query.of(where, columns, sort, limit)
        rows = Rows(query, self._follow(path, query.followed(), Subscription()))
        self._rows = [*(each for each in self._rows if each.state != "ended"), rows]
        return rows

    async def changes(
        self,
        path: str,
        *,
        where: Where | None = None,
        columns: Names = (),
        since: str | datetime = "now",
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> AsyncGenerator[Change, None]:
        """Iterate over changes, with none missing or repeated over lost connections and restarts.

        With a checkpoint nothing is missing over restarts of the program, either. The file gets the
        position of a change when the next one is asked for, that is, after the body of the loop. A
        program that is killed within the body, or left it with an exception or `break`, gets this
        one change again: at least once, and exactly once if the effect of the body is stored
        together with `change.position`, or is idempotent.

        Args:
            path: of the rows.
            where: which rows: columns, with an operator after them, to values.
            columns: which columns; by default all.
            since: where to start: a position, `now`, `earliest`, a time, or `-N` for the last N.
            checkpoint: a file that says where to go on, if it exists.

        Raises:
            EventHubError: the hub refuses.
            ValueError: a condition without a value, or a checkpoint of another path.
        """
        query = Query.of(where, columns)
        kept = None if checkpoint is None else Checkpoint(checkpoint, path)
        start = (kept.position if kept else "") or since_of(since)
        epoch = ""
        if start != "now" and not POSITION.fullmatch(start):  # the past can be interrupted
            url_with = partial(url_of, self._base, path, *query.conditions())
            epoch = (await position_in_time(self._requests, url_with)).partition(".")[0]
        subscription = Subscription(start, epoch)
        async with aclosing(self._follow(path, query.followed(), subscription)) as events:
            async for event in events:
                if isinstance(event, Change):
                    yield event
                if kept and isinstance(event, Change | Passed) and event.position:
                    await asyncio.to_thread(kept.save, event.position)

    async def log(
        self,
        path: str,
        *,
        since: str | datetime = "earliest",
        until: str | int | datetime | None = "now",
        where: Where | None = None,
        columns: Names = (),
    ) -> AsyncGenerator[LogEvent, None]:
        """Iterate over the events of the log, each with the row after it and the old values.

        Args:
            path: of the rows.
            since: where to start, as of `changes`.
            until: the last event: a position, a sequence, a time, or `now`, the end of the log as
                it is at the call; None: wait for what follows, until the caller leaves.
            where: events of which the old or the new row matches.
            columns: which columns; by default all.

        Raises:
            EventHubError: the hub refuses. The code `gone`: the log was replaced, or no longer has
                the events that follow.
            ValueError: a condition without a value, or an `until` that is none.
        """
        query = Query.of(where, columns)
        url_with = partial(url_of, self._base, path, *query.conditions(), *query.shape())
        async with aclosing(log_events(self._requests, url_with, since_of(since), until)) as events:
            async for event in events:
                yield event

    # --- What is not stored

    async def send(self, path: str, message: Message) -> dict[str, Any]:
        """Send a message, once, to the clients that listen now; return what the hub says of it.

        Raises:
            EventHubError: it is refused. `UnavailableError`: it may not have been sent.
        """
        body = encoded({**message, "_method": "SEND"})
        answer = await self._requests.send_once(Request("POST", url_of(self._base, path), body))
        return dict(answer.json())

    def sent(
        self, path: str, *, where: Where | None = None, columns: Names = ()
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Iterate over such messages, without those of a lost connection; errors as `changes`."""
        arguments = Query.of(where, columns).followed()
        return messages(self._follow(path, arguments, Listening()))

    def presence(self, path: str) -> AsyncGenerator[Present | None, None]:
        """Iterate over who is connected, after each change; None: it is not known for a time.

        Raises:
            EventHubError: the hub refuses.
        """
        return states(self._follow(path, (*NO_ROWS, ("_presence", "")), Listening()))

    # --- Reading once

    async def arrow(self, path: str, **query: Unpack[Reading]) -> "pyarrow.Table":
        """Return the current rows as an Arrow table, with the types of the columns.

        Raises:
            EventHubError: the hub refuses.
            ImportError: pyarrow is not installed.
        """
        return arrow_table(await self._stream(path, **query))

    async def polars(self, path: str, **query: Unpack[Reading]) -> "polars.DataFrame":
        """Return the current rows as a frame of polars; as `arrow`."""
        return polars_frame(await self._stream(path, **query))

    async def frame(self, path: str, **query: Unpack[Reading]) -> "pandas.DataFrame":
        """Return the current rows as a frame of pandas; as `arrow`."""
        return pandas_frame(await self._stream(path, **query))

    async def _stream(
        self, path: str, *, as_of: str | int | datetime | None = None, **query: Unpack[Asked]
    ) -> bytes:
        asked = Query.of(**query)
        arguments = [*asked.conditions(), *asked.shape(), ("_format", "arrow")]
        if as_of is not None:
            arguments.append(("_as_of", since_of(as_of)))
        answer = await self._requests.send(Request("GET", url_of(self._base, path, *arguments)))
        return answer.content

    async def _write(self, method: str, path: str, message: Message) -> Receipt:
        body = encoded({"_key": new_key(), **message})
        url = url_of(self._base, path)
        answer = await self._requests.send(Request(method, url, body, is_write=True))
        receipt: Receipt = answer.json()
        return receipt

    def bulk_writer(self, path: str, *, method: Method = "POST", upsert: bool = False) -> Bulk:
        """Return what writes many messages, for a caller that takes them one by one."""
        arguments = [("_upsert", "true")] if upsert else []
        return Bulk(self._requests, url_of(self._base, path, *arguments), method)

    def _follow(
        self, path: str, arguments: Iterable[tuple[str, str]], subscription: Subscription
    ) -> AsyncGenerator[Event | Offline, None]:
        asked = tuple(arguments)

        def url_since(since: str) -> str:
            more = [("_since", since)] if since else []
            return "ws" + url_of(self._base, path, *asked, *more).removeprefix("http")

        return follow(subscription, url_since, self._credentials)
