"""Request: what one call asks of the hub, in the name of its client."""

from collections.abc import Mapping
from typing import Final

import pyarrow as pa
from pyarrow import flight

from eventhub.errors import Rejected
from projections.flight.calls import Call, address_of
from projections.flight.catalogue import Rows as Listed
from projections.flight.hub import Caller, Handler, Hub, Rows
from projections.flight.messages import Statement

HEADERS: Final = "headers"
"""The name of the middleware."""


class Headers(flight.ServerMiddleware):
    """The headers of one call."""

    def __init__(self, headers: Mapping[str, list[str]]) -> None:
        super().__init__()
        self._headers = {name.lower(): values for name, values in headers.items()}

    def get(self, name: str) -> str | None:
        """Return a header; None if it is not there, or empty.

        Raises:
            Rejected: `bad_request`: it was sent more than once.
        """
        values = self._headers.get(name, [])
        if len(values) > 1:
            raise Rejected("bad_request", f"the header {name} was sent more than once")
        return values[0] if values and values[0] else None


class HeadersFactory(flight.ServerMiddlewareFactory):
    """Keeps the headers of a call for its handler."""

    def start_call(self, _info: flight.CallInfo, headers: Mapping[str, list[str]]) -> Headers:
        """Return the headers."""
        return Headers(headers)


class Request:
    """One call, while the hub answers it."""

    def __init__(
        self,
        context: flight.ServerCallContext,
        call: Call,
        hub: Hub,
        handlers: Mapping[str, Handler],
    ) -> None:
        """Read the headers.

        Args:
            context: of the call.
            call: is moved as long as the client waits.
            hub: that answers.
            handlers: the SQLHandlers, by name.

        Raises:
            Rejected: `bad_request`: a header was sent more than once.
        """
        headers = context.get_middleware(HEADERS)
        self._context = context
        self._call = call
        self._hub = hub
        self._handlers = handlers
        self._named = headers.get("handler")
        self._caller = Caller(
            address=address_of(context.peer()),
            token=headers.get("authorization"),
            position=headers.get("eventhub-position"),
        )

    @property
    def handler(self) -> Handler:
        """The SQLHandler that the client means.

        Raises:
            Rejected: `bad_request`: there is no such handler, or it could be any of several.
        """
        if self._named is None:
            if len(self._handlers) > 1:
                text = "this hub has several SQLHandlers: name one in the header `handler`"
                raise Rejected("bad_request", text)
            return next(iter(self._handlers.values()))
        if self._named not in self._handlers:
            text = f"there is no SQLHandler {self._named[:100]!r} (header `handler`)"
            raise Rejected("bad_request", text)
        return self._handlers[self._named]

    def ask(self, handler: Handler, statement: Statement, rows: int | None = None) -> Rows:
        """Return the rows of a statement; errors as `Hub.ask`."""
        question = {"sql": statement.sql, "params": statement.values, "rows": rows}
        return self._hub.ask(handler, self._caller, question, self._is_wanted)

    def columns(self, handler: Handler, statement: Statement) -> pa.Schema:
        """Return the columns of a statement, which is not run; errors as `Hub.ask`."""
        values = {**dict.fromkeys(statement.names), **statement.values}
        rows = self.ask(handler, Statement(statement.sql, statement.names, values), 0)
        rows.close()
        return rows.schema

    def sources(self) -> list["Source"]:
        """Return the SQLHandlers whose tables the client may list; errors as `handler`."""
        if self._named is not None or len(self._handlers) == 1:
            return [Source(self, self.handler, is_optional=False)]
        return [Source(self, handler, is_optional=True) for handler in self._handlers.values()]

    def _is_wanted(self) -> bool:
        self._call.moved()
        return not self._context.is_cancelled()


class Source:
    """One SQLHandler; see `catalogue.Source`."""

    def __init__(self, request: Request, handler: Handler, *, is_optional: bool) -> None:
        """Prepare.

        Args:
            request: that asks it.
            handler: the SQLHandler.
            is_optional: it has no tables for a client that it does not admit.
        """
        self._request = request
        self._handler = handler
        self._is_optional = is_optional

    def rows(self, sql: str, values: Mapping[str, str | None]) -> Listed:
        """See `catalogue.Source`; errors as `Hub.ask`."""
        try:
            found = self._request.ask(self._handler, Statement(sql, values={**values}))
        except Rejected as error:
            if self._is_optional and error.code in ("unauthorized", "forbidden"):
                return []
            raise
        try:
            return [row for batch in found.batches for row in batch.to_pylist()]
        finally:
            found.close()

    def columns(self, sql: str) -> pa.Schema:
        """See `catalogue.Source`; errors as `Hub.ask`."""
        return self._request.columns(self._handler, Statement(sql))
