"""Server: the calls of Flight SQL, each answered by a thread of gRPC.

Nothing is kept between calls: a ticket and a prepared statement hold the statement itself, and the
token comes with every call.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from typing import Final, ParamSpec, Self, TypeVar

import pyarrow as pa
import structlog
from pyarrow import flight

from eventhub.errors import EventHubError, Rejected
from projections.flight import catalogue, info
from projections.flight.calls import Calls
from projections.flight.hub import Handler, Hub
from projections.flight.messages import Fields, Statement, encode, pack, statement_of, unpack
from projections.flight.parameters import names_of, values_of
from projections.flight.request import HEADERS, HeadersFactory, Request

REFUSED_SECONDS: Final = 0.5
"""Before a client learns that it is not admitted: to guess tokens takes long."""
MAX_REFUSED: Final = 32
"""Calls that wait for it; further ones do not."""
MAX_BOUND: Final = 1 << 20
"""Bytes of the values that a client binds."""
_STATUSES: Final[dict[str, type[Exception]]] = {
    "unauthorized": flight.FlightUnauthenticatedError,
    "forbidden": flight.FlightUnauthorizedError,
    "unavailable": flight.FlightUnavailableError,
    "busy": flight.FlightUnavailableError,
    "too_many_reads": flight.FlightUnavailableError,
    "too_costly": flight.FlightTimedOutError,
    "internal": flight.FlightInternalError,
}
"""By code; all others are the client's mistake, INVALID_ARGUMENT."""
P = ParamSpec("P")
R = TypeVar("R")

logger = structlog.get_logger(__name__)


_refused = threading.BoundedSemaphore(MAX_REFUSED)


def _call(work: Callable[P, R]) -> Callable[P, R]:
    """Raise the errors of a call as statuses of Flight, with the code of the hub in their text."""

    @wraps(work)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return work(*args, **kwargs)
        except EventHubError as error:
            if error.code in ("unauthorized", "forbidden"):
                _delay_refusal()
            kind = _STATUSES.get(error.code, pa.ArrowInvalid)
            raise kind(f"{error.code}: {error.message}") from None
        except (pa.ArrowNotImplementedError, flight.FlightError):
            raise
        except Exception:
            logger.exception("flight_call_failed")
            raise flight.FlightInternalError("internal: internal error") from None

    return call


def _delay_refusal() -> None:
    """Wait a moment, unless too many calls do already."""
    if _refused.acquire(blocking=False):
        try:
            time.sleep(REFUSED_SECONDS)
        finally:
            _refused.release()


class FlightSql(flight.FlightServerBase):
    """Serves the SQLHandlers of a hub; it listens as soon as it is made."""

    def __init__(
        self,
        location: str,
        certificates: Sequence[tuple[bytes, ...]] | None,
        handlers: Sequence[Handler],
        hub: Hub,
        stalled_after: float,
    ) -> None:
        """Listen.

        Args:
            location: as in `grpc://127.0.0.1:8815`.
            certificates: in PEM, each with its key; None for no encryption.
            handlers: the SQLHandlers.
            hub: that answers.
            stalled_after: seconds after which a client that does nothing is closed.

        Raises:
            ArrowException: the address or the certificate cannot be used.
        """
        super().__init__(
            location, tls_certificates=certificates, middleware={HEADERS: HeadersFactory()}
        )
        self._handlers = {handler.name: handler for handler in handlers}
        self._hub = hub
        self._calls = Calls(stalled_after)
        threading.Thread(target=self._calls.watch, daemon=True).start()

    @_call
    def get_flight_info(
        self, context: flight.ServerCallContext, descriptor: flight.FlightDescriptor
    ) -> flight.FlightInfo:
        """Return the ticket of a command. A statement runs when its rows are fetched."""
        name, fields = unpack(descriptor.command or b"")
        ticket, schema = descriptor.command, None
        if name == "CommandStatementQuery":
            statement = Statement(fields.text(1) or "")
            ticket = pack("TicketStatementQuery", {1: statement.encode()})
        elif name != "CommandPreparedStatementQuery":
            schema = _known_schema(name, fields)
        endpoint = flight.FlightEndpoint(ticket, [])
        return flight.FlightInfo(schema, descriptor, [endpoint], -1, -1)

    @_call
    def get_schema(
        self, context: flight.ServerCallContext, descriptor: flight.FlightDescriptor
    ) -> flight.SchemaResult:
        """Return the columns of the answer to a command."""
        name, fields = unpack(descriptor.command or b"")
        if name == "CommandStatementQuery":
            return flight.SchemaResult(self._columns(context, fields.text(1) or ""))
        if name == "CommandPreparedStatementQuery":
            statement = statement_of(fields.raw(1) or b"")
            return flight.SchemaResult(self._columns(context, statement.sql, statement))
        return flight.SchemaResult(_known_schema(name, fields))

    @_call
    def do_get(
        self, context: flight.ServerCallContext, ticket: flight.Ticket
    ) -> flight.FlightDataStream:
        """Run what a ticket stands for, and send its rows."""
        name, fields = unpack(ticket.ticket)
        call = self._calls.begin(context.peer())
        end = partial(self._calls.end, call)
        try:
            request = Request(context, call, self._hub, self._handlers)
            if name in ("TicketStatementQuery", "CommandPreparedStatementQuery"):
                statement = statement_of(fields.raw(1) or b"")
                rows = request.ask(request.handler, statement)
                schema, batches, close = rows.schema, rows.batches, rows.close
            else:
                table = _known_answer(name, fields, request)
                schema, batches, close = table.schema, table.to_batches(), _nothing
            return flight.GeneratorStream(schema, _Sending(batches, call.moved, [close, end]))
        except BaseException:
            end()
            raise

    @_call
    def do_put(
        self,
        context: flight.ServerCallContext,
        descriptor: flight.FlightDescriptor,
        reader: flight.MetadataRecordBatchReader,
        writer: flight.FlightMetadataWriter,
    ) -> None:
        """Bind values to a prepared statement, and return the handle that holds them."""
        name, fields = unpack(descriptor.command or b"")
        if name != "CommandPreparedStatementQuery":
            raise _unknown(name)
        statement = statement_of(fields.raw(1) or b"")
        batches, size = [], 0
        with self._calls.one(context.peer()) as call:
            for chunk in reader:
                call.moved()
                size += chunk.data.nbytes
                if size > MAX_BOUND:
                    raise Rejected("too_large", f"the values have more than {MAX_BOUND} bytes")
                batches.append(chunk.data)
        values = values_of(batches, statement.names)
        bound = Statement(statement.sql, statement.names, values)
        writer.write(encode({1: bound.encode()}))

    @_call
    def do_action(
        self, context: flight.ServerCallContext, action: flight.Action
    ) -> list[flight.Result]:
        """Prepare a statement. There is nothing to do to close it."""
        if action.type == "ClosePreparedStatement":
            return []
        if action.type != "CreatePreparedStatement":
            raise _unknown(action.type)
        _, fields = unpack(action.body.to_pybytes())
        sql = fields.text(1) or ""
        statement = Statement(sql, names_of(sql))
        columns = self._columns(context, sql, statement)
        parameters = pa.schema([(name, pa.string()) for name in statement.names])
        result = {1: statement.encode(), 2: _as_bytes(columns), 3: _as_bytes(parameters)}
        return [flight.Result(pack("ActionCreatePreparedStatementResult", result))]

    def list_actions(self, _context: flight.ServerCallContext) -> list[tuple[str, str]]:
        """Return the actions."""
        return [
            ("CreatePreparedStatement", "Prepare a statement."),
            ("ClosePreparedStatement", "Forget a prepared statement."),
        ]

    def _columns(
        self, context: flight.ServerCallContext, sql: str, statement: Statement | None = None
    ) -> pa.Schema:
        """Return the columns of a statement, whose parameters need no value."""
        with self._request(context) as request:
            return request.columns(request.handler, statement or Statement(sql, names_of(sql)))

    @contextmanager
    def _request(self, context: flight.ServerCallContext) -> Iterator[Request]:
        with self._calls.one(context.peer()) as call:
            yield Request(context, call, self._hub, self._handlers)


class _Sending:
    """The batches of an answer. gRPC takes one when the client has room for it.

    It drops this object when the client leaves, even before the first batch, when the body of a
    generator would not run.
    """

    def __init__(
        self,
        batches: Iterable[pa.RecordBatch],
        moved: Callable[[], None],
        ends: Sequence[Callable[[], None]],
    ) -> None:
        self._batches = iter(batches)
        self._moved = moved
        self._ends = ends

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> pa.RecordBatch:
        self._moved()
        return next(self._batches)

    def __del__(self) -> None:
        for end in self._ends:
            end()


def _known_schema(name: str, fields: Fields) -> pa.Schema:
    """Return the columns of the answer to a command about the catalogue."""
    if name == "CommandGetSqlInfo":
        return info.SCHEMA
    if name not in catalogue.SCHEMAS:
        raise _unknown(name)
    return catalogue.schema_of(name, fields)


def _known_answer(name: str, fields: Fields, request: Request) -> pa.Table:
    """Return the answer to a command about the catalogue."""
    if name == "CommandGetSqlInfo":
        return info.table(fields.numbers(1))
    if name not in catalogue.SCHEMAS:
        raise _unknown(name)
    return catalogue.answer(name, fields, request.sources())


def _unknown(name: str) -> Exception:
    text = f"bad_request: {name[:100]} is not available: this hub only answers queries"
    error: Exception = pa.ArrowNotImplementedError(text)
    return error


def _as_bytes(schema: pa.Schema) -> bytes:
    return bytes(schema.serialize().to_pybytes())


def _nothing() -> None:
    """There is nothing to close."""
