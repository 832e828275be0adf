"""Hub: what the Flight process asks the hub, as HTTP on a socket in the data folder.

A statement is a POST to its SQLHandler, with the token and the address of the client. So the hub
admits, limits and answers it exactly like one that came by HTTP.
"""

import http.client
import select
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec
import pyarrow as pa

from eventhub.errors import CODES, EventHubError, Rejected, Unavailable
from eventhub.event import POSITION_HEADER
from eventhub.unix_socket import FLIGHT_SOCKET, address_of

POLL_SECONDS: Final = 0.05
"""Between two looks whether a client still waits for its answer."""
STALLED_SECONDS: Final = 30.0
"""A hub that sends nothing for this long in the middle of an answer is given up."""
START_SECONDS: Final = 30.0
"""A query may wait so long for a process that is starting, and for its turn as long as it runs."""


class Handler(msgspec.Struct, frozen=True):
    """A SQLHandler of the hub."""

    name: str
    path: str
    """Of its URL, quoted."""
    seconds: float
    """That one of its queries may take."""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """All that the process gets to know, on its standard input, at whose end it ends too."""

    folder: str
    """The data folder, for the socket of the hub."""
    host: str
    port: int
    """0 picks a free one."""
    handlers: list[Handler]
    stalled_after: float
    certificate: tuple[str, str] | None = None
    """The files of the certificate and its key, for TLS."""
    log_level: str = "info"
    log_format: Literal["auto", "json", "console"] = "auto"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    address: str
    token: str | None = None
    """The header `Authorization`."""
    position: str | None = None
    """The writes that the tables must have seen."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of an answer, which arrive while they are read; whoever gets them closes them."""

    schema: pa.Schema
    batches: Iterable[pa.RecordBatch]
    close: Callable[[], None]


class _ErrorObject(msgspec.Struct):
    code: str
    message: str


class _Refusal(msgspec.Struct):
    error: _ErrorObject = msgspec.field(name="_error")


class _Connection(http.client.HTTPConnection):
    def __init__(self, folder: Path) -> None:
        super().__init__("localhost", timeout=STALLED_SECONDS)
        self._folder = folder

    def connect(self) -> None:
        """Connect to the socket of the hub."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(STALLED_SECONDS)
        with address_of(self._folder, FLIGHT_SOCKET) as path:
            self.sock.connect(path)


class Hub:
    """Asks the hub."""

    def __init__(self, folder: Path) -> None:
        """Prepare.

        Args:
            folder: the data folder.
        """
        self._folder = folder

    def ask(
        self,
        handler: Handler,
        caller: Caller,
        question: Mapping[str, object],
        is_wanted: Callable[[], bool],
    ) -> Rows:
        """Return the rows of a statement.

        Args:
            handler: that answers.
            caller: who asks.
            question: the body of the POST: `sql`, `params` and `rows`.
            is_wanted: whether the client still waits; otherwise the query is interrupted.

        Raises:
            Rejected, Unavailable: the hub's refusal.
            EventHubError: `internal`.
        """
        connection = _Connection(self._folder)
        try:
            body = msgspec.json.encode(question)
            path = f"{handler.path}?_format=arrow"
            connection.request("POST", path, body, _headers(caller))
            _wait(connection.sock, 2 * handler.seconds + START_SECONDS, is_wanted)
            answer = connection.getresponse()
            _check(answer)
            reader = pa.ipc.open_stream(answer)
            return Rows(reader.schema, reader, answer.close)
        except (OSError, http.client.HTTPException, pa.ArrowInvalid) as error:
            connection.close()
            raise Unavailable(f"the hub does not answer: {error}: try again") from error
        except BaseException:
            connection.close()
            raise


def _headers(caller: Caller) -> dict[str, str]:
    headers = {"Connection": "close", "X-Forwarded-For": caller.address}
    given = {"Authorization": caller.token, POSITION_HEADER: caller.position}
    return headers | {name: value for name, value in given.items() if value is not None}


def _wait(sock: socket.socket, seconds: float, is_wanted: Callable[[], bool]) -> None:
    """Wait until the answer begins.

    Raises:
        TimeoutError: it does not, or nobody waits for it any more.
    """
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    for _ in range(int(seconds / POLL_SECONDS)):
        if poll.poll(POLL_SECONDS * 1000):
            return
        if not is_wanted():
            raise TimeoutError("the client has left")
    raise TimeoutError("it took too long")


def _check(answer: http.client.HTTPResponse) -> None:
    """Raise the error of an answer, or one if it is not whole: nobody would notice."""
    if answer.status != 200:
        raise _error(answer.read())
    if answer.headers.get("EventHub-Truncated") == "true":
        text = f"the answer has more than {answer.headers['EventHub-Rows']} rows, or 1 GiB"
        raise Rejected("bad_request", f"{text}: group them, or write a LIMIT")


def _error(body: bytes) -> EventHubError:
    """Return the error of an answer."""
    try:
        error = msgspec.json.decode(body, type=_Refusal).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return EventHubError("internal error")
    if error.code not in CODES:
        return EventHubError(error.message)
    if CODES[error.code].retry:
        return Unavailable(error.message, code=error.code)
    return Rejected(error.code, error.message)
